"""Sweeps on this machine: what is interrupted, killed or failing loses and stops nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from wnrepro.config import Config, as_dict
from wnrepro.runs.collection import collect
from wnrepro.runs.identity import run_directory

CHECKOUT = Path(__file__).resolve().parents[2]

GRID = ["norm=wn,plain", "seed=0,1,2", "tracker=none", "model.width=32", "epochs=25"]
SWEEP = [sys.executable, "-m", "wnrepro.train", "-m", *GRID, "hydra.launcher.runs_at_once=2"]
ALONE = [sys.executable, "-m", "wnrepro.train", "tracker=none", "model.width=32", "epochs=25"]


def sweep(cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(SWEEP, cwd=cwd, capture_output=True, text=True, check=False)


def start(cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        SWEEP,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def states(cwd: Path) -> dict[str, dict]:
    """The status of each run, by its directory."""
    found = {}
    for path in sorted(cwd.glob("runs/*/*/status.json")):
        found[str(path.parent.relative_to(cwd))] = json.loads(path.read_text())
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this took too long"
        time.sleep(0.01)


def metrics(cwd: Path) -> dict[str, bytes]:
    return {
        str(path.parent.relative_to(cwd)): path.read_bytes()
        for path in sorted(cwd.glob("runs/*/*/metrics.csv"))
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sweep ran undisturbed."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    result = sweep(cwd)
    assert result.returncode == 0, result.stderr
    assert "6 of 6 runs have finished" in result.stdout
    return cwd


@pytest.fixture(scope="module")
def undisturbed(reference: Path) -> dict[str, bytes]:
    """metrics.csv of each run of the sweep."""
    return metrics(reference)


def collected(cwd: Path) -> dict[str, pd.DataFrame]:
    """The tables of the runs in `cwd`, but for the columns that the machine and the day decide."""
    results = cwd / "results"
    report = collect([cwd / "runs"], results)
    assert not report.problems
    assert not report.unfinished
    tables = {path.name: pd.read_csv(path) for path in sorted(results.iterdir())}
    assert len(tables) == 3
    varying = ["time_per_epoch_sec", "train_time_sec", "resumptions", "date", "command"]
    return {name: table.drop(columns=varying, errors="ignore") for name, table in tables.items()}


def test_a_run_is_the_same_alone_and_in_a_sweep(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    assert len(undisturbed) == 6
    for run in ("norm=plain", "seed=2"), ("norm=wn", "seed=1"):
        subprocess.run([*ALONE, *run], cwd=tmp_path, check=True, capture_output=True)
    alone = metrics(tmp_path)
    assert len(alone) == 2
    for name, content in alone.items():
        assert undisturbed[name] == content


def test_a_killed_sweep_goes_on_where_it_was(
    tmp_path: Path, reference: Path, undisturbed: dict[str, bytes]
) -> None:
    def finished() -> list[str]:
        return [name for name, status in states(tmp_path).items() if status["state"] == "done"]

    process = start(tmp_path)
    wait_until(lambda: len(finished()) >= 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {name: states(tmp_path)[name] for name in finished()}
    assert 2 <= len(before) < 6
    result = sweep(tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"6 runs, {len(before)} of them finished before" in result.stderr
    after = states(tmp_path)
    assert {name: after[name] for name in before} == before, "what was done is not done again"
    assert metrics(tmp_path) == undisturbed
    assert "6 of 6 runs have finished" in sweep(tmp_path).stdout
    for name, table in collected(tmp_path).items():
        pd.testing.assert_frame_equal(table, collected(reference)[name])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_writes_checkpoints_first(
    tmp_path: Path, undisturbed: dict[str, bytes], number: signal.Signals
) -> None:
    process = start(tmp_path)
    wait_until(lambda: any(s["epoch"] > 2 for s in states(tmp_path).values()))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert "repeat the command" in stderr
    assert "interrupted" in stdout
    assert "Traceback" not in stderr
    assert {s["state"] for s in states(tmp_path).values()} <= {"interrupted", "done"}
    assert sweep(tmp_path).returncode == 0
    assert metrics(tmp_path) == undisturbed


def test_a_sweep_whose_parent_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_until(lambda: any(s["epoch"] > 1 for s in states(tmp_path).values()))
    workers = {s["pid"] for s in states(tmp_path).values()}
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 30)
    process.communicate()
    assert {s["state"] for s in states(tmp_path).values()} <= {"interrupted", "done"}


def test_a_process_that_is_killed_costs_only_time(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    process = start(tmp_path)
    wait_until(lambda: any(s["epoch"] > 2 for s in states(tmp_path).values()))
    victim = next(s["pid"] for s in states(tmp_path).values() if s["epoch"] > 2)
    os.kill(victim, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "6 of 6 runs have finished" in stdout
    assert metrics(tmp_path) == undisturbed


def test_failing_runs_do_not_stop_the_others(
    tmp_path: Path, compose: Callable[..., Config], undisturbed: dict[str, bytes]
) -> None:
    blocked = []
    for overrides in (["norm=wn", "seed=1"], ["norm=plain", "seed=0"]):
        config = compose("tracker=none", "model.width=32", "epochs=25", *overrides)
        path = tmp_path / run_directory(as_dict(config))
        path.parent.mkdir(parents=True)
        path.write_text("a file stands where the run's directory should be")
        blocked.append(path)
    result = sweep(tmp_path)
    assert result.returncode == 1
    assert "4 of 6 runs have finished" in result.stdout
    for path in blocked:
        (line,) = [line for line in result.stdout.splitlines() if path.name in line]
        assert line.split()[0] == "failed"
        assert "cannot write the run directory" in line
        path.unlink()
    assert "Traceback" not in result.stderr
    (altered, *_) = sorted(tmp_path.glob("runs/digits_wn/*/metrics.csv"))
    altered.write_text(altered.read_text().replace("1", "2", 1))
    result = sweep(tmp_path)
    assert result.returncode == 1
    assert "5 of 6 runs have finished" in result.stdout
    assert f"altered or lost since the run finished: {altered.relative_to(tmp_path)}" in (
        result.stdout
    )
    shutil.rmtree(altered.parent)
    assert sweep(tmp_path).returncode == 0
    assert metrics(tmp_path) == undisturbed


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("device=cuda", "no GPU here"),
        ("runs.root=file/runs", "cannot write runs.root=file/runs"),
        ("data.root=none", "data.root"),
    ],
)
def test_what_no_run_of_it_has_is_one_error_and_no_run_begins(
    override: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "wnrepro.train", "-m", "+exp=mnist_wn", "seed=0,1", override]
    result = subprocess.run(
        [*command, "tracker=none"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 1
    assert result.stderr.count("error: ") == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_mistake_in_any_run_is_found_before_the_first(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "wnrepro.train", "-m", "norm=wn,bn", "init=data_dependent"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: norm=bn has no data-dependent init")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mistake", ["runs_at_once=0", "runs_at_once=two", "runs_at_onc=2"])
def test_a_mistake_in_the_launchers_keys_is_one_line(tmp_path: Path, mistake: str) -> None:
    command = [*SWEEP[:-1], f"hydra.launcher.{mistake}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"hydra.launcher.{mistake.split('=')[0]}" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_sweeps_at_once_never_train_a_run_twice(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    first, second = start(tmp_path), start(tmp_path)
    outputs = [process.communicate(timeout=180) for process in (first, second)]
    assert 0 in (first.returncode, second.returncode) or all("held" in o for o, _ in outputs)
    assert sweep(tmp_path).returncode == 0
    assert metrics(tmp_path) == undisturbed
    for path in tmp_path.glob("runs/*/*/manifest.json"):
        assert (
            "resumed" not in json.loads(path.read_text())
            or not json.loads(path.read_text())["resumed"]
        ), "a run that was held elsewhere was taken up"


def test_a_file_that_is_edited_in_mid_sweep_changes_nothing(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    checkout = tmp_path / "checkout"
    for part in ("conf", "wnrepro"):
        shutil.copytree(CHECKOUT / part, checkout / part)
    process = subprocess.Popen(
        [*SWEEP, f"runs.root={tmp_path}/runs"],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: any(s["epoch"] > 0 for s in states(tmp_path).values()))
    for path in (checkout / "conf").rglob("*.yaml"):
        path.write_text("no: [config")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert metrics(tmp_path) == undisturbed
