"""What the figures have in common: title, names of lines, logarithmic axes of errors."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from wnrepro.drawing import label_ends, panels

End = tuple[float, str, str]
"""Where a line ends (y), what it is called and its colour."""

LINEAR_BELOW_PERCENT = 0.01
"""An error may be 0, which a logarithm does not show: below this the axis is linear."""
_STEPS = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    tuple(x / 2 for x in range(2, 20)),
    tuple(x / 10 for x in range(10, 100)),
    tuple(x / 100 for x in range(100, 1000)),
)
"""Ticks within a decade, coarse to fine."""
_FEWEST, _MOST = 3, 7
_TITLE_CHARACTERS = 92
"""As many of 10 pt as go into the width."""


def canvas(title: str, columns: int = 2, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A row of panels under a title, which says what is shown and n; in two lines if it is long."""
    figure, axes = panels(columns, height)
    if len(title) > _TITLE_CHARACTERS:
        title = "\n".join(title.rsplit("; ", 1))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for each in axes:
        each.set_axisbelow(True)
    return figure, axes


def name_lines(axes: Axes, ends: Iterable[End]) -> None:
    """Name lines at the right edge of the axes, at the height where they end or near it.

    To be called when the axes have their limits and scales.
    """
    low, high = axes.get_ylim()
    edge = axes.get_xlim()[1]
    label_ends(axes, [(edge, min(max(y, low), high), text, colour) for y, text, colour in ends])


def whole_numbers(axes: Axes, most: int = 6) -> None:
    """An axis from 0 with at most so many intervals between ticks."""
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=most, integer=True))


def log_errors(axes: Axes, values: Sequence[float] | np.ndarray) -> None:
    """A logarithmic axis in percent that shows all finite `values`, with a margin.

    Down to 0 where a value is below `LINEAR_BELOW_PERCENT`; linear there.
    """
    low, high = _range(values)
    low, high = (low / 1.12 if low > LINEAR_BELOW_PERCENT else 0.0), min(high * 1.12, 100.0)
    high = max(high, 2 * LINEAR_BELOW_PERCENT)
    axes.set_yscale("symlog", linthresh=LINEAR_BELOW_PERCENT, linscale=0.4)
    start = max(low, LINEAR_BELOW_PERCENT)
    _set_ticks(axes, low, high, ([0.0] if low == 0 else []) + ticks(start, high))


def log_norms(axes: Axes, values: Sequence[float] | np.ndarray) -> None:
    """A logarithmic axis that shows all finite `values`, which are positive, with a margin."""
    low, high = _range(values)
    low, high = low / 1.12, high * 1.12
    axes.set_yscale("log")
    _set_ticks(axes, low, high, ticks(low, high))


def log_rates(axes: Axes, rates: Iterable[float], most: int = 5) -> None:
    """A logarithmic axis of learning rates, with all of them inside, and at most so many ticks."""
    known = sorted(set(rates)) or [1.0]
    low, high = known[0] / 2, known[-1] * 2
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = [d for d in range(-12, 7) if low <= 10.0**d <= high]
    shown = [10.0**d for d in decades[:: -(-len(decades) // most)]] if len(decades) > 1 else known
    axes.xaxis.set_major_locator(FixedLocator(shown))
    if len(decades) <= 1:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between low and high (> 0), for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in _STEPS:
        found = [float(f"{step}e{decade}") for decade in decades for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= _FEWEST:
            break
    return found[:: max(1, -(-len(found) // _MOST))]


def _range(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 100.0)


def _set_ticks(axes: Axes, low: float, high: float, shown: list[float]) -> None:
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(FixedLocator([]))
