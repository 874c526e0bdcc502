"""A condition admits the runs of its sweep, and of all others only those that are the same."""

from functools import cache

import pytest

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.commands.composition import expand
from wnrepro.config import as_dict
from wnrepro.runs.identity import computed, identity

OTHERS = [["+sweep=mnist_optimizers_lr"], ["+sweep=mnist_arms", "model.dropout=0.1"]]


@cache
def configs(*overrides: str) -> dict[str, dict]:
    """identity → config as it stands in a record."""
    composed = [computed(as_dict(config)) for config in expand(overrides).configs]
    return {identity(config): config for config in composed}


@pytest.fixture(scope="module")
def every_config() -> dict[str, dict]:
    found = {}
    for overrides in (*(each.overrides for each in EVIDENCE.values()), *OTHERS):
        found |= configs(*overrides)
    return found


def test_the_command_is_that_of_the_sweep() -> None:
    for name, command in {
        "mnist_arms": "+sweep=mnist_arms",
        "cifar_table1_bf16": "+sweep=cifar_table1 precision=bf16",
        "cifar_frozen_scale": "+exp=cifar_plain norm=plain_frozen_scale seed=0,1,2",
    }.items():
        assert EVIDENCE[name].command == f"python -m wnrepro.train -m {command}"


@pytest.mark.parametrize("name", EVIDENCE)
def test_admits_exactly_its_sweep(name: str, every_config: dict[str, dict]) -> None:
    own = configs(*EVIDENCE[name].overrides)
    admitted = {key for key, config in every_config.items() if EVIDENCE[name].admits(config)}
    assert admitted == set(own)
    assert EVIDENCE[name].planned == len(own)


CHANGES = {
    "width": ("model", "width", 48),
    "held_out": ("data", "held_out", 5000),
    "train_size": ("data", "train_size", 1000),
    "lr": ("optim", "lr", 0.002),
    "eps": ("optim", "eps", 1e-6),
    "whiten": ("data", "whiten", False),
    "dropout": ("model", "dropout", 0.0),
    "init": ("init", "name", "none"),
    "init_batch": ("init", "batch_size", 100),
    "extra": ("model", "new_key", 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_differs_anywhere_is_not_evidence(change: str) -> None:
    group, key, value = CHANGES[change]
    for config in configs("+sweep=cifar_table1").values():
        if config["norm"]["name"] == "bn" and change == "init":
            continue  # bn has no init
        changed = {**config, group: {**config[group], key: value}}
        assert not EVIDENCE["cifar_table1"].admits(changed)
        assert EVIDENCE["cifar_table1"].admits(config)
    config = next(iter(configs("+sweep=cifar_table1").values()))
    for epochs, precision in ((100, "float32"), (200, "tf32"), (200, "bf16")):
        changed = {**config, "epochs": epochs, "precision": precision}
        assert not EVIDENCE["cifar_table1"].admits(changed)


def test_more_seeds_are_welcome_but_not_in_single_points_of_a_grid() -> None:
    (config, *_) = configs("+sweep=mnist_arms").values()
    further = {**config, "seed": 5}
    assert EVIDENCE["mnist_arms"].admits({**config, "seed": 17})
    assert EVIDENCE["mnist_lr_robustness"].admits({**config, "seed": 4})
    assert not EVIDENCE["mnist_lr_robustness"].admits(further)
    assert not EVIDENCE["mnist_optimizers"].admits(further)
