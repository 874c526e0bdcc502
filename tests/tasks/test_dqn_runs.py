"""Whole runs of DQNs: recorded, stopped, killed, gone on with; at smoke scale."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch

from wnrepro import train as runner
from wnrepro.arms import ARMS
from wnrepro.commands import pictures
from wnrepro.config import Config, as_dict
from wnrepro.cost import measure
from wnrepro.errors import ConfigError
from wnrepro.runs.collection import collect
from wnrepro.runs.pictures import kept
from wnrepro.runs.rows import read_rows
from wnrepro.runs.tables import read_tables
from wnrepro.tasks import TASKS
from wnrepro.tasks.dqn import GAMES, TASK, DQNConfig
from wnrepro.tasks.dqn.replay import REPLAY_FILE
from wnrepro.tasks.dqn.training import DQNTraining
from wnrepro.train import Stopped, train

Compose = Callable[..., Config]

EXPERIMENTS = [name.replace("atari_", "dqn_") for name in GAMES[::2]]
SMALL = (
    *("tracker=none", "model.width=8", "init.batch_size=50", "batch_size=8", "epochs=2"),
    *("task.epoch_steps=80", "task.evaluation_steps=30", "task.learning_starts=40"),
    *("task.replay_size=60", "task.target_every=10", "task.init_every=1"),
)
GAME = {"minatar": "+exp=minatar_breakout_wn", "atari": "+exp=dqn_breakout_wn"}


def small(compose: Compose, root: Path, kind: str = "minatar", *overrides: str) -> Config:
    return compose(GAME[kind], *SMALL, f"runs.root={root}", *overrides)


def record(root: Path) -> tuple[bytes, Path]:
    (directory,) = root.glob("*/*")
    return (directory / "metrics.csv").read_bytes(), directory


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_the_papers_or_minatars(name: str, compose: Compose) -> None:
    plain, wn = (compose(f"+exp={name}_{arm}") for arm in ("plain", "wn"))
    for config, rate, init in ((plain, 0.0001, "none"), (wn, 0.0003, "data_dependent")):
        optim = as_dict(config)["optim"]
        assert (optim["name"], optim["lr"], optim["beta1"]) == ("adamax", rate, 0.5)
        assert (config.batch_size, config.init.name) == (64, init)
        assert TASK.experiment(config) == name
    assert compose(f"+exp={name}_wn", "init=none").init.name == "none"
    if name.startswith("dqn_"):
        task = cast(DQNConfig, wn.task)
        assert (wn.epochs, task.epoch_steps, wn.model.width) == (200, 250_000, 512)
        assert (task.frame_skip, task.history, task.replay_size) == (4, 4, 1_000_000)


@pytest.mark.parametrize("kind", GAME)
def test_a_run_is_recorded_drawn_and_collected(kind: str, compose: Compose, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    config = small(compose, root, kind)
    assert train(config).state == "done"
    _, directory = record(root)
    assert directory.parent.name == f"dqn_{config.data.name}_wn"
    rows = read_rows(directory / "metrics.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["train_loss"] > 0 <= row["test_score"] for row in rows)
    assert read_rows(directory / "timing.csv")[0]["frames_per_sec"] > 0
    assert (directory / "curves.png").stat().st_size > 5_000
    assert (directory / "game.png").stat().st_size > 500
    assert not (directory / REPLAY_FILE).exists()
    collect([root], tmp_path / "results")
    (collected,) = read_tables(tmp_path / "results").values()
    drawn = kept(tmp_path / "results")[collected.row["identity"]]
    assert drawn.keys() == {each.name for each in TASK.pictures}
    assert collected.rows()[-1]["test_score"] == rows[-1]["test_score"]
    assert collected.rows()[-1]["test_max_score"] == max(row["test_score"] for row in rows)


@pytest.mark.parametrize("kind", GAME)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    kind: str, compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(small(compose, tmp_path / "whole", kind))
    step, stops = DQNTraining.train_step, {(0, 3), (1, 15)}

    def stopping(self: DQNTraining) -> None:
        if (self.epoch, self.step) in stops:
            stops.remove((self.epoch, self.step))
            raise Stopped
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(DQNTraining, "train_step", stopping)
        states = [train(small(compose, tmp_path / "parts", kind)).state for _ in range(3)]
    assert states == ["interrupted"] * 2 + ["done"]
    assert record(tmp_path / "parts")[0] == record(tmp_path / "whole")[0]


@pytest.fixture(autouse=True)
def _quick_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than these runs, and are looked at in one test."""
    if "recorded" not in request.node.name:
        monkeypatch.setattr(pictures, "curves", lambda directory: {})


def train_until_killed(config: Config, steps: int) -> None:
    """Dies without a word after so many steps; a checkpoint is written after most of them."""
    torch.set_num_threads(1)
    runner.SAVING_EVERY_SEC = 0
    before = DQNTraining.train_step
    left = steps

    def dying(self: DQNTraining) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        runner.SAVING_EVERY_SEC = 0 if left % 7 else 1000
        before(self)

    DQNTraining.train_step = dying
    train(config)


SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["wnrepro.tasks.dqn.assembly", "wnrepro.train", __name__])


@pytest.mark.parametrize("kind", GAME)
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    kind: str, compose: Compose, tmp_path: Path
) -> None:
    train(small(compose, tmp_path / "whole", kind))
    draw = random.Random(1)
    config = small(compose, tmp_path / "killed", kind)
    for _ in range(3):
        process = SPAWN.Process(target=train_until_killed, args=(config, draw.randint(1, 15)))
        process.start()
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
    assert record_exists(tmp_path / "killed")
    assert train(config).state == "done"
    assert record(tmp_path / "killed")[0] == record(tmp_path / "whole")[0]


def record_exists(root: Path) -> bool:
    return any(root.glob(f"*/*/{REPLAY_FILE}"))


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_can_be_trained(arm: str, compose: Compose, tmp_path: Path) -> None:
    config = small(compose, tmp_path, "minatar", f"norm={arm}", "epochs=1")
    assert train(config).state == "done"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data=digits",), "data.name=digits is unknown"),
        (("model=nature_cnn",), "use model=minatar_cnn"),
        (("data.held_out=10",), "data.held_out is not for task=dqn"),
        (("model.dropout=0.5",), "model.dropout is not for task=dqn"),
        (("precision=bf16",), "gains nothing"),
        (("compile=true",), "compile=true is not for task=dqn"),
        (("task.discount=1.5",), "task.discount=1.5 is out of range"),
        (("task.frame_skip=4",), "MinAtar has 1"),
        (("task.replay_size=32",), "batch_size=64 is out of range"),
        (("task.epoch_steps=12501",), "must be a multiple of task.update_every=2"),
        (("task.epsilon=0.1",), "task.epsilon"),
    ],
)
def test_what_cannot_be_is_one_line(
    overrides: tuple[str, ...], said: str, compose: Compose
) -> None:
    with pytest.raises((ConfigError, Exception), match=said) as refused:
        compose("+exp=minatar_breakout_wn", *overrides)
    if "epsilon" not in said:
        assert isinstance(refused.value, ConfigError)


def test_what_a_run_takes_is_measured(compose: Compose, tmp_path: Path) -> None:
    config = small(compose, tmp_path)
    cost = measure(config)
    assert cost.seconds > 0
    assert cost.flop > 1e6


def test_the_config_of_a_run_holds_all_keys_of_the_task(compose: Compose) -> None:
    assert TASKS["dqn"] is TASK
    assert as_dict(compose("+exp=dqn_seaquest_wn"))["task"]["epsilon_steps"] == 1_000_000
