"""Whole runs: one command trains, records, resumes and is never in doubt about its state."""

import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from wnrepro.config import Config
from wnrepro.errors import RunError
from wnrepro.runs.rows import read_rows
from wnrepro.tracking import NoTracker
from wnrepro.train import _Run, train
from wnrepro.training import SupervisedTraining

PYTHON = [sys.executable, "-m", "wnrepro.train"]
SMALL = ["epochs=6", "model.width=32", "threads=1", "tracker=none"]
FILES = {
    "manifest.json",
    "config.yaml",
    "metrics.csv",
    "timing.csv",
    "status.json",
    "checkpoint.pt",
    "curves.png",
}


def run(
    cwd: Path, *overrides: str, expect: int = 0, code: str | None = None
) -> subprocess.CompletedProcess[str]:
    """code: what to execute instead of the command."""
    command = PYTHON if code is None else [sys.executable, "-c", code]
    result = subprocess.run(
        [*command, *overrides], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == expect, result.stderr
    return result


def only_run(cwd: Path) -> Path:
    (directory,) = cwd.glob("runs/*/*")
    return directory


def status(directory: Path) -> dict:
    return json.loads((directory / "status.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """metrics.csv of SMALL."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    run(cwd, *SMALL)
    return (only_run(cwd) / "metrics.csv").read_bytes()


def test_the_first_command_trains_and_shows_a_run(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path / "home")}
    result = subprocess.run(
        PYTHON, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    directory = only_run(tmp_path)
    assert {p.name for p in directory.iterdir()} >= FILES | {"wandb"}
    assert "done, epoch 30 of 30" in result.stdout
    for line in ("train error", "test error", "time", "run", "next"):
        assert re.search(rf"^{line} +\S", result.stdout, re.MULTILINE), line
    assert str(directory.relative_to(tmp_path)) in result.stdout
    rows = read_rows(directory / "metrics.csv")
    assert rows[-1]["test_error_percent"] < 7
    assert rows[-1]["train_error_percent"] < 0.5
    # quiet when the output is no terminal, but for the one line about W&B; a busy machine may say
    # how long it will take
    said = result.stderr.splitlines()
    (line,) = [x for x in said if not re.match(r"epoch \d|about .* to go here", x)]
    assert "offline" in line
    assert "wandb sync" in line

    again = subprocess.run(
        PYTHON, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    )
    assert "already done" in again.stderr
    assert again.stdout == result.stdout


def test_a_terminal_sees_a_progress_bar(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 160))
    process = subprocess.Popen(
        [*PYTHON, *LONG], cwd=tmp_path, stdout=slave, stderr=slave, close_fds=True
    )
    os.close(slave)
    shown = b"".join(_until_closed(master))
    assert process.wait() == 0
    assert b"step/s" in shown
    assert b"epoch 20/40" in shown


def _until_closed(fd: int) -> Iterator[bytes]:
    while select.select([fd], [], [], 60)[0]:
        try:
            yield os.read(fd, 65536)
        except OSError:  # how Linux says that the other side is closed
            return


def test_one_config_gives_the_same_bytes(tmp_path: Path, undisturbed: bytes) -> None:
    run(tmp_path, *SMALL)
    assert (only_run(tmp_path) / "metrics.csv").read_bytes() == undisturbed


def test_metrics_and_manifest_say_what_ran(tmp_path: Path) -> None:
    run(tmp_path, *SMALL, "data.held_out=200", "seed=3")
    directory = only_run(tmp_path)
    rows = read_rows(directory / "metrics.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "held_out_error_percent" in rows[0]
    assert not any(key.startswith("test") for key in rows[0])
    for layer in ("hidden1", "hidden2", "dense"):
        for quantity in ("v_norm", "g", "grad_norm"):
            assert rows[0][f"{quantity}/{layer}"] > 0
    assert [row["learning_rate"] / 0.003 for row in rows] == pytest.approx(
        [1, 1, 1, 1, 2 / 3, 1 / 3]
    )
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["config"]["seed"] == 3
    assert torch.__version__.startswith(manifest["versions"]["torch"])
    state = torch.load(directory / "checkpoint.pt", weights_only=True)
    assert state["training"]["epoch"] == 6


def start(cwd: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PYTHON, *overrides],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(cwd: Path, epoch: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = list(cwd.glob("runs/*/*/status.json"))
        if found and json.loads(found[0].read_text())["epoch"] >= epoch:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    raise AssertionError("the run did not get there")


LONG = ["epochs=40", "model.width=32", "threads=1", "tracker=none"]


@pytest.fixture(scope="module")
def long_undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """metrics.csv of LONG."""
    cwd = tmp_path_factory.mktemp("long")
    run(cwd, *LONG)
    return (only_run(cwd) / "metrics.csv").read_bytes()


def test_sigkill_at_any_moment_loses_nothing(tmp_path: Path, long_undisturbed: bytes) -> None:
    rng = random.Random(0)
    for epoch in (0, 5, 17, 31):
        process = start(tmp_path, *LONG)
        wait_for_epoch(tmp_path, epoch, process)
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.communicate()
        assert status(only_run(tmp_path))["state"] == "running"
    result = run(tmp_path, *LONG)
    assert "going on from epoch" in result.stderr
    assert (only_run(tmp_path) / "metrics.csv").read_bytes() == long_undisturbed
    assert status(only_run(tmp_path))["state"] == "done"


def test_a_kill_in_a_long_epoch_loses_what_came_after_the_last_minute(
    tmp_path: Path, undisturbed: bytes
) -> None:
    code = """
import os, signal
from wnrepro import train
from wnrepro.training import SupervisedTraining

step = SupervisedTraining.train_step

def until_step_5_of_epoch_3(self, batch):
    if (self.epoch, self.step) == (2, 5):
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, batch)

train.SAVING_EVERY_SEC = 0  # every step is a minute
SupervisedTraining.train_step = until_step_5_of_epoch_3
train.main()
"""
    run(tmp_path, *SMALL, code=code, expect=-signal.SIGKILL)
    state = torch.load(only_run(tmp_path) / "checkpoint.pt", weights_only=True)["training"]
    assert (state["epoch"], state["step"]) == (2, 5)
    assert state["train_time_sec"] > 0
    assert "going on from epoch 2 of 6" in run(tmp_path, *SMALL).stderr
    assert (only_run(tmp_path) / "metrics.csv").read_bytes() == undisturbed


def test_without_a_terminal_a_long_run_says_where_it_is(tmp_path: Path) -> None:
    code = "from wnrepro import train; from wnrepro.commands import display\n"
    code += "display.SAYING_EVERY_SEC = 0; train.main()"
    result = run(tmp_path, *SMALL, code=code)
    lines = [line for line in result.stderr.splitlines() if line.startswith("epoch ")]
    rows = read_rows(only_run(tmp_path) / "metrics.csv")
    assert lines == [
        f"epoch {k}/6, error {row['train_error_percent']:.2f} % in training, "
        f"{row['test_error_percent']:.2f} % test"
        for k, row in enumerate(rows, 1)
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_writes_a_checkpoint_first(
    tmp_path: Path, long_undisturbed: bytes, number: signal.Signals
) -> None:
    process = start(tmp_path, *LONG)
    wait_for_epoch(tmp_path, 3, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    directory = only_run(tmp_path)
    said = status(directory)
    assert (said["state"], said["signal"]) == ("interrupted", number.name)
    assert 3 <= said["epoch"] < 40
    assert "interrupted" in stdout
    assert "repeat the command" in stdout
    assert (directory / "curves.png").exists()
    run(tmp_path, *LONG)
    assert (directory / "metrics.csv").read_bytes() == long_undisturbed


def test_a_damaged_checkpoint_is_noticed_and_the_older_used(
    tmp_path: Path, long_undisturbed: bytes
) -> None:
    process = start(tmp_path, *LONG)
    wait_for_epoch(tmp_path, 5, process)
    process.kill()
    process.communicate()
    path = only_run(tmp_path) / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = run(tmp_path, *LONG)
    assert "damaged checkpoint" in result.stderr
    assert (only_run(tmp_path) / "metrics.csv").read_bytes() == long_undisturbed


def test_a_run_that_diverges_is_a_result(tmp_path: Path) -> None:
    result = run(tmp_path, *SMALL, "norm=plain", "optim.lr=1e30")
    directory = only_run(tmp_path)
    assert status(directory)["state"] == "diverged"
    assert "diverged" in result.stdout
    assert (directory / "curves.png").exists()
    assert "already diverged" in run(tmp_path, *SMALL, "norm=plain", "optim.lr=1e30").stderr


def assert_one_error(result: subprocess.CompletedProcess[str], *parts: str, lines: int = 2) -> None:
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") <= lines, result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize(("device", "waits"), [("cuda", True), ("cpu", False)])
def test_on_a_gpu_keeping_a_run_costs_a_twentieth_of_its_time(
    device: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = object.__new__(_Run)
    kept.training = SimpleNamespace(device=torch.device(device))  # pyright: ignore
    kept.tracker, kept.metrics, kept.due = NoTracker(), [], 0.0
    monkeypatch.setattr(kept, "save", lambda: time.sleep(0.05))
    monkeypatch.setattr(kept, "record", lambda state: None)
    kept.keep()
    # 20 times 0.05 s, less what has passed since
    assert (kept.due - time.perf_counter() > 0.5) == waits


def test_no_gpu(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert_one_error(run(tmp_path, *SMALL, "device=cuda", expect=1), "no GPU", "device=cpu")
    assert_one_error(run(tmp_path, *SMALL, "precision=tf32", expect=1), "precision=float32")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_no_memory_holds(tmp_path: Path) -> None:
    result = run(tmp_path, *SMALL, "model.width=1000000", "model.depth=3", expect=1)
    assert_one_error(result, "too little memory", "model.width", lines=1)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_whose_record_lost_its_rows(tmp_path: Path) -> None:
    run(tmp_path, *SMALL, "epochs=1")
    (only_run(tmp_path) / "timing.csv").write_text("epoch\n")
    result = run(tmp_path, *SMALL, "epochs=1", expect=1)
    assert_one_error(result, "altered or lost", "timing.csv", "delete it", lines=1)
    said = status(only_run(tmp_path))
    del said["files"], said["checksum"]  # as an older version wrote it
    (only_run(tmp_path) / "status.json").write_text(json.dumps(said))
    *_, last = run(tmp_path, *SMALL, "epochs=1", expect=1).stderr.splitlines()
    assert last.startswith("error: ")
    assert "lacks rows of its record: delete it" in last


def test_it_is_said_when_other_code_goes_on(tmp_path: Path) -> None:
    run(tmp_path, *SMALL)
    directory = only_run(tmp_path)
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"commit": "abc"}))
    (directory / "status.json").unlink()
    assert "by other code than before: commit abc, then " in run(tmp_path, *SMALL).stderr


def test_an_unwritable_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(tmp_path, *SMALL, "runs.root=file/runs", expect=1)
    assert_one_error(result, "file/runs", "set runs.root")


def test_a_run_that_another_process_holds(tmp_path: Path) -> None:
    process = start(tmp_path, *LONG)
    wait_for_epoch(tmp_path, 1, process)
    process.send_signal(signal.SIGSTOP)
    try:
        result = run(tmp_path, *LONG, expect=1)
        assert_one_error(result, "in use by process", str(process.pid))
    finally:
        process.kill()
        process.communicate()


def test_a_checkpoint_of_another_config(tmp_path: Path) -> None:
    run(tmp_path, *SMALL)
    (one,) = tmp_path.glob("runs/*/*")
    run(tmp_path, *SMALL, "seed=1")
    (other,) = (p for p in tmp_path.glob("runs/*/*") if p != one)
    for name in ("checkpoint.pt", "manifest.json"):
        (other / name).write_bytes((one / name).read_bytes())
    (other / "status.json").unlink()
    result = run(tmp_path, *SMALL, "seed=1", expect=1)
    assert_one_error(result, "seed")


def test_a_run_that_fails_before_its_first_step_leaves_only_what_was_there(
    tmp_path: Path, compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(SupervisedTraining, "train_step", no_memory)
    config = compose("tracker=none", "model.width=8", f"runs.root={tmp_path}/runs")
    with pytest.raises(RunError, match="too little memory"):
        train(config)
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs"]


def test_missing_data_without_a_network(tmp_path: Path) -> None:
    result = run(tmp_path, "+exp=mnist_wn", "tracker=none", f"data.root={tmp_path}/none", expect=1)
    first, *rest = (line for line in result.stderr.splitlines() if "downloading" not in line)
    assert first.startswith("error: MNIST: 4 of 4 data files are missing")
    for part in (f"{tmp_path}/none", "data.root=DIR", "WNREPRO_DATA=DIR"):
        assert part in first
    assert len(rest) == 5
    assert all(line.startswith("  ") for line in rest)
    assert "train-images-idx3-ubyte" in rest[0]
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_fails_takes_nothing_from_a_run(tmp_path: Path) -> None:
    code = """
from wnrepro import train
from wnrepro.analysis import curves

def fails(directory):
    raise ValueError("too many arms")

curves.draw_curves = fails
train.main()
"""
    result = run(tmp_path, *SMALL, code=code)
    assert status(only_run(tmp_path))["state"] == "done"
    assert "no curves.png (ValueError: too many arms): the record is whole" in result.stderr
    assert "already done" in run(tmp_path, *SMALL).stderr
    assert (only_run(tmp_path) / "curves.png").exists()


def test_what_takes_seconds_to_import_and_is_not_needed_is_not_imported(tmp_path: Path) -> None:
    code = """
import atexit, sys
from wnrepro import train

slow = {"torch._dynamo", "sympy", "pandas", "seaborn", "wandb", "sklearn", "scipy.stats"}
atexit.register(lambda: print("imported:", *sorted(slow & sys.modules.keys())))
train.main()
"""
    assert "imported:\n" in run(tmp_path, *SMALL, code=code).stdout


def test_a_full_disk_keeps_what_is_recorded(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the full disk: a write beyond it fails in mid-file."""
    process = start(tmp_path, *LONG)
    wait_for_epoch(tmp_path, 4, process)
    process.kill()
    process.communicate()
    directory = only_run(tmp_path)
    rows = read_rows(directory / "metrics.csv")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "from wnrepro.train import main; main()"
    )
    result = run(tmp_path, *LONG, code=code, expect=1)
    assert "checkpoint.pt" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert read_rows(directory / "metrics.csv")[: len(rows)] == rows
    torch.load(directory / "checkpoint.pt", weights_only=True)
    run(tmp_path, *LONG)
    assert status(directory)["state"] == "done"
