"""What a command does with errors: those of the user, and a reader that has gone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wnrepro.command_line import guarded
from wnrepro.errors import RunError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """Where `head` has read all that it wants: any write fails."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def run(closed_pipe: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, stdout=closed_pipe, stderr=subprocess.PIPE, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        "scripts/make_figures.py --list",
        "scripts/evidence.py --list",
        "-m wnrepro.runs plan norm=wn,plain",
    ],
)
def test_a_command_whose_reader_has_gone_ends_quietly(command: str, closed_pipe: int) -> None:
    ended = run(closed_pipe, *command.split())
    assert (ended.returncode, ended.stderr) == (1, "")


# With 9: kept for the exit. With 99,999: written at once, which fails before the exit.
@pytest.mark.parametrize("length", [9, 99_999])
def test_long_and_short_output_alike(length: int, closed_pipe: int) -> None:
    task = f"lambda: print('a' * {length}) or 0"
    program = f"import sys; from wnrepro.command_line import guarded; sys.exit(guarded({task}))"
    ended = run(closed_pipe, "-c", program)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_pipe_of_something_else_is_no_reader_that_has_gone(closed_pipe: int) -> None:
    with pytest.raises(BrokenPipeError):
        guarded(lambda: os.write(closed_pipe, b"a"))


def test_what_the_user_can_mend_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise RunError("the disk is full")

    assert guarded(fail) == 1
    assert capsys.readouterr() == ("", "error: the disk is full\n")
    assert guarded(lambda: 0) == 0
