"""The committed runs keep their identities and their bytes, whatever is added to the suite."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from wnrepro.config import Config, as_dict
from wnrepro.resolution import from_record
from wnrepro.runs.identity import ADDED, computed, identity
from wnrepro.runs.rows import write_rows
from wnrepro.runs.tables import CollectedRun, read_tables

RESULTS = Path(__file__).resolve().parents[2] / "results"

PINNED = {  # identity: what trains it, and the head of its metrics.csv's SHA-256
    "8b0ae44a4c": ("+exp=digits_wn", "9ee9b910a90cea4a"),
    "5515e9b339": ("+exp=digits_plain seed=1", "98e4bc9da662a5bb"),
    "71410dd415": ("+exp=mnist_wn seed=2", "9082c3d9a000296a"),
    "c8f7ff5f5e": ("+exp=mnist_bn optim.lr=0.1 seed=3", "eb1ec29dcb607b67"),
    "dfe13ad6d9": ("+exp=mnist_mean_only_bn init=none seed=4", "f33f1694af16951d"),
    "dafdd13e07": ("+exp=mnist_wn_mean_only_bn optim.lr=1e-05", "5497a831510f2f42"),
    "1ba2164636": ("+exp=mnist_wn optim=momentum optim.lr=0.01", "99d400b42c4b276d"),
    "e378df8087": (
        "+exp=mnist_plain optim=averaged_momentum optim.lr=0.3 seed=1",
        "c90e7263b66bb24c",
    ),
    "a745a3d755": ("+exp=mnist_bn optim=adadelta optim.lr=0.01 seed=2", "5d9a808999dd2e6e"),
    "86d75c68ab": ("+exp=mnist_plain optim=adamax optim.lr=0.003 seed=3", "6721653f5204dacc"),
    "d18b937f68": ("+exp=fashion_mnist_wn_mean_only_bn seed=4", "72c008d01e06dd83"),
    "1304142796": ("+exp=cifar_bn model.width=24 epochs=10", "4ab5104dbc575bd4"),
    "ba33e8c063": (
        "+exp=cifar_plain model.width=24 epochs=10 optim.lr=0.003 seed=1",
        "db6f4c3c42d7b709",
    ),
    "55a8cdad21": ("+exp=cifar_wn schedule=constant epochs=12", "52a7351f584fccc1"),
}


@pytest.fixture(scope="module")
def collected() -> dict[str, CollectedRun]:
    return read_tables(RESULTS)


def test_each_config_still_has_its_identity(collected: dict[str, CollectedRun]) -> None:
    assert len(collected) >= 499
    assert all(identity(run.config) == key for key, run in collected.items())
    for key, run in list(collected.items())[::20]:
        assert identity(as_dict(from_record(run.config))) == key


@pytest.mark.parametrize("key", PINNED)
def test_its_command_still_finds_a_run(key: str, compose: Callable[..., Config]) -> None:
    overrides, _ = PINNED[key]
    assert identity(as_dict(compose(*overrides.split()))) == key


@pytest.mark.parametrize("key", PINNED)
def test_its_rows_are_written_as_the_same_bytes(
    key: str, collected: dict[str, CollectedRun], tmp_path: Path
) -> None:
    write_rows(tmp_path / "metrics.csv", collected[key].rows())
    assert (
        hashlib.sha256((tmp_path / "metrics.csv").read_bytes()).hexdigest()[:16] == PINNED[key][1]
    )


@pytest.mark.parametrize("key", ADDED)
def test_a_key_with_the_value_of_older_runs_counts_for_nothing(key: str) -> None:
    group, _, last = key.rpartition(".")
    config = {"seed": 0}

    def with_value(value: object) -> dict:
        return {**config, group: {last: value}} if group else {**config, last: value}

    assert computed(with_value(ADDED[key])) == config
    assert identity(with_value("another")) != identity(config)
