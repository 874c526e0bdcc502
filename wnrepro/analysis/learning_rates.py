"""Error against learning rate: over how wide a range an arm trains (paper, section 5.1's claim)."""

import math
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.analysis.canvas import (
    DIVERGED,
    DIVERGED_HEIGHT,
    End,
    canvas,
    log_errors,
    log_rates,
    name_lines,
)
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.error_curves import YLABELS
from wnrepro.analysis.records import Records, finals, finite
from wnrepro.arms import ARMS
from wnrepro.statistics import Interval, t_interval

_LABELS = {**YLABELS, "held_out_error_percent": "held-out error (%)"}


@dataclass(frozen=True)
class AtRate:
    """One arm at one learning rate. interval: over the runs that did not diverge, None for none;
    diverged: how many did; values: seed → error, NaN for those."""

    rate: float
    interval: Interval | None
    diverged: int
    values: dict[int, float]


def by_rate(runs: pd.DataFrame, column: str) -> list[AtRate]:
    """The runs of one arm, by rising learning rate."""
    found = []
    for rate, group in runs.groupby("learning_rate"):
        values = finals(group, column)
        known = list(finite(values).values())
        diverged = int((group["status"] == "diverged").sum())
        found.append(AtRate(float(rate), t_interval(known) if known else None, diverged, values))
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
        # Not above the axes, where the crosses are.
        explained = "" if records.diverged.empty else f"\n{DIVERGED}"
        axes.set_xlabel(f"learning rate{explained}")
        axes.set_ylabel(_LABELS[column])
        if axes is panels[-1]:
            name_lines(axes, ends)
    return figure


def _draw_arm(
    axes: Axes, runs: pd.DataFrame, arm: str, column: str, index: int
) -> tuple[list[float], list[End]]:
    """What the axis has to show, and where the line ends."""
    colour = ARMS[arm].colour
    # A few percent apart, so that the intervals of the arms do not hide one another.
    shift = 1.06 ** (index - 2)
    points = by_rate(runs, column)
    # NaN where all diverged: the line breaks there.
    means = [point.interval.estimate if point.interval else math.nan for point in points]
    rates = [point.rate * shift for point in points]
    axes.plot(rates, means, color=colour, marker=ARMS[arm].marker, markersize=4)
    shown = list(means)
    for point in points:
        if point.interval and point.interval.n > 1:
            low = max(point.interval.low, point.interval.estimate / 1.5)
            high = min(point.interval.high, 100)
            axes.plot([point.rate * shift] * 2, (low, high), color=colour, linewidth=1, alpha=0.6)
            shown += (low, high)
        if point.diverged:
            axes.plot(
                point.rate * shift,
                DIVERGED_HEIGHT + 0.035 * index,
                "x",
                color=colour,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
    known = [mean for mean in means if math.isfinite(mean)]
    # An arm of which no run was trained to the end has crosses alone, above the axes.
    return shown, [End(known[-1] if known else math.inf, arm)] if points else []
