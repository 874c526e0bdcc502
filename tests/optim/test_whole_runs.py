"""Every optim=NAME, from its config to the end of a run, interrupted and not."""

import os
import signal
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from wnrepro import optim
from wnrepro.commands.composition import CONF
from wnrepro.config import OPTIMISERS, Config, as_dict
from wnrepro.runs.rows import read_rows
from wnrepro.train import train
from wnrepro.training import SupervisedTraining

Compose = Callable[..., Config]
SMALL = ["epochs=2", "model.width=32", "threads=1", "tracker=none"]
PARAMETER = nn.Linear(1, 1).weight


def metrics_of(root: Path) -> Path:
    (path,) = root.glob("*/*/metrics.csv")
    return path


def test_there_is_a_file_and_a_class_for_each() -> None:
    assert {path.stem for path in (CONF / "optim").glob("*.yaml")} == set(OPTIMISERS)
    assert set(optim.OPTIMISERS) == set(OPTIMISERS)
    for name, keys in OPTIMISERS.items():
        file = yaml.safe_load((CONF / "optim" / f"{name}.yaml").read_text())
        assert list(file) == [each.name for each in fields(keys)]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_its_settings_reach_the_optimiser_and_the_schedule(name: str, compose: Compose) -> None:
    settings = as_dict(compose(f"optim={name}"))["optim"]
    optimizer, schedule = optim.build(params=[PARAMETER], epochs=10, **settings)
    (group,) = optimizer.param_groups
    assert group["lr"] == schedule.lr == settings["lr"]
    assert group.get("eps") == settings.get("eps")
    assert group.get("gamma") == (0 if name == "sgd" else settings.get("gamma"))
    if "betas" in group:
        assert group["betas"] == (settings["beta1"], settings["beta2"])
        assert schedule.beta1_at(0) == settings["beta1"]
        assert schedule.beta1_at(9) == settings["beta1_late"]


def test_only_adams_beta1_changes_unless_told_otherwise(compose: Compose) -> None:
    def late(*overrides: str) -> Any:
        return as_dict(compose(*overrides))["optim"]["beta1_late"]

    assert late("optim=adam") == 0.5
    assert late("optim=adamax") == 0.9
    assert late("optim=adamax", "optim.beta1=0.7") == 0.7
    assert late("optim=adamax", "optim.beta1_late=0.5") == 0.5


@pytest.mark.parametrize("name", ["adam", "adamax", "momentum"])
def test_a_constant_schedule_trains_the_first_half_of_the_papers(
    name: str, compose: Compose, tmp_path: Path
) -> None:
    curves = []
    for root, schedule in ("whole", "half_time"), ("first", "constant"):
        config = compose(f"optim={name}", *SMALL, f"runs.root={tmp_path / root}")
        config.schedule.name = schedule
        config.epochs = 4 if schedule == "half_time" else 2
        assert train(config).state == "done"
        curves.append(read_rows(metrics_of(tmp_path / root)))
    whole, first = curves
    assert first == whole[:2]
    assert whole[2]["learning_rate"] == whole[0]["learning_rate"]
    assert whole[3]["learning_rate"] == whole[0]["learning_rate"] / 2


@pytest.mark.parametrize("name", OPTIMISERS)
def test_it_trains_and_a_run_that_was_interrupted_ends_with_the_same_bytes(
    name: str, compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(compose(f"optim={name}", *SMALL, f"runs.root={tmp_path}/whole")).state == "done"
    undisturbed = metrics_of(tmp_path / "whole")
    first, second = read_rows(undisturbed)
    assert second["train_loss"] < first["train_loss"]
    assert second["test_error_percent"] < 30

    config = compose(f"optim={name}", *SMALL, f"runs.root={tmp_path}/interrupted")
    step, left = SupervisedTraining.train_step, 40  # 28 steps per epoch: in the midst of the second

    def then_stop(training: SupervisedTraining, *batch: Any) -> None:
        nonlocal left
        step(training, *batch)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SupervisedTraining, "train_step", then_stop)
    assert train(config).state == "interrupted"
    assert train(config).state == "done"
    assert metrics_of(tmp_path / "interrupted").read_bytes() == undisturbed.read_bytes()
