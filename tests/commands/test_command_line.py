"""What a command does with errors: those of the user, and a reader that has gone."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wnrepro.commands.command_line import GOES_ON, guarded
from wnrepro.errors import RunError
from wnrepro.replacement import replace_file

ROOT = Path(__file__).resolve().parents[2]
GUARDED = "import sys; from wnrepro.commands.command_line import guarded; sys.exit(guarded({}))"


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """Where `head` has read all that it wants: any write fails."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def sigint_heard() -> Iterator[None]:
    """As on a terminal: a shell's background job, and what it starts, ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
        "-m wnrepro.runs plan -m norm=wn,plain",
        "scripts/download_data.py mnist",
    ],
)
def test_a_command_whose_reader_has_gone_ends_quietly(
    command: str, closed_pipe: int, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WNREPRO_DATA", str(data_root))
    ended = run(closed_pipe, *command.split())
    assert (ended.returncode, ended.stderr) == (1, "")


# With 9: kept for the exit. With 99,999: written at once, which fails before the exit.
@pytest.mark.parametrize("length", [9, 99_999])
def test_long_and_short_output_alike(length: int, closed_pipe: int) -> None:
    task = f"lambda: print('a' * {length}) or 0"
    program = (
        f"import sys; from wnrepro.commands.command_line import guarded; sys.exit(guarded({task}))"
    )
    ended = run(closed_pipe, "-c", program)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_pipe_of_something_else_is_no_reader_that_has_gone(closed_pipe: int) -> None:
    with pytest.raises(BrokenPipeError):
        guarded(lambda: os.write(closed_pipe, b"a"))


def shell(program: str, redirected: str, before: str = "") -> subprocess.CompletedProcess[str]:
    program = GUARDED.format(program)
    line = f"{before} {shlex.quote(sys.executable)} -c {shlex.quote(program)} {redirected}"
    return subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_output_that_is_closed_or_full_or_ascii_is_no_crash() -> None:
    said = "lambda: print('a…') or 0"
    closed, full = shell(said, ">&-"), shell(said, ">/dev/full")
    assert (closed.returncode, closed.stderr) == (0, "")
    assert (full.returncode, full.stderr.count("\n")) == (1, 1)
    assert full.stderr.startswith("error: cannot write the output: No space left")
    ascii_only = shell(said, "", "PYTHONIOENCODING=ascii")
    assert (ascii_only.returncode, ascii_only.stdout) == (0, "a?\n")


@pytest.mark.usefixtures("sigint_heard")
def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: signal.raise_signal(signal.SIGINT) or 0, GOES_ON) == 130
    assert capsys.readouterr() == ("", "stopped: repeat the command, and it goes on\n")


@pytest.mark.usefixtures("sigint_heard")
def test_ctrl_c_ends_the_measuring_processes_too(tmp_path: Path) -> None:
    """A terminal sends it to all of them."""
    command = [sys.executable, "scripts/mechanisms.py", "--smoke", "--results", str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(tmp_path.glob(".parts/*/*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1] == GOES_ON
    assert "Traceback" not in said


def test_what_the_user_can_mend_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise RunError("the disk is full")

    assert guarded(fail) == 1
    assert capsys.readouterr() == ("", "error: the disk is full\n")
    assert guarded(lambda: 0) == 0


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_with_closed_streams_nothing_fails_and_no_file_gets_their_numbers(
    closed: str, tmp_path: Path
) -> None:
    """Here and in the processes that it starts."""
    (tmp_path / "task.py").write_text(
        f"""
import logging, subprocess, sys
from tqdm import tqdm
from wnrepro.commands.command_line import guarded

def task():
    logging.basicConfig(stream=sys.stderr)
    logging.warning("said")
    list(tqdm([1]))
    child = "import sys; sys.exit(sys.stderr is None)"
    with open({str(tmp_path / "file")!r}, "w") as file:
        assert file.fileno() > 2
        subprocess.run([sys.executable, "-c", child], check=True)
    return 7

sys.exit(guarded(task))
"""
    )
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'task.py'))} {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=ROOT, check=False).returncode == 7
    assert (tmp_path / "file").read_text() == ""


def test_a_folder_that_was_deleted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert guarded(lambda: 0) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: the current folder is no longer there: cd to one that is"


def test_names_that_the_locale_cannot_read_are_written_as_they_are(tmp_path: Path) -> None:
    replace_file(tmp_path / "config.yaml", "root: l\udcc3\udca4ufe\n")
    assert (tmp_path / "config.yaml").read_bytes() == "root: läufe\n".encode()
