"""Training and test error of all arms, against epochs or time."""

import math
from collections.abc import Callable
from functools import partial

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from wnrepro.analysis.canvas import (
    TEST,
    TRAIN,
    YLABELS,
    Point,
    canvas,
    draw_mean,
    drawn_as,
    log_errors,
    name_lines,
    whole_numbers,
)
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.exhibit import Figure
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, DONE, UNFINISHED, Records
from wnrepro.arms import ARMS
from wnrepro.statistics import T

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
_SHOWN_IN_HOURS_SEC = 3 * 3600
_BAND = drawn_as(lambda found: (max(found.low, 0), found.high))
_THIN = 0.9


def draw(records: Records, _: Paper, title: str, against: str = "epoch") -> Drawing:
    """Left the training error, right the test error, both on logarithmic axes."""
    figure, panels = canvas(title)
    for axes, column in zip(panels, (TRAIN, TEST), strict=True):
        ends = draw_arms(axes, records, column, against)
        log_errors(axes)
    name_lines(axes, ends)
    return figure


def draw_arms(
    axes: Axes, records: Records, column: str, against: str = "epoch"
) -> dict[str, Point]:
    """All arms, as `_draw_arm`; where their lines end."""
    curves = records.curves.assign(x=records.curves[against])
    if against == TIME:
        curves["x"] = curves.groupby("identity")[TIME].cumsum()
    curves = curves.dropna(subset=column)
    ends = {}
    for arm in arms_in(records.runs):
        runs = records.runs[records.runs["arm"] == arm]
        own = {
            status: curves[curves["identity"].isin(runs.index[runs["status"] == status])]
            for status in (DONE, UNFINISHED, DIVERGED)
        }
        if end := _draw_arm(axes, arm, column, *own.values()):
            ends[arm] = end
        elif (runs["status"] == DIVERGED).all():
            # In the first epoch: there is no value, and the name at the left edge says that.
            place = {"transform": axes.transAxes, "clip_on": False}
            axes.plot(0, 1, "x", color=ARMS[arm].colour, **place)
            ends[arm] = (0, math.inf)
    whole_numbers(axes)
    axes.set_ylabel(YLABELS[column])
    if against == TIME:
        _label_time(axes)
    return ends


def _draw_arm(
    axes: Axes, arm: str, column: str, done: pd.DataFrame, going: pd.DataFrame, lost: pd.DataFrame
) -> Point | None:
    """The mean over the runs to the end; runs in progress are thin, those that diverged dotted.

    While none has come to the end the mean is over those in progress, up to where the first stops.
    Returns where the arm's name belongs: at the end of the mean, else at the last cross.
    """
    mean, thin = done, going
    if done.empty:
        mean = common_epochs(going)
        thin = going[going["epoch"] >= mean["epoch"].max()]
    style = {"estimator": None, "units": "identity", "color": ARMS[arm].colour, "linewidth": _THIN}
    for curves, dashes in ((thin, "-"), (lost, ":")):
        if not curves.empty:
            seaborn.lineplot(curves, x="x", y=column, linestyle=dashes, ax=axes, **style)
    stops = lost.groupby("identity")[["x", column]].last().itertuples(index=False)
    last = None
    for last in sorted(stops):
        axes.plot(*last, "x", color=ARMS[arm].colour)
    if mean.empty:
        return last and tuple(last)
    mean = mean.assign(x=mean.groupby("epoch")["x"].transform("mean"))
    return draw_mean(axes, mean, "x", column, arm, _BAND)


def common_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Up to the last epoch that all of these runs have: a mean of others would change its seeds."""
    return curves[curves["epoch"] <= curves.groupby("identity")["epoch"].max().min()]


def _label_time(axes: Axes) -> None:
    axes.set_xlabel("training time (s)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    longest = axes.dataLim.x1
    if longest > _SHOWN_IN_HOURS_SEC:
        axes.set_xlabel("training time (h)")
        axes.xaxis.set_major_locator(MultipleLocator(3600 * math.ceil(longest / 3600 / 6)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 3600:g}"))


def _figures(name: str, title: str, says: str = "", by_time: bool = True) -> list[Figure]:
    """The errors of one data set against epochs and against time."""
    says = f"{says} {BAND} {TRAINING} {LOG}".lstrip()
    shown: dict[str, Callable[[Records, Paper, str], Drawing]] = {"errors": draw}
    if by_time:
        shown["time"] = partial(draw, against=TIME)
    return [
        Figure(
            name=f"{name}_{kind}",
            title=f"{title} by {'time' if kind == 'time' else 'epoch'}",
            evidence=(name,),
            says=f"{says} {SECONDS}" if kind == "time" else says,
            draw=draws,
            timed=kind == "time",
        )
        for kind, draws in shown.items()
    ]


FIGURES = (
    # Not against time: these runs shared their machine and were paused now and then.
    *_figures("cifar_small", "CIFAR-10, small: training and test error", RATES_DIFFER, False),
    *_figures(
        "cifar_small_one_rate", "CIFAR-10, small, one rate: training and test error", "", False
    ),
    *_figures("mnist_arms", "MNIST: training and test error"),
    *_figures("fashion_mnist_arms", "Fashion-MNIST: training and test error"),
    *_figures("digits_arms", "Digits: training and test error"),
)
