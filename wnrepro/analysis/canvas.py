"""What the figures have in common: title, names of lines, logarithmic axes of errors."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from wnrepro import drawing
from wnrepro.arms import ARMS
from wnrepro.drawing import label_ends, panels


class End(NamedTuple):
    """Where the line of an arm ends; x: None for the right edge of the axes."""

    y: float
    arm: str
    x: float | None = None


DIVERGED = "×: a seed diverged"
DIVERGED_HEIGHT = 1.03
"""In axes' heights: such crosses stand above the axes, where no error is."""

LINEAR_BELOW_PERCENT = 0.01
"""An error may be 0, which a logarithm does not show: below this the axis is linear."""
_STEPS = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    tuple(x / 2 for x in range(2, 20)),
    tuple(x / 10 for x in range(10, 100)),
    tuple(x / 100 for x in range(100, 1000)),
)
"""Ticks within a decade, coarse to fine."""
_FEWEST, _MOST = 3, 7
_LOWEST, _HIGHEST = 0.16, 0.75
"""The first tick is below, and the last above, this share of the axis."""
_MINOR_DECADES = 2.5
"""An axis of fewer has a mark without a number at each of 1 to 9 in a decade."""
_MARKED = 3
"""So many markers on a line, and one at its end."""
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
    """Name the lines of arms at the height where they end or near it, each beside its marker.

    To be called when the axes have their limits and scales.
    """
    low, high = axes.get_ylim()
    edge = axes.get_xlim()[1]
    known = [(ARMS[end.arm], edge if end.x is None else end.x, end.y) for end in ends]
    label_ends(
        axes,
        [
            drawing.End(x, min(max(y, low), high), arm.short, arm.colour, arm.marker)
            for arm, x, y in known
        ],
    )


def marks(arm: str, count: int) -> list[int]:
    """Which of the `count` points of an arm's line have its marker: the last and a few before.

    Each arm's stand elsewhere, so that lines that lie upon one another can be told apart.
    """
    offset = (list(ARMS).index(arm) + 0.5) / len(ARMS)
    return sorted(
        {round((k + offset) / _MARKED * (count - 1)) for k in range(_MARKED)} | {count - 1}
    )


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
    _set_ticks(axes, low, high, ([0.0] if low == 0 else []) + ticks(start, high), start)


def log_norms(axes: Axes, values: Sequence[float] | np.ndarray) -> None:
    """A logarithmic axis that shows all finite `values`, which are positive, with a margin."""
    low, high = _range(values)
    low, high = low / 1.12, high * 1.12
    axes.set_yscale("log")
    _set_ticks(axes, low, high, ticks(low, high), low)


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
    """Three to seven round numbers between low and high (> 0), for a logarithmic axis.

    They begin near low and end in the upper part, so that any point is near a number.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in _STEPS:
        found = [float(f"{step}e{decade}") for decade in decades for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        found = found[:: max(1, -(-len(found) // _MOST))]
        if len(found) < _FEWEST:
            continue
        first, last = (math.log(found[k] / low) / math.log(high / low) for k in (0, -1))
        if first <= _LOWEST and last >= _HIGHEST:
            break
    return found


def _range(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 100.0)


def _set_ticks(axes: Axes, low: float, high: float, shown: list[float], start: float) -> None:
    """start: where the axis begins to be logarithmic."""
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    minor = []
    if math.log10(high / start) < _MINOR_DECADES:
        decades = range(math.floor(math.log10(start)), math.ceil(math.log10(high)))
        minor = [float(f"{step}e{decade}") for decade in decades for step in range(1, 10)]
    axes.yaxis.set_minor_locator(FixedLocator([tick for tick in minor if start <= tick <= high]))
    axes.yaxis.set_minor_formatter(NullFormatter())
