"""Fixtures for all tests: the real data, torch's threads, which weights were computed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported: several tests share the cores, and a thread that waits for another by
# spinning keeps that one from its core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from wnrepro.commands.composition import CONF, experiments
from wnrepro.config import Config
from wnrepro.data import catalogue, files
from wnrepro.errors import DataError
from wnrepro.nn.layers import WeightNormLayer
from wnrepro.resolution import register_schema, resolve

# Examples that take long on a loaded machine are no failures.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

LONGEST = (
    "test_slurm.py",
    "test_train.py",
    "test_experiments.py",
    "test_local_sweep.py",
    "test_tracking.py",
    "test_evidence_queue.py",
    "test_dqn_runs.py",
    "test_evidence.py",
)
"""Files whose tests take minutes; these begin first. A file is one process's, and the others would
wait for one that begins last."""

UNPACK = Path(__file__).resolve().parents[2] / "shared" / "data" / "unpack.py"
"""Lays out the real data where there is no network; not part of this repository."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of which layers a weight was computed, by id."""
    calls: list[int] = []
    weight_of = WeightNormLayer.weight_of
    monkeypatch.setattr(
        WeightNormLayer,
        "weight_of",
        lambda self, v, g: calls.append(id(self)) or weight_of(self, v, g),
    )
    return calls


@pytest.fixture(scope="session")
def data_root() -> Path:
    """A directory with the real MNIST, Fashion-MNIST and CIFAR-10; tests must not write to it.

    It is the variable WNREPRO_DATA where that is set; else a cache outside the repository, filled
    from packed copies or by downloading. Where there is no data to be had, CI fails and others
    skip.
    """
    if named := os.environ.get(files.ROOT_VARIABLE):
        return files.resolve_root(named)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = Path(cache).expanduser().absolute() / "wnrepro" / "data"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name("data.lock")):
        if UNPACK.exists():
            subprocess.run([sys.executable, UNPACK, root], check=True, capture_output=True)
        try:
            for name in catalogue.NAMES:
                files.locate(name, root)
        except DataError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error), pytrace=False)
            pytest.skip(f"no real data: {str(error).splitlines()[0]}")
    return root


@pytest.fixture
def compose() -> Callable[..., Config]:
    """The resolved config of `python -m wnrepro.train` with the given overrides."""
    register_schema(experiments())

    def composed(*overrides: str) -> Config:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            return resolve(hydra.compose("config", overrides=list(overrides)))

    return composed
