"""The identity of a run is a function of what is computed, and of nothing else."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wnrepro.runs.identity import EXCLUDED, differences, identity, run_directory

CONFIG: dict[str, Any] = {
    "data": {"name": "mnist", "root": "/somewhere", "held_out": 0},
    "norm": {"name": "wn"},
    "optim": {"name": "adam", "lr": 0.003, "betas": [0.9, 0.999]},
    "init": {"name": "data_dependent"},
    "epochs": 20,
    "seed": 0,
    "precision": "float32",
    "device": "auto",
    "threads": 1,
    "tracker": {"name": "wandb", "group": None},
    "runs": {"root": "runs"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    group = config
    for parent in parents:
        group = group[parent]
    group[last] = value
    return config


def test_is_stable_over_versions() -> None:
    """A constant: were it to change, every recorded run would be computed again."""
    assert identity(CONFIG) == "f20787f77c"


def test_is_the_same_in_another_process() -> None:
    code = f"from wnrepro.runs.identity import identity; print(identity({CONFIG!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == identity(CONFIG)


@pytest.mark.parametrize("path", EXCLUDED)
def test_does_not_depend_on_what_is_not_computed(path: str) -> None:
    assert identity(changed(path, "other")) == identity(CONFIG)
    assert identity(changed(path, {"name": "other", "deep": [1]})) == identity(CONFIG)


def test_does_not_depend_on_whether_an_excluded_key_is_there() -> None:
    config = copy.deepcopy(CONFIG)
    del config["tracker"], config["runs"], config["device"], config["threads"]
    del config["data"]["root"]
    assert identity(config) == identity(CONFIG)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.name", "digits"),
        ("data.held_out", 1),
        ("data.held_out", False),
        ("norm.name", "bn"),
        ("optim.lr", 0.0030000000000000005),
        ("optim.betas", [0.999, 0.9]),
        ("optim.betas", [0.9]),
        ("optim.root", "a key named root elsewhere counts"),
        ("epochs", "20"),
        ("epochs", None),
        ("seed", 1),
        ("precision", "bfloat16"),
        ("new", 0),
    ],
)
def test_depends_on_everything_else(path: str, value: Any) -> None:
    other = changed(path, value)
    assert identity(other) != identity(CONFIG)
    assert [key for key, _, _ in differences(CONFIG, other)] == [path]


def test_equal_numbers_are_one_value() -> None:
    assert identity(changed("epochs", 20.0)) == identity(CONFIG)
    assert not differences(CONFIG, changed("epochs", 20.0))
    assert identity(changed("optim.lr", 1)) == identity(changed("optim.lr", 1.0))
    assert identity(changed("optim.lr", 1e300)) == identity(changed("optim.lr", int(1e300)))
    assert identity(changed("optim.betas", (0.9, 0.999))) == identity(CONFIG)


def test_does_not_depend_on_order() -> None:
    assert identity(dict(reversed(CONFIG.items()))) == identity(CONFIG)


@pytest.mark.parametrize("value", [Path("x"), {1, 2}, {1: 2}, b"x"])
def test_refuses_what_is_not_plain(value: Any) -> None:
    with pytest.raises(TypeError, match="optim"):
        identity(changed("optim", value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_what_is_no_number(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        identity(changed("optim.lr", value))


def test_directory() -> None:
    expected = Path("runs") / "mnist_wn" / f"seed0-{identity(CONFIG)}"
    assert run_directory(CONFIG) == expected


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("wnrepro.runs.directory", "torch wandb numpy hydra omegaconf matplotlib"),
        ("wnrepro.runs.identity", "torch wandb numpy hydra omegaconf matplotlib"),
        ("wnrepro.runs.interruption", "torch wandb numpy hydra omegaconf matplotlib"),
        ("wnrepro.analysis.curves", "torch wandb hydra omegaconf"),
    ],
)
def test_imports_nothing_heavy(module: str, banned: str) -> None:
    code = f"import sys, {module}; print(set(sys.modules) & set({banned.split()!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
