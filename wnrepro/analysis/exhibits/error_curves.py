"""The headline metric of all arms, on training and test set, against epochs or time."""

import math
from functools import partial

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from wnrepro.analysis import canvas
from wnrepro.analysis.canvas import TEST, TRAIN, Line, Point, line_of
from wnrepro.analysis.exhibit import Figure
from wnrepro.analysis.lines import by_setting
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, DONE, UNFINISHED, Records, tested
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.intervals import T

TIME = "train_time_sec"
BAND = (
    f"Lines: means over seeds; bands: {T}; nothing is smoothed; a run that diverged is dotted, up "
    "to a cross."
)
TRAINING = (
    "The training error is the running average over an epoch, with noise and dropout on where the "
    "network has them."
)
LOG = "The axis is logarithmic, and linear below 0.01 %."
SECONDS = (
    "Time is that of training alone, evaluation left out, at the mean over seeds of the time to "
    "each epoch; machines that were shared with other work are slower than they could be."
)
RATES_DIFFER = (
    "plain has the paper's learning rate for 200 epochs, 0.0003, a tenth of the others'; "
    "cifar_small_one_rate shows how much of the difference is due to that."
)
RINGS = (
    "Rings: the authors' released code at the same width and schedule, each run and epoch by "
    "itself; how many there are of each arm stands in results/authors_code."
)
THIN = 0.9
"""Width of the lines of single runs."""
_SHOWN_IN_HOURS_SEC = 3 * 3600


def draw(
    records: Records, paper: Paper, title: str, against: str = "epoch", authors: bool = False
) -> Drawing:
    """Left the training set, if the task measures there, right the test set; errors on logarithmic
    axes.

    authors: with a ring for each run and epoch of the authors' released code.
    """
    columns = [f"train_{records.task.headline}", tested(records.task)]
    columns = [c for c in columns if records.curves[c].notna().any()] or columns[1:]
    figure, panels = canvas.begin(title, len(columns))
    rings = paper.authors_code if authors else paper.authors_code.iloc[:0]
    ends: dict[str | Line, Point] = {}
    for axes, column in zip(panels, columns, strict=True):
        ends = draw_arms(axes, records, column, against)
        for arm, own in rings.groupby("arm"):
            ring = {"color": ARMS[str(arm)].colour, "markerfacecolor": "none", "markersize": 6}
            axes.plot(own["epoch"], own[column], "o", zorder=4, **ring)
        canvas.fit(axes, records.task)
    right = panels[-1]
    if runs := len(rings.drop_duplicates(["arm", "seed"])):
        said = f"rings: authors' code ({runs})"
        right.text(0.98, 0.97, said, transform=right.transAxes, ha="right", va="top", fontsize=9.5)
    canvas.name_lines(right, ends)
    return figure


def draw_seeds(records: Records, _: Paper, title: str) -> Drawing:
    """Every run and the median of each arm: where one run breaks down a mean says nothing."""
    figure, panels = canvas.begin(title.replace("mean and 95 % t interval", "median"))
    ends: dict[str, Point] = {}
    for axes, column in zip(panels, (TRAIN, TEST), strict=True):
        for arm, own in records.by_arm():
            each = {"units": "identity", "estimator": None, "linewidth": 0.6, "alpha": 0.6}
            look = {"color": ARMS[arm].colour, "ax": axes}
            seaborn.lineplot(own.curves, x="epoch", y=column, **each, **look)
            median = {"estimator": "median"}
            ends[arm] = canvas.draw_mean(axes, own.curves, "epoch", column, arm, None, **median)
        canvas.whole_numbers(axes)
        axes.set_ylabel(canvas.YLABELS[column])
        canvas.log_errors(axes)
    canvas.name_lines(panels[-1], ends)
    return figure


def draw_arms(
    axes: Axes, records: Records, column: str, against: str = "epoch"
) -> dict[str | Line, Point]:
    """All arms, or settings of them, as `draw_line`; where their lines end."""
    ends = {}
    for arm, _, own in by_setting(records):
        curves = own.curves.join(own.runs["status"], on="identity")
        curves["x"] = curves[against]
        if against == TIME:
            curves["x"] = curves.groupby("identity")[TIME].cumsum()
        if end := draw_line(axes, arm, curves, column):
            ends[arm] = end
    canvas.whole_numbers(axes)
    axes.set_ylabel(canvas.YLABELS[column])
    if against == TIME:
        _label_time(axes)
    return ends


def common_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Up to the last epoch that all of these runs have: a mean of others would change its seeds."""
    return curves[curves["epoch"] <= curves.groupby("identity")["epoch"].max().min()]


def draw_line(axes: Axes, arm: str | Line, curves: pd.DataFrame, column: str) -> Point | None:
    """The mean over the runs to the end; runs in progress are thin, those that diverged dotted.

    While none has come to the end the mean is over those in progress, up to where the first stops.

    Args:
        curves: of runs of one setting, with the columns `identity`, `epoch`, `x`, `status` and
            `column`.

    Returns:
        Where the line's name belongs: at the end of the mean, else at the last cross; None where
        there is nothing to draw.
    """
    colour = line_of(arm).colour
    diverged = (curves["status"] == DIVERGED).all()
    curves = curves.dropna(subset=column)
    if curves.empty:
        if not diverged:
            return None
        # In the first epoch: there is no value, and the name at the left edge says that.
        axes.plot(0, 1, "x", color=colour, transform=axes.transAxes, clip_on=False)
        return (0, math.inf)
    mean, thin, lost = (curves[curves["status"] == s] for s in (DONE, UNFINISHED, DIVERGED))
    if mean.empty:
        mean = common_epochs(thin)
        thin = thin[thin["epoch"] >= mean["epoch"].max()]
    style = {"estimator": None, "units": "identity", "color": colour, "linewidth": THIN}
    for single, dashes in ((thin, "-"), (lost, ":")):
        if not single.empty:
            seaborn.lineplot(single, x="x", y=column, linestyle=dashes, ax=axes, **style)
    stops = lost.groupby("identity")[["x", column]].last().itertuples(index=False, name=None)
    end = None
    for end in sorted(stops):
        axes.plot(*end, "x", color=colour)
    if mean.empty:
        return end
    lowest = 0 if mean[column].min() >= 0 else -math.inf  # no error is negative
    band = canvas.drawn_as(lambda found: (max(found.low, lowest), found.high))
    mean = mean.assign(x=mean.groupby("epoch")["x"].transform("mean"))
    place, height = canvas.draw_mean(axes, mean, "x", column, arm, band)
    return (place if DONE in set(curves["status"]) else mean["x"].max(), height)


def _label_time(axes: Axes) -> None:
    axes.set_xlabel("training time (s)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    longest = axes.dataLim.x1
    if longest > _SHOWN_IN_HOURS_SEC:
        axes.set_xlabel("training time (h)")
        axes.xaxis.set_major_locator(MultipleLocator(3600 * math.ceil(longest / 3600 / 6)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 3600:g}"))


def _figure(
    name: str, title: str, says: str = "", against: str = "epoch", authors: bool = False
) -> Figure:
    timed = against == TIME
    says = f"{says} {BAND} {TRAINING} {LOG} {SECONDS if timed else ''}".strip()
    return Figure(
        name=f"{name}_{'time' if timed else 'errors'}",
        title=f"{title}: training and test error by {'time' if timed else 'epoch'}",
        evidence=(name,),
        says=says,
        draw=partial(draw, against=against, authors=authors),
        timed=timed,
    )


FIGURES = (
    # Not against time: these runs shared their machine and were paused now and then.
    _figure("cifar_small", "CIFAR-10, small", f"{RATES_DIFFER} {RINGS}", authors=True),
    Figure(
        name="cifar_small_one_rate_errors",
        title="CIFAR-10, small, one rate: training and test error by epoch, seed by seed",
        evidence=("cifar_small_one_rate",),
        says=f"Thin: each seed; thick: their median. {TRAINING} {LOG}",
        draw=draw_seeds,
    ),
    *(
        _figure(f"{data}_arms", CATALOGUE[data].title, against=against)
        for data in ("mnist", "fashion_mnist")
        for against in ("epoch", TIME)
    ),
)
