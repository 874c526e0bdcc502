"""A reproduction of Salimans & Kingma, *Weight Normalization* (NIPS 2016)."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wnrepro.analysis.tidy import Results

__all__ = ["results"]


def results(*folders: str | Path) -> "Results":
    """All runs in these folders as two tidy frames: see `wnrepro.analysis.tidy.results`.

    ::

        curves, final = wnrepro.results("runs")  # or "results": the committed ones
    """
    from wnrepro.analysis import tidy  # pandas takes a second to import

    return tidy.results(*folders)
