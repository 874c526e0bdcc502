"""Error against learning rate: over how wide a range an arm trains (paper, section 2.1)."""

import math
from functools import partial

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullLocator

from wnrepro import drawing
from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import (
    DIVERGED,
    DONE,
    Number,
    Records,
    arms_in,
    finals,
    finite,
    over_epochs,
)
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.intervals import T

BAR = canvas.drawn_as(lambda found: (max(found.low, found.estimate / 1.5), min(found.high, 100)))
"""An interval on a logarithmic axis of errors, cut at two thirds of the mean."""
NEAR_PERCENT = 2.5
"""Below lie, on MNIST, the rates that one would choose from."""


def draw(
    records: Records, _: Paper, title: str, columns: tuple[str, ...], near: float = 0
) -> Drawing:
    """One panel per column of `records.runs`; crosses above it where runs diverged.

    near: a last panel, taller, shows of the last column alone what lies below so many percent.
    """
    if not (records.runs["status"] == DONE).any():
        near = 0  # there are crosses alone
    mosaic = "AB;AB;AC;AC;AC" if near else ""
    figure, panels = canvas.begin(title, len(columns), 4.6 if near else 3.5, mosaic)
    arms = arms_in(records.runs)
    for axes, column in zip(panels, (*columns, columns[-1]), strict=False):
        ends = {arm: draw_arm(axes, records.runs, arm, column, row) for row, arm in enumerate(arms)}
        canvas.log_errors(axes)
        canvas.log_rates(axes, records.runs["learning_rate"])
        axes.set_ylabel(canvas.YLABELS[column])
        if near and axes is panels[-1]:
            known = records.runs[column].where(records.runs["status"] == DONE)
            lowest = known.groupby([records.runs["arm"], records.runs["learning_rate"]]).mean()
            axes.set_yscale("linear")
            axes.set_ylim(0.95 * lowest.min(), near)
            drawing.round_ticks(axes.yaxis, 6)
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")
        elif near and axes is panels[1]:
            axes.set_xlabel("")
        if axes is panels[-1]:
            canvas.name_lines(axes, ends)
        if axes.get_xlabel():
            canvas.explain_crosses(axes, records)
    return figure


def draw_arm(
    axes: Axes, runs: pd.DataFrame, arm: str, column: str, row: int, bar: canvas.Spread = BAR
) -> canvas.Point:
    """Mean and interval at each rate; the line breaks where all diverged. Where it ends."""
    runs = runs.loc[runs["arm"] == arm]
    # A few percent apart, so that the intervals of the arms do not hide one another.
    rates = runs["learning_rate"] * 1.06 ** (row - 2)
    shown = pd.DataFrame({"rate": rates, "value": runs[column].where(runs["status"] == DONE)})
    seaborn.pointplot(
        shown,
        x="rate",
        y="value",
        native_scale=True,
        log_scale=(True, False),
        errorbar=bar,
        err_kws={"linewidth": 1, "alpha": 0.6},
        linewidth=1.7,
        markersize=4,
        ax=axes,
        **canvas.look(arm),
    )
    for rate in rates[runs["status"] == DIVERGED].unique():
        canvas.draw_crosses_above(axes, rate, arm, row)
    known = shown.dropna().groupby("rate")["value"].mean()
    # An arm of which no run was trained to the end has crosses alone, above the axes.
    return (math.inf, known.iloc[-1] if len(known) else math.inf)


def rows(records: Records, _: Paper, column: str, of: Number | None = None) -> exhibit.Rows:
    """Error by arm and learning rate: in words a row per rate, a column per arm.

    of: in place of `column` after the last epoch this number of the curve, as `over_epochs`.
    """
    said: dict[float, dict[str, str]] = {}
    arms = arms_in(records.runs)
    for arm in arms:
        for rate, runs in records.runs[records.runs["arm"] == arm].groupby("learning_rate"):
            seeds = over_epochs(records, runs, of) if of else finals(runs, column)
            down = exhibit.broken(seeds) if records.task.smaller_is_better else []
            n, found = len(finite(seeds)), exhibit.interval_of(seeds)
            parts = [exhibit.summary(seeds, down)] if found else []
            parts += [f"{len(seeds) - n} of {len(seeds)} diverged"] if n < len(seeds) else []
            said.setdefault(rate, {})[arm] = "; ".join(parts)
            values = {"arm": arm, "learning_rate": rate} | exhibit.counts(seeds)
            values |= exhibit.interval_values(column, found)
            yield {}, values | exhibit.each_seed(seeds)
    for rate in sorted(said):
        by_arm = {ARMS[arm].label: said[rate].get(arm, exhibit.MISSING) for arm in arms}
        yield {"learning rate": f"{rate:g}"} | by_arm, {}


def _selection(name: str, data: str, images: str, says: str) -> exhibit.Table:
    title = f"error in percent on {images} held-out training images by learning rate"
    return exhibit.Table(
        name=name,
        title=f"{CATALOGUE[data].title}: {title}",
        evidence=(name,),
        says=says,
        rows=partial(rows, column=canvas.HELD_OUT),
    )


_MARKS = (
    f"Markers: means over seeds; bars: {T}, cut at two thirds of the mean. A cross above the axes: "
    "at least one seed diverged at that rate; the marker below is of the others. The arms stand a "
    "few percent apart for legibility."
)
_HELD_OUT = ("cifar_lr_selection_bf16", "cifar_lr_selection")
_OWN = "The rate with the lowest mean is the arm's own."

FIGURES = (
    exhibit.Figure(
        name="learning_rates",
        title="MNIST: error against learning rate",
        evidence=("mnist_lr_robustness",),
        says=f"Right, the test error: above all of it, below up to {NEAR_PERCENT:g} % on a linear "
        f"axis. {_MARKS} Errors after the last epoch, on the test set: no rate is chosen from it.",
        draw=partial(draw, columns=(canvas.TRAIN, canvas.TEST), near=NEAR_PERCENT),
    ),
    exhibit.Figure(
        name="cifar_lr_selection",
        title="CIFAR-10: error on 5,000 held-out training images against learning rate",
        evidence=_HELD_OUT,
        says="One seed: there is no interval. A cross above the axes: the run diverged.",
        draw=partial(draw, columns=(canvas.TRAIN, canvas.HELD_OUT)),
    ),
    exhibit.Figure(
        name="cifar_small_rates",
        title="CIFAR-10, small: error on 5,000 held-out training images against learning rate",
        evidence=("cifar_small_rates",),
        says=_MARKS,
        draw=partial(draw, columns=(canvas.TRAIN, canvas.HELD_OUT)),
    ),
)
TABLES = (
    exhibit.Table(
        name="learning_rates",
        title="MNIST: test error in percent by learning rate",
        evidence=("mnist_lr_robustness",),
        says=f"{exhibit.MEAN}; over the seeds that did not diverge. A run broke down that ends "
        f"with over {exhibit.BROKEN} times the median at its rate.",
        rows=partial(rows, column=canvas.TEST),
    ),
    *(
        _selection(name, "cifar10", "5,000", "One seed: there is no interval.")
        for name in _HELD_OUT
    ),
    *(
        _selection(name, data, images, f"{exhibit.MEAN}. {_OWN}")
        for name, data, images in (
            ("cifar_small_rates", "cifar10", "5,000"),
            ("mnist_lr_selection", "mnist", "10,000"),
            ("fashion_mnist_lr_selection", "fashion_mnist", "10,000"),
        )
    ),
)
