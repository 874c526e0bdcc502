"""What the figures share: title, means over seeds, names of lines, logarithmic axes."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from wnrepro import drawing
from wnrepro.analysis.records import DIVERGED, Records
from wnrepro.arms import ARMS
from wnrepro.drawing import label_ends, panels
from wnrepro.intervals import Interval, t_interval
from wnrepro.tasks import TASKS, Task

TRAIN, TEST, HELD_OUT = "train_error_percent", "test_error_percent", "held_out_error_percent"
YLABELS = {
    column: fill(words, 26) for task in TASKS.values() for column, words in task.labels.items()
}
"""Of every metric of every task; a panel is not high enough for more characters."""
CROSSES = "×: a seed diverged"
LINEAR_BELOW_PERCENT = 0.01
"""An error may be 0, which a logarithm does not show: below this the axis is linear."""

Point = tuple[float, float]
Spread = Callable[[Sequence[float]], Point]
"""Values of several seeds → the ends of their interval as it is drawn."""

_SUBS = ((1.1, (1, 1.5, 2, 3, 5, 7)), (2, (1, 2, 5)), (3.5, (1, 3)), (math.inf, (1,)))
"""On an axis of fewer decades: the ticks within a decade."""
_EVEN_DECADES = 0.35
"""An axis of fewer has ticks at equal distances."""
_MINOR_DECADES = 2.5
"""An axis of fewer has a mark without a number at each of 1 to 9 in a decade."""
_MARKED = 3
"""So many markers on a line, and one at its end."""
_LAP = 6
"""Arms whose markers stand evenly apart; those of the next stand between them."""
_TITLE_CHARACTERS = 92
"""As many of 10 pt as go into the width."""


class Line(NamedTuple):
    """How a line looks, and what is written at its end. place: its own place for markers."""

    name: str
    colour: str
    marker: str
    place: int = 0


def line_of(arm: str | Line) -> Line:
    """An arm's line; what is a line already is given back."""
    if isinstance(arm, Line):
        return arm
    own = ARMS[arm]
    return Line(own.short, own.colour, own.marker, list(ARMS).index(arm))


def begin(
    title: str, columns: int = 2, height: float = 3.2, mosaic: str = ""
) -> tuple[Figure, list[Axes]]:
    """A row of panels under a title, which says what is shown and n; in two lines if it is long.

    mosaic: another arrangement, as of `Figure.subplot_mosaic`; its panels come by their letters.
    """
    figure, axes = panels(columns, height)
    if mosaic:
        figure.clear()
        axes = [each for _, each in sorted(figure.subplot_mosaic(mosaic).items())]
    if len(title) > _TITLE_CHARACTERS:
        title = "\n".join(title.rsplit("; ", 1))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for each in axes:
        each.set_axisbelow(True)
    return figure, axes


def drawn_as(shown: Callable[[Interval], Point]) -> Spread:
    """The t interval, cut as `shown` says, for seaborn: its own default is the bootstrap."""
    return lambda values: shown(t_interval(np.asarray(values)))


def draw_mean(
    axes: Axes,
    data: pd.DataFrame,
    x: str,
    y: str,
    arm: str | Line,
    band: Spread | None,
    **style: object,
) -> Point:
    """The arm's mean of `y` at each `x`, with a band where there are several seeds.

    To be called while the axes are linear, else the mean is one of logarithms. Returns the height
    of the line's end, at the right edge.
    """
    seaborn.lineplot(
        data,
        x=x,
        y=y,
        errorbar=band,
        err_kws={"alpha": 0.17, "linewidth": 0},
        ax=axes,
        **({"markevery": marks(arm, data[x].nunique()), "zorder": 3} | look(arm) | style),
    )
    return math.inf, float(np.asarray(axes.lines[-1].get_ydata())[-1])


def look(arm: str | Line) -> dict[str, object]:
    """Colour and marker of an arm's line."""
    _, colour, marker, _ = line_of(arm)
    edge = {"markeredgecolor": colour, "markeredgewidth": 1}
    return {"color": colour, "marker": marker, **edge}


def draw_crosses_above(axes: Axes, place: float, arm: str, row: int = 0) -> None:
    """Above the axes, where no error is: at `place` on the x axis a run of the arm diverged."""
    axes.plot(
        *(place, 1.03 + 0.035 * row, "x"),
        color=ARMS[arm].colour,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )


def explain_crosses(axes: Axes, records: Records) -> None:
    """Below the axes, for above them the crosses are."""
    if (records.runs["status"] == DIVERGED).any():
        axes.set_xlabel(f"{axes.get_xlabel()}\n{CROSSES}".lstrip("\n"))


def name_lines(axes: Axes, ends: Mapping[str | Line, Point] | Mapping[str, Point]) -> None:
    """Name the lines of arms where they end, or, beside its marker, at the right edge: x = ∞.

    To be called when the axes have their limits and scales.
    """
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    found = []
    for arm, (x, y) in ends.items():
        name, colour, marker, _ = line_of(arm)
        place = (min(max(x, left), right), min(max(y, low), high))
        found.append(drawing.End(*place, name, colour, marker if x == math.inf else ""))
    label_ends(axes, found)


def marks(arm: str | Line, count: int) -> list[int]:
    """Which of the `count` points of an arm's line have its marker: the last and a few before.

    Each arm's stand elsewhere, so that lines that lie upon one another can be told apart.
    """
    lap, place = divmod(line_of(arm).place % (2 * _LAP), _LAP)
    offset = (place + 0.5 + 0.5 * lap) / _LAP
    return sorted(
        {round((k + offset) / _MARKED * (count - 1)) for k in range(_MARKED)} | {count - 1}
    )


def whole_numbers(axes: Axes, most: int = 6) -> None:
    """An axis of epochs, from 0, with at most so many intervals between ticks."""
    axes.set_xlabel("epoch")
    axes.set_xlim(left=0)
    drawing.round_ticks(axes.xaxis, most, whole=True)


def fit(axes: Axes, task: Task) -> None:
    """For its headline metric: logarithmic for percentages and what falls to less than a tenth.

    Of what else is to fall, as a bound in nats, the first third may lie above the axes: what the
    arms differ by in the end is small beside it. The paper's figures 3 and 4 leave out a tenth.
    """
    low, high = axes.dataLim.intervaly
    if task.headline_metric.unit == "%":
        log_errors(axes)
    elif task.smaller_is_better and 0 < 10 * low < high:
        log_norms(axes, [axes])
    else:
        drawing.round_ticks(axes.yaxis, 6)
        if task.smaller_is_better:
            _leave_out_the_start(axes)


def _leave_out_the_start(axes: Axes) -> None:
    lines = [line.get_xydata() for line in _lines(axes)]
    bands = [p.vertices for each in axes.collections for p in each.get_paths()]
    points = np.concatenate([np.empty((0, 2)), *lines, *bands])
    late = points[points[:, 0] >= axes.dataLim.x1 / 3, 1]
    late = late[np.isfinite(late)]
    if len(set(late)) > 1:
        margin = 0.05 * np.ptp(late)
        axes.set_ylim(late.min() - margin, late.max() + margin)


def log_errors(axes: Axes) -> None:
    """A logarithmic axis in percent that shows all points of lines that are finite, with a margin.

    Down to 0 where a value is below `LINEAR_BELOW_PERCENT`; linear there.
    """
    low, high = _range(axes)
    low, high = (low / 1.12 if low > LINEAR_BELOW_PERCENT else 0.0), min(high * 1.12, 100.0)
    high = max(high, 2 * LINEAR_BELOW_PERCENT)
    axes.set_yscale("symlog", linthresh=LINEAR_BELOW_PERCENT, linscale=0.4)
    start = max(low, LINEAR_BELOW_PERCENT)
    _set_ticks(axes, low, high, ([0.0] if low == 0 else []) + ticks(start, high), start)


def log_norms(axes: Axes, among: Sequence[Axes]) -> None:
    """A logarithmic axis that shows all points of the lines among these axes, with a margin.

    All are positive.
    """
    lows, highs = zip(*map(_range, among), strict=True)
    low, high = min(lows) / 1.12, max(highs) * 1.12
    axes.set_yscale("log")
    _set_ticks(axes, low, high, ticks(low, high), low)


def log_rates(axes: Axes, rates: Iterable[float], most: int = 5) -> None:
    """A logarithmic axis of learning rates, with all of them inside, and at most so many ticks."""
    known = sorted(set(rates)) or [1.0]
    low, high = known[0] / 2, known[-1] * 2
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xlabel("learning rate")
    decades = [d for d in range(-12, 7) if low <= 10.0**d <= high]
    shown = [10.0**d for d in decades[:: -(-len(decades) // most)]] if len(decades) > 1 else known
    axes.xaxis.set_major_locator(FixedLocator(shown))
    if len(decades) <= 1:
        axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def ticks(low: float, high: float) -> list[float]:
    """A few round numbers between low and high (> 0), for a logarithmic axis."""
    decades = math.log10(high / low)
    subs = next(subs for most, subs in _SUBS if decades < most)
    even = MaxNLocator(5, steps=drawing.ROUND)
    locator = even if decades < _EVEN_DECADES else LogLocator(subs=subs)
    return [float(f"{tick:.4g}") for tick in locator.tick_values(low, high) if low <= tick <= high]


def _lines(axes: Axes) -> list[Line2D]:
    """Those of data: the crosses at the edges of the axes are none."""
    return [line for line in axes.lines if line.get_transform() is axes.transData]


def _range(axes: Axes) -> Point:
    values = np.concatenate([[], *(line.get_ydata() for line in _lines(axes))]).astype(float)
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 100.0)


def _set_ticks(axes: Axes, low: float, high: float, shown: list[float], start: float) -> None:
    """start: where the axis begins to be logarithmic."""
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_major_formatter("{x:g}")
    minor = []
    if math.log10(high / start) < _MINOR_DECADES:
        decades = range(math.floor(math.log10(start)), math.ceil(math.log10(high)))
        minor = [float(f"{step}e{decade}") for decade in decades for step in range(1, 10)]
    axes.yaxis.set_minor_locator(FixedLocator([tick for tick in minor if start <= tick <= high]))
    axes.yaxis.set_minor_formatter(NullFormatter())
