"""The figure of experiment `norm_growth`."""

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.drawing import BLUE, GREEN, INK, PURPLE, RED, WIDTH_INCHES, label
from wnrepro.mechanisms.experiment import Data

OPTIMISERS = {
    "gd": ("gradient descent", BLUE, "s"),
    "momentum": ("momentum 0.9", PURPLE, "v"),
    "adam": ("Adam", GREEN, "D"),
}
ROUNDING = 2**-22
"""A fall of ‖v‖ by less than this fraction, two units in the last place, is float32's rounding."""


def draw(data: Data) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 5.6), layout="constrained")
    grid = figure.subplots(2, 2)
    points = data["norm_growth_points"]
    for axes, optimiser in zip(grid.flat, OPTIMISERS, strict=False):
        title, colour, _ = OPTIMISERS[optimiser]
        _draw_steps(axes, points[points.optimiser == optimiser], title, colour)
    _draw_norms(grid[1][1], data["norm_growth"])
    return figure


def _draw_steps(axes: Axes, points: pd.DataFrame, title: str, colour: str) -> None:
    """The change of ‖v‖ in single steps against c, and the law."""
    grown, fallen = points[points.growth_relative > 0], points[points.growth_relative < -ROUNDING]
    # Thousands of points, not as vectors: their colours are the same on a dark page.
    style = {"linestyle": "none", "rasterized": True}
    axes.plot(grown.c, grown.growth_relative, ".", color=colour, markersize=4, **style)
    axes.plot(
        fallen.c, -fallen.growth_relative, "v", color=RED, markersize=4.5,
        markerfacecolor="none", markeredgewidth=0.7, **style,
    )  # fmt: skip
    c = np.geomspace(1e-4, 1e4, 200)
    axes.plot(c, np.sqrt(1 + c**2) - 1, color=rcParams[INK], linewidth=0.9)
    axes.text(0.97, 0.06, "law: √(1+c²) − 1", ha="right", transform=axes.transAxes)
    if len(fallen):
        axes.text(0.04, 0.9, "▽ ‖v‖ fell", color=RED, transform=axes.transAxes)
    axes.set(
        title=title, xscale="log", yscale="log", xlim=(1e-4, 3e3), ylim=(1e-9, 3e3),
        xlabel="length of the step  c = ‖Δv‖/‖v‖", ylabel="relative change of ‖v‖",
    )  # fmt: skip


def _draw_norms(axes: Axes, runs: pd.DataFrame) -> None:
    """‖v‖ after training against the learning rate: mean and range of the seeds."""
    beside = {"gd": (1, -15, "left"), "momentum": (-4, 10, "left"), "adam": (-8, 2, "right")}
    for optimiser, (title, colour, marker) in OPTIMISERS.items():
        own = runs[(runs.optimiser == optimiser) & runs.norm_after_over_before.notna()]
        if not len(own):
            continue
        by_rate = own.groupby("learning_rate").norm_after_over_before
        middle = by_rate.mean()
        axes.fill_between(
            middle.index, by_rate.min(), by_rate.max(), color=colour, alpha=0.25, linewidth=0
        )
        axes.plot(middle.index, middle, marker=marker, color=colour, markersize=3.5)
        x, y, side = beside[optimiser]
        name = title.replace(" ", "\n") if optimiser == "gd" else title
        label(axes, middle.index[-1], middle.iloc[-1], name, colour, xytext=(x, y), ha=side)
    axes.set(
        title="after training", xscale="log", yscale="log",
        xlabel="learning rate of v", ylabel="‖v‖ after / before",
    )  # fmt: skip
    axes.margins(x=0.16, y=0.1)
