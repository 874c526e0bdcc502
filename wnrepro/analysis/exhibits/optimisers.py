"""The optimisers of the course notes, each arm at its best learning rate."""

import math
from itertools import product

import seaborn
from matplotlib.figure import Figure as Drawing

from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.exhibits.learning_rates import BAR
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, DONE, Records, arms_in, finals
from wnrepro.arms import ARMS
from wnrepro.intervals import T

LABELS = {
    "momentum": "momentum",
    "averaged_momentum": "avg. momentum",
    "adadelta": "Adadelta",
    "adam": "Adam",
    "adamax": "Adamax",
}
"""Adadelta is that of the notes, which torch calls RMSprop."""
_WIDTH = 0.66
"""Of the arms of one optimiser, side by side; 1 is the distance of two optimisers."""


def draw(records: Records, _: Paper, title: str) -> Drawing:
    """One column of points per optimiser, one colour and marker per arm: mean, interval and seeds.

    A cross above the axes where seeds diverged.
    """
    figure, panels = canvas.begin(title, 2, 3.5)
    runs, arms = records.runs, arms_in(records.runs)
    present = [name for name in LABELS if name in set(runs["optimizer"])]
    step = _WIDTH / len(arms)
    for axes, column in zip(panels, (canvas.TRAIN, canvas.TEST), strict=True):
        shown = {
            "data": runs.assign(error=runs[column].where(runs["status"] == DONE)),
            "x": "optimizer",
            "order": present,
            "y": "error",
            "hue": "arm",
            "hue_order": arms,
            "palette": {arm: ARMS[arm].colour for arm in arms},
            "legend": False,
            "ax": axes,
        }
        seaborn.pointplot(
            **shown,
            dodge=_WIDTH - step if len(arms) > 1 else False,
            linestyle="none",
            errorbar=BAR,
            err_kws={"linewidth": 1.2},
            markers=[ARMS[arm].marker for arm in arms],
            markersize=5.5,
            markeredgewidth=0,
        )
        for index, arm in enumerate(arms):
            shift = step * (index - (len(arms) - 1) / 2)
            of_arm = shown["data"][runs["arm"] == arm]
            axes.plot(
                *(of_arm["optimizer"].map(present.index) + shift, of_arm["error"], "."),
                color=ARMS[arm].colour,
                markersize=3,
                alpha=0.6,
            )
            for optimiser in set(of_arm["optimizer"][of_arm["status"] == DIVERGED]):
                canvas.draw_crosses_above(axes, present.index(optimiser) + shift, arm)
        canvas.log_errors(axes)
        names = [LABELS[name] for name in present]
        axes.set_xticks(range(len(present)), names, fontsize=9.5, rotation=30, ha="right")
        axes.tick_params(axis="x", pad=1)
        axes.set(xlim=(-0.5, len(present) - 0.5), xlabel="", ylabel=canvas.YLABELS[column])
        axes.grid(axis="x", visible=False)
        axes.grid(axis="y", visible=True)
        canvas.explain_crosses(axes, records)
    canvas.name_lines(panels[-1], dict.fromkeys(reversed(arms), (math.inf, 0)))
    return figure


def rows(records: Records, _: Paper) -> exhibit.Rows:
    """Errors by optimiser and arm, each at its own learning rate."""
    for optimiser, arm in product(LABELS, arms_in(records.runs)):
        runs = records.runs[records.runs["optimizer"] == optimiser]
        runs = runs[runs["arm"] == arm]
        if runs.empty:
            continue
        seeds, rate = finals(runs), float(runs["learning_rate"].iloc[0])
        trained = exhibit.interval_of(finals(runs, canvas.TRAIN))
        tested = exhibit.interval_of(seeds)
        words = {
            "optimiser": optimiser,
            "arm": ARMS[arm].label,
            "learning rate": f"{rate:g}",
            "training error (%)": exhibit.with_interval(trained, 3),
            "test error (%)": exhibit.with_interval(tested),
            "n": exhibit.count(seeds),
            "all test errors": exhibit.listed(seeds.values()),
        }
        values = {"optimizer": optimiser, "arm": arm, "learning_rate": rate}
        values |= exhibit.counts(seeds) | exhibit.interval_values(canvas.TRAIN, trained)
        values |= exhibit.interval_values(canvas.TEST, tested)
        yield words, values | exhibit.each_seed(seeds)


FIGURES = (
    exhibit.Figure(
        name="optimisers",
        title="MNIST: five optimisers, each at its best learning rate",
        evidence=("mnist_optimizers",),
        says=f"Large markers: means over seeds; bars: {T}, cut at two thirds of the mean; small "
        "ones: every seed; a cross above the axes: a seed diverged. Errors after the last "
        "epoch; the rates were chosen on held-out images (LOG.md).",
        draw=draw,
    ),
)
TABLES = (
    exhibit.Table(
        name="optimisers",
        title="MNIST: errors after the last epoch by optimiser",
        evidence=("mnist_optimizers",),
        says=f"{exhibit.MEAN}. Each pair at its best learning rate on held-out images (LOG.md).",
        rows=rows,
    ),
)
