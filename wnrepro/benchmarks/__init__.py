"""How fast this suite is, beside the usual way of doing the same: `python scripts/benchmark.py`.

Ours and the usual way run in turn in one process, and each comparison first checks that both
compute the same. One module per group of rows; a group is a function of a `Setting` that yields
`Row`s.
"""

from collections.abc import Callable, Iterator
from importlib import import_module

from wnrepro.benchmarks.row import Row
from wnrepro.benchmarks.setting import Setting

GROUPS = {
    "weight_norm": "layers",
    "adam": "optimiser",
    "steps": "steps",
    "loop": "loop",
    "engine": "epochs",
    "input": "input",
    "precision": "precision",
    "zca": "whitening",
    "memory": "memory",
    "run": "runs",
    "sweep": "runs",
    "profile": "profile",
}
"""The groups in the order of the table, each with the module whose function of that name it is."""


def load(name: str) -> Callable[[Setting], Iterator[Row]]:
    """The function that measures group `name`. Raises KeyError for a name not in GROUPS."""
    return getattr(import_module(f"{__name__}.{GROUPS[name]}"), name)
