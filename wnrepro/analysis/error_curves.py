"""Training and test error against epochs or time, all arms: the paper's figure 1, and ours."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from wnrepro.analysis.averages import Average, over_seeds
from wnrepro.analysis.canvas import End, canvas, log_errors, marks, name_lines, whole_numbers
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS
from wnrepro.drawing import INK

TRAIN, TEST = "train_error_percent", "test_error_percent"
TIME = "train_time_sec"
YLABELS = {TRAIN: "training error (%)", TEST: "test error (%)"}
FIGURE1_TOP_PERCENT = 15.0
"""Where the axis of the paper's figure 1 ends."""
_SHOWN_IN_HOURS_SEC = 3 * 3600
_PAPER_DASHES = (0, (3, 1.5))


def draw(
    records: Records, title: str, against: str = "epoch", paper: pd.DataFrame | None = None
) -> Figure:
    """Left the training error, right the test error, both on logarithmic axes.

    paper: its digitised training errors, drawn dashed behind ours and half as far again.
    """
    figure, (left, right) = canvas(title)
    for axes, column in ((left, TRAIN), (right, TEST)):
        drawn: list[np.ndarray] = []
        if paper is not None and axes is left:
            near = paper[paper["epoch"] <= 1.5 * records.curves["epoch"].max()]
            drawn += draw_paper(axes, records, near)
        ends, averages = draw_arms(axes, records, column, against)
        drawn += [average.mean for average in averages]
        drawn += [y for average in averages for _, y in average.stopped]
        log_errors(axes, np.concatenate(drawn or [[]]))
        axes.set_ylabel(YLABELS[column])
        _set_x(axes, averages, against)
        if axes is right:
            name_lines(axes, ends)
    return figure


def draw_figure1(
    records: Records,
    title: str,
    column: str = TRAIN,
    against: str = "epoch",
    paper: pd.DataFrame | None = None,
) -> Figure:
    """One panel on the linear axis of the paper's figure 1, cut off above 15 %.

    paper: its digitised curves, drawn dashed behind ours.
    """
    figure, (axes,) = canvas(title, 1, 4.0)
    if paper is not None:
        draw_paper(axes, records, paper)
    ends, averages = draw_arms(axes, records, column, against)
    cut = any((average.mean < FIGURE1_TOP_PERCENT).mean() > 0.3 for average in averages)
    axes.set_ylim(0, FIGURE1_TOP_PERCENT if cut else None)
    axes.set_ylabel(YLABELS[column])
    _set_x(axes, averages, against)
    name_lines(axes, ends)
    return figure


def draw_paper(axes: Axes, records: Records, paper: pd.DataFrame) -> list[np.ndarray]:
    """The paper's curves of those arms that have runs, dashed, and which lines are whose.

    Returns the errors drawn.
    """
    drawn = []
    for arm in arms_in(records.runs):
        curve = paper[paper["arm"] == arm]
        drawn.append(curve["train_error_percent"].to_numpy(float))
        axes.plot(
            *(curve["epoch"], drawn[-1]),
            color=ARMS[arm].colour,
            linestyle=_PAPER_DASHES,
            linewidth=1.1,
            alpha=0.75,
        )
    _explain_dashes(axes)
    return drawn


def draw_arms(
    axes: Axes, records: Records, column: str, against: str = "epoch"
) -> tuple[list[End], list[Average]]:
    """Mean and interval of every arm; where the lines end, and what was drawn.

    A run that diverged is dotted up to its last finite value, where there is a cross; the arm's
    name stands at the last of them if no run was trained to the end.
    """
    ends: list[End] = []
    averages = []
    for arm in arms_in(records.runs):
        average = over_seeds(records, arm, column, against)
        if average is None:
            if (records.runs["status"][records.runs["arm"] == arm] == "diverged").all():
                # In the first epoch: there is no value, and the name at the left edge says that.
                axes.plot(
                    0, 1, "x", color=ARMS[arm].colour, transform=axes.transAxes, clip_on=False
                )
                ends.append(End(math.inf, arm, 0))
            continue
        averages.append(average)
        colour = ARMS[arm].colour
        for x, y in average.stopped:
            axes.plot(x, y, color=colour, linewidth=0.9, linestyle=":")
            axes.plot(x[-1:], y[-1:], "x", color=colour)
        if not average.n:
            x, y = max(((x[-1], y[-1]) for x, y in average.stopped if len(x)))
            ends.append(End(y, arm, x))
            continue
        axes.plot(
            *(average.x, average.mean),
            color=colour,
            marker=ARMS[arm].marker,
            markevery=marks(arm, len(average.x)),
            zorder=3,
        )
        if average.n > 1:
            low = np.maximum(average.low, 0)
            axes.fill_between(average.x, low, average.high, color=colour, alpha=0.17, linewidth=0)
        ends.append(End(average.mean[-1], arm))
    return ends, averages


def _set_x(axes: Axes, averages: Sequence[Average], against: str) -> None:
    whole_numbers(axes)
    axes.set_xlabel("epoch")
    if against != TIME:
        return
    axes.set_xlabel("training time (s)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    longest = max((average.x.max(initial=0) for average in averages), default=0)
    if longest > _SHOWN_IN_HOURS_SEC:
        axes.set_xlabel("training time (h)")
        axes.xaxis.set_major_locator(MultipleLocator(3600 * math.ceil(longest / 3600 / 6)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 3600:g}"))


def _explain_dashes(axes: Axes) -> None:
    for text, style, height in (("ours", "-", 0.95), ("the paper's", _PAPER_DASHES, 0.88)):
        place = axes.transAxes
        ends = ((0.72, 0.79), (height, height))
        axes.plot(*ends, color=rcParams[INK], linestyle=style, linewidth=1.4, transform=place)
        axes.text(0.81, height, text, transform=place, va="center", fontsize=10)
