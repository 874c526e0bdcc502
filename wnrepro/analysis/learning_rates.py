"""Error against learning rate: over how wide a range an arm trains (paper, section 5.1's claim)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.analysis.canvas import End, canvas, log_errors, log_rates, name_lines
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.error_curves import YLABELS
from wnrepro.analysis.records import Records, finals, finite
from wnrepro.arms import ARMS
from wnrepro.statistics import Interval, t_interval

_LABELS = {**YLABELS, "held_out_error_percent": "held-out error (%)"}
_DIVERGED_HEIGHT = 1.03
"""In axes' heights: crosses stand above the axes, where no error is."""


def by_rate(
    runs: pd.DataFrame, column: str
) -> list[tuple[float, Interval | None, int, dict[int, float]]]:
    """For one arm, by rate: (rate, interval over the runs with a number, diverged, all values).

    The interval is None where no run has a number.
    """
    found = []
    for rate, group in runs.groupby("learning_rate"):
        values = finals(group, column)
        known = list(finite(values).values())
        diverged = int((group["status"] == "diverged").sum())
        found.append((float(rate), t_interval(known) if known else None, diverged, values))
    return found


def draw(records: Records, title: str, columns: tuple[str, ...]) -> Figure:
    """One panel per column of `records.runs`; crosses above it where runs diverged."""
    figure, panels = canvas(title, len(columns), 3.5)
    for axes, column in zip(panels, columns, strict=True):
        drawn, ends = [], []
        for index, arm in enumerate(arms_in(records.runs)):
            runs = records.runs[records.runs["arm"] == arm]
            values, end = _draw_arm(axes, runs, arm, column, index)
            drawn += values
            ends += end
        log_errors(axes, drawn)
        log_rates(axes, records.runs["learning_rate"])
        axes.set_xlabel("learning rate")
        axes.set_ylabel(_LABELS[column])
        if axes is panels[-1]:
            name_lines(axes, ends)
    return figure


def _draw_arm(
    axes: Axes, runs: pd.DataFrame, arm: str, column: str, index: int
) -> tuple[list[float], list[End]]:
    """What the axis has to show, and where the line ends."""
    points = by_rate(runs, column)
    colour = ARMS[arm].colour
    # A few percent apart, so that the intervals of the arms do not hide one another.
    shift = 1.06 ** (index - 2)
    known = [(rate * shift, each) for rate, each, _, _ in points if each is not None]
    rates = [rate for rate, _ in known]
    means = [each.estimate for _, each in known]
    shown = list(means)
    axes.plot(rates, means, "-o", color=colour, markersize=3.5)
    for rate, each in known:
        if each.n > 1:
            low, high = max(each.low, each.estimate / 1.5), min(each.high, 100)
            axes.plot((rate, rate), (low, high), color=colour, linewidth=1, alpha=0.6)
            shown += (low, high)
    for rate, _, diverged, _ in points:
        if diverged:
            axes.plot(
                rate * shift,
                _DIVERGED_HEIGHT + 0.035 * index,
                "x",
                color=colour,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
    return shown, [(means[-1], ARMS[arm].short, colour)] if means else []
