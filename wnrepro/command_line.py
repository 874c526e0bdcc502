"""From the command line to a checked config, with errors of one line.

Hydra composes the config and words its errors over several lines, for those who write configs.
Here each becomes one that names the key, what it got and what is allowed.
"""

import os
import re
import select
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError
from yaml import MarkedYAMLError, YAMLError

from wnrepro.config import Config, register_schema, resolve, unknown_key
from wnrepro.errors import ConfigError, WnreproError, did_you_mean

PACKAGE = Path(__file__).resolve().parent
CONF = next(p for p in (PACKAGE.parent / "conf", PACKAGE / "conf") if p.is_dir())
"""The folder of YAML files: beside the package in a checkout, inside it in a wheel."""


def hydra_main(task: Callable[[Config], int]) -> int:
    """Run `task` on the config that the command line (`sys.argv`) asks for; its exit code.

    A mistake in the command line or in a YAML file is printed as one line, and the exit code is 2.
    An error that the user can mend (`WnreproError`) in the task is printed likewise, with 1.
    """
    register_schema()
    # Hydra then raises its errors, for `explain`, instead of printing them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    codes = []

    def run(cfg: DictConfig) -> None:
        codes.append(guarded(lambda: task(resolve(cfg))))

    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)
    codes.append(guarded(lambda: main() or 0))
    return max(codes)


def guarded(action: Callable[[], int]) -> int:
    """The exit code of `action`; what the user can mend is printed as an error instead.

    Where nobody reads the output any more, as after `… | head`, it ends in silence with 1.
    """
    try:
        code = action()
        sys.stdout.flush()  # what is written at the exit can no longer be caught
        return code
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        # As Python's documentation has it (signal, "Note on SIGPIPE"): what is still to be written
        # at the exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (HydraException, ConfigError, YAMLError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    except WnreproError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _reader_has_gone() -> bool:
    """Whether stdout is a pipe with nobody at its other end."""
    poll = select.poll()
    poll.register(sys.stdout.fileno())
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


IN_FILE = re.compile(r"In '(.+?)': (\w+) raised while composing config:\n(.*)\n +full_key: (\S+)")
"""What Hydra says of a mistake in one of the YAML files."""


def explain(error: Exception) -> str:
    """One line about a config that could not be composed: key, what it got, what is allowed."""
    cause = error.__cause__
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, got = (error.missing_cfg_file or "").rpartition("/")
        close = did_you_mean(got, error.options)
        return f"{group}={got} is unknown{close}; choose from {', '.join(error.options)}"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: no valid YAML ({error.problem})"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return unknown_key(str(cause.full_key))
    if isinstance(cause, ValidationError):
        return _wrong_type(str(cause.full_key), str(cause))
    if in_file := IN_FILE.match(text):
        file, kind, reason, key = in_file.groups()
        said = _wrong_type(key, reason) if kind == "ValidationError" else unknown_key(key)
        return f"conf/{file}.yaml: {said}"
    if "No match in the defaults list" in text:
        group = text.split("'")[1]
        return f"{group} is added with a plus sign: write +{group}=… instead of {group}=…"
    if "Ambiguous value" in text:
        return f"{text.splitlines()[0]}: add -m (a sweep), or quote a value that has commas"
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read {error.override!r}: write overrides as key=value ({text.splitlines()[0]})"
        )
    return " ".join(text.split()) + (f" ({str(cause).splitlines()[0]})" if cause else "")


def _wrong_type(key: str, reason: str) -> str:
    first = reason.splitlines()[0]
    return f"{key} has the wrong type: {first[0].lower()}{first[1:]}"
