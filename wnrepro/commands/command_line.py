"""What a command line asks for, and errors of one line."""

import argparse
import io
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from wnrepro.commands.composition import CONF
from wnrepro.errors import ConfigError, WnreproError, did_you_mean
from wnrepro.resolution import schema_keys

GOES_ON = "stopped: repeat the command, and it goes on"

LONGEST_WORD = 400
"""Characters of a path or a value that an error repeats; of a longer one it shows both ends."""


@dataclass(frozen=True)
class Arguments:
    """of_sweep: -m. show: --cfg job. overrides: KEY=VALUE, and what options stand for."""

    of_sweep: bool
    show: bool
    overrides: list[str]


def arguments(given: Sequence[str]) -> Arguments:
    """What is given to `python -m wnrepro.train`; raises ConfigError, exits after --help."""
    parser = _Parser(
        prog="python -m wnrepro.train",
        usage="%(prog)s [+exp=NAME] [KEY=VALUE ...] [-m] [--cfg job] [--config-dir DIR]",
        description="Trains one run, or goes on with it.",
        epilog=_groups(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-m", "--multirun", action="store_true", help="a sweep: values with commas are a grid")
    add("-c", "--cfg", choices=["job"], help="print the config as it would run; train nothing")
    add("-cd", "--config-dir", metavar="DIR", help="one more folder like conf/, for files of yours")
    add("--resolve", action="store_true", help=argparse.SUPPRESS)  # what is printed is resolved
    known, rest = parser.parse_known_args(given)
    for each in rest:
        if each.startswith("-"):
            raise ConfigError(_no_option(each))
    if known.cfg and known.multirun:
        raise ConfigError(
            "--cfg does not go with -m: drop one of them; "
            "`python -m wnrepro.runs plan …` shows what a sweep would run"
        )
    if known.resolve and not known.cfg:
        raise ConfigError("--resolve goes with --cfg job")
    return Arguments(known.multirun, known.cfg is not None, searchpath(known.config_dir) + rest)


def searchpath(folder: str | None) -> list[str]:
    """The override that --config-dir stands for."""
    if folder is None:
        return []
    path = str(Path(folder).absolute()).replace("'", "\\'")
    return [f"hydra.searchpath=['file://{path}']"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _groups() -> str:
    """`norm=bn|wn|…` for each group of files."""
    lines = ["Groups of files, as norm=wn; every other key is explained in wnrepro/config.py:"]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"):
        plus = "+" * (folder.name in ("exp", "sweep"))
        names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        lines.append(f"  {plus}{folder.name}={names}")
    return "\n".join(lines).replace("%", "%%")


def _no_option(text: str) -> str:
    """`--epochs=3` is a habit from other programs."""
    key, _, value = text.lstrip("-").partition("=")
    keys = list(schema_keys())
    likely = key if key in keys else did_you_mean(key, keys)
    if key in keys:
        return f"{text} is no option: write {key}={value or '…'}"
    return (
        f"{text} is no option{likely}: there are -m, --cfg job, --config-dir DIR and --help; "
        "everything else is written as KEY=VALUE"
    )


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
    except WnreproError as error:
        print(f"error: {_shortened(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except OSError as error:
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


def _shortened(text: str) -> str:
    """With the beginning and the end of what would fill the screen."""
    return re.sub(
        rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:200]} … {word[0][-100:]}", text
    )
