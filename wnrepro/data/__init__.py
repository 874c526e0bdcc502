"""Data sets as tensors on the training device.

    dataset = load("cifar10", whiten=True, device="cuda")
    for images, labels in batches(dataset.train, 100, order):
        ...

The facts about them (`catalogue`) are there without torch, which is imported when one of the names
here is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wnrepro.data.dataset import Dataset, Split, batches, load
    from wnrepro.data.zca import ZCA

__all__ = ["ZCA", "Dataset", "Split", "batches", "load"]

_HOME = {
    "Dataset": "dataset",
    "Split": "dataset",
    "batches": "dataset",
    "load": "dataset",
    "ZCA": "zca",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
