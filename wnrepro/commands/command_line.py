"""From the command line to a checked config, with errors of one line.

Hydra composes the config and words its errors over several lines, for those who write configs.
Here each becomes one that names the key, what it got and what is allowed.
"""

import io
import os
import re
import select
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError
from yaml import MarkedYAMLError, YAMLError

from wnrepro.config import Config, as_yaml, register_schema, resolve, unknown_key
from wnrepro.errors import ConfigError, WnreproError, did_you_mean

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(p for p in (PACKAGE.parent / "conf", PACKAGE / "conf") if p.is_dir())
"""The folder of YAML files: beside the package in a checkout, inside it in a wheel."""

GOES_ON = "stopped: repeat the command, and it goes on"


def experiments() -> list[str]:
    """The names in conf/exp/; each goes with each arm."""
    return sorted(path.stem for path in (CONF / "exp").glob("*.yaml"))


def hydra_main(task: Callable[[Config], int]) -> int:
    """Run `task` on the config that the command line (`sys.argv`) asks for; its exit code.

    A mistake in the command line or in a YAML file is printed as one line, and the exit code is 2.
    An error that the user can mend (`WnreproError`) in the task is printed likewise, with 1.
    `--cfg job` prints the config instead, as a run would have it: shrunk to its scale, and checked.
    """
    register_schema(experiments())
    if "--cfg job" in " ".join(sys.argv) and not {"-p", "--package"} & set(sys.argv):
        task = _show
        sys.argv = [each for each in sys.argv if each not in ("--cfg", "job", "--resolve")]
    # Hydra then raises its errors, for `explain`, instead of printing them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    codes = []

    def run(cfg: DictConfig) -> None:
        codes.append(guarded(lambda: task(resolve(cfg)), GOES_ON))

    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)

    def composed() -> int:
        refuse_no_names([each for each in sys.argv[1:] if not each.startswith("-")])
        main()
        return 0

    codes.append(guarded(composed))
    return max(codes)


def _show(config: Config) -> int:
    print(as_yaml(config), end="")
    return 0


def guarded(action: Callable[[], int], stopped: str = "stopped") -> int:
    """The exit code of `action`; what the user can mend is printed as an error instead.

    Where nobody reads the output any more, as after `… | head`, it ends in silence with 1. Ctrl-C
    ends it with 130 and the line `stopped`.
    """
    _open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a `…` in ASCII is no reason to fail
    try:
        _refuse_deleted_folder()
        code = action()
        sys.stdout.flush()  # what is written at the exit can no longer be caught
        return code
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    except (HydraException, ConfigError, YAMLError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    except WnreproError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # after Hydra's, one of which is an OSError
        gone = isinstance(error, BrokenPipeError)
        if not (_reader_has_gone() if gone else _cannot_be_written()):
            raise
        # As Python's documentation has it (signal, "Note on SIGPIPE"): what is still to be written
        # at the exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not gone:
            print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1


def _refuse_deleted_folder() -> None:
    try:
        os.getcwd()
    except OSError:
        raise ConfigError("the current folder is no longer there: cd to one that is") from None


def _open_streams() -> None:
    """Where one of the three was closed before we began, as by `2>&-`: what it says goes nowhere.

    In their order each gets its own number back, which would else be that of the next file that is
    opened: whatever says something through the number would write into that.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115  (until the end of the process)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _cannot_be_written() -> bool:
    """Whether it was stdout that failed: then it fails again."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _reader_has_gone() -> bool:
    """Whether stdout is a pipe with nobody at its other end."""
    poll = select.poll()
    poll.register(sys.stdout.fileno())
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def refuse_no_names(overrides: Sequence[str]) -> None:
    """Raise ConfigError for what Hydra itself meets with an assertion and many lines.

    That is a group of files (`tracker=…`) whose value is no name, a value without a key, and a
    sweep's grid under its place in the files.
    """
    for text in overrides:
        key, equals, value = text.lstrip("+").partition("=")
        if equals and not key:
            raise ConfigError(f"cannot read {text!r}: write overrides as key=value")
        if key.startswith("hydra.sweeper.params."):
            key = key.removeprefix("hydra.sweeper.params.")
            raise ConfigError(f"cannot read {text!r}: write {key}={value}")
        if equals and (CONF / key).is_dir() and not _is_name(text):
            names = sorted(path.stem for path in (CONF / key).glob("*.yaml"))
            raise ConfigError(f"{text}: {key} takes a name; choose from {', '.join(names)}")


def _is_name(text: str) -> bool:
    value = OverridesParser.create().parse_override(text).value()
    found = value.list if isinstance(value, ChoiceSweep) else [value]
    # A dict sets keys of what is chosen.
    return all(each and isinstance(each, str | QuotedString | Glob | dict) for each in found)


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
        return _unreadable(str(error.override), text.splitlines()[0])
    return " ".join(text.split()) + (f" ({str(cause).splitlines()[0]})" if cause else "")


def _unreadable(override: str, reason: str) -> str:
    key, _, value = override.partition("=")
    if not value or value[0] in "=[{":
        return f"cannot read {override!r}: write overrides as key=value ({reason})"
    quoted = value.strip('"').replace('"', '\\"')
    example = shlex.quote(f'{key}="{quoted}"')
    return f"cannot read {override!r}: quote its value, as {example}"


def _wrong_type(key: str, reason: str) -> str:
    first = reason.splitlines()[0]
    return f"{key} has the wrong type: {first[0].lower()}{first[1:]}"
