"""What `python -m wnrepro.runs` says is what is there, and it changes nothing."""

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wnrepro import cost
from wnrepro.commands import estimate
from wnrepro.commands.composition import compose_one
from wnrepro.commands.overview import STATES, progress_of
from wnrepro.config import Config, as_dict
from wnrepro.cost import Cost
from wnrepro.errors import RunError
from wnrepro.runs.__main__ import main
from wnrepro.runs.directory import RunDirectory
from wnrepro.runs.identity import run_directory
from wnrepro.train import train
from wnrepro.training import SupervisedTraining

SMALL = ["epochs=4", "model.width=16", "tracker=none"]


def ask(cwd: Path, *arguments: str, expect: int = 0) -> str:
    """`python -m wnrepro.runs` in this process: what it prints."""
    before, said = snapshot(cwd), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["runs", *arguments])
        assert main() == expect, said.getvalue()
    assert snapshot(cwd) == before, "asking changes nothing"
    return said.getvalue()


def snapshot(cwd: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(cwd.rglob("*")) if path.is_file()}


def line_of(said: str, run: str) -> list[str]:
    (line,) = [line for line in said.splitlines() if run in line]
    return line.split()


def _train_until_told_to_stop(seed: int) -> None:
    """By a SIGTERM, in the second of 4 epochs."""
    step = SupervisedTraining.train_step

    def then_stop(training: SupervisedTraining, *batch: Any) -> None:
        step(training, *batch)
        if (training.epoch, training.step) == (1, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedTraining, "train_step", then_stop)
        train(compose_one([f"seed={seed}", *SMALL]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed 0 is done, 1 failed, 2 killed, 3 interrupted, 4 diverged."""
    cwd = tmp_path_factory.mktemp("overview")
    with contextlib.chdir(cwd):
        train(compose_one(["seed=0", *SMALL]))
        train(compose_one(["norm=plain", "seed=4", "optim.lr=1e30", *SMALL]))
        for seed in (2, 3):
            _train_until_told_to_stop(seed)
    # What a SIGKILL leaves: nobody has the run, and its status says that somebody does.
    (killed,) = cwd.glob("runs/*/seed2-*/status.json")
    said = json.loads(killed.read_text())
    killed.write_text(json.dumps(said | {"state": "running", "signal": None}))
    failed = cwd / run_directory(as_dict(compose_one(["seed=1", "data=mnist", *SMALL])))
    with pytest.raises(RunError), RunDirectory(failed).claim():
        raise RunError("out of luck")
    return cwd


def test_every_run_is_shown_with_its_state(folder: Path) -> None:
    said = ask(folder, "status")
    assert line_of(said, "digits_wn/seed0")[0] == "done"
    assert line_of(said, "digits_wn/seed2")[0] == "killed"
    assert line_of(said, "digits_wn/seed3")[0] == "interrupted"
    assert line_of(said, "digits_wn/seed3")[-1] == "SIGTERM"
    assert line_of(said, "mnist_wn/seed1")[0] == "failed"
    assert "out of luck" in said
    assert line_of(said, "digits_plain/seed4")[0] == "diverged"
    assert "4/4" in line_of(said, "digits_wn/seed0")
    assert said.splitlines()[-1].startswith("5 runs: 1 killed, 1 failed, 1 interrupted, 1 diverged")


def test_a_folder_may_be_named_as_the_runs_were_told_it(folder: Path) -> None:
    assert ask(folder, "status", "runs.root=runs") == ask(folder, "status", "runs")


def test_the_error_shown_is_that_of_the_last_epoch(folder: Path) -> None:
    (metrics,) = folder.glob("runs/digits_wn/seed0-*/metrics.csv")
    header, *rows = metrics.read_text().splitlines()
    column = header.split(",").index("test_error_percent")
    last = float(rows[-1].split(",")[column])
    assert f"{last:.2f}" in line_of(ask(folder, "status"), "digits_wn/seed0")


def test_a_run_under_way_is_running_and_not_killed(
    tmp_path: Path, compose: Callable[..., Config]
) -> None:
    path = tmp_path / run_directory(as_dict(compose("seed=7")))
    with RunDirectory(path).claim():
        said = ask(tmp_path, "status")
        assert line_of(said, "seed7")[0] == "running"
        assert f"process {os.getpid()}" in said
    assert line_of(ask(tmp_path, "status"), "seed7")[0] == "interrupted"


def test_a_run_whose_lock_is_closed_to_us_is_not_called_killed(
    tmp_path: Path, compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / run_directory(as_dict(compose("seed=7")))
    with RunDirectory(path).claim():
        monkeypatch.setattr(RunDirectory, "held", lambda self: None)
        run = progress_of(path, {"/".join(path.parts[-2:]): "7_0"})
    assert run.state == "unknown"
    assert run.note.endswith("running, or not to be told from here")
    assert run.state in STATES


def test_the_plan_of_a_sweep_counts_what_is_left(folder: Path) -> None:
    said = ask(folder, "plan", "norm=wn,mean_only_bn", "seed=0,5", "threads=1", *SMALL)
    header, wn, other, total, cost = [line.split() for line in said.splitlines()]
    assert header[-2:] == ["new", "done"]
    assert wn == ["digits_wn", "2", "1", "1"]
    assert other == ["digits_mean_only_bn", "2", "2"]
    assert " ".join(total) == "4 runs, 1 of them finished, 3 to do"
    assert cost[0] == "about"
    assert " ".join(cost[3:6]) == "on this machine,"


def test_the_plan_and_the_queue_ask_one_estimate_for_the_epochs_that_are_left(
    compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No epoch twice, as many runs side by side as there are places."""
    monkeypatch.setattr(estimate.Machine, "_cost", lambda self, config: Cost(1e9, 60.0))
    monkeypatch.setattr(estimate, "places", lambda configs: 4)
    config = compose("epochs=10")
    assert estimate.Machine().rest([(config, 0), (config, 4)]) == (Cost(1.6e9, 48.0), 2)
    assert estimate.Machine().rest(5 * [(config, 0)]) == (Cost(5e9, 75.0), 4)


def test_work_of_one_kind_is_measured_once(
    compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(cost, "measure", lambda config: asked.append(config) or Cost(4e9, 40.0))
    configs = [compose(f"norm={arm}", "epochs=4") for arm in ("wn", "plain")]
    longer = compose("epochs=8")
    machine = estimate.Machine()
    measured = [machine._cost(each).seconds for each in (*configs, longer)]
    assert (measured, len(asked)) == ([40, 40, 80], 1)
    machine._cost(compose("model.width=16"))
    assert len(asked) == 2


def test_a_machine_without_the_device_says_so(folder: Path) -> None:
    if not torch.cuda.is_available():
        said = ask(folder, "plan", "seed=9", "device=cuda", *SMALL).splitlines()[-1]
        assert said.startswith("what they take is not known here: device=cuda, but")


def test_a_finished_sweep_has_nothing_to_do(folder: Path) -> None:
    said = ask(folder, "plan", "seed=0", *SMALL)
    assert said.splitlines()[-1] == "1 runs, 1 of them finished, 0 to do"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["status", "nosuch"], 1, "nosuch is no folder with runs"),
        (["plan", "+sweep=digits_arm"], 2, "did you mean digits_arms?"),
        (["plan", "norm=wn,bn", "init=data_dependent"], 2, "norm=bn has no data-dependent init"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    printed = ask(tmp_path, *arguments, expect=code)
    assert printed.startswith("error: ")
    assert said in printed
    assert printed.count("\n") == 1
