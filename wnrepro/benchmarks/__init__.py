"""How fast this suite is, beside the usual way of doing the same: `python scripts/benchmark.py`.

Ours and the usual way run in turn in one process, and each comparison first checks that both
compute the same. A group of rows is a module of its name; the function of that name takes a
`Setting` and yields a `Measurement` for each row.
"""

from collections.abc import Callable, Iterator
from importlib import import_module

from wnrepro.benchmarks.measurement import Measurement
from wnrepro.benchmarks.setting import Setting

GROUPS = (
    *("weight_norm", "adam", "steps", "loop", "engine", "input", "precision", "zca", "sweep"),
    *("step_shares", "generative", "dqn"),
)
"""In the order of the table."""


def load(name: str) -> Callable[[Setting], Iterator[Measurement]]:
    """The function that measures group `name`."""
    return getattr(import_module(f"{__name__}.{name}"), name)
