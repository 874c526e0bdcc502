"""The figure of experiment `init`."""

import math

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.drawing import BLUE, INK, RED, WIDTH_INCHES
from wnrepro.mechanisms.experiment import Data

_COLOURS = {1: BLUE, 0: RED}
_MARKERS = {1: "o", 0: "^"}
_NAMES = {1: "with the init", 0: "without"}
_ARMS = {"wn": "weight norm", "plain": "plain"}


def draw(data: Data) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 5.8), layout="constrained")
    grid = figure.subplots(2, 2)
    rows = data["init_layers"]
    deep = rows[(rows.arm == "wn") & (rows.depth == rows.depth.max())]
    for init, colour in _COLOURS.items():
        own = deep[deep.init == init]
        _band(grid[0][0], own, "init_batch_median_variance", init, "-")
        _band(grid[0][0], own, "other_median_variance", init, "--")
        _band(grid[0][1], own, "gradient_rms", init, "-")
        grid[0][0].plot([], [], color=colour, marker=_MARKERS[init], label=_NAMES[init])
    grid[0][0].plot([], [], "--", color=rcParams[INK], label="on images the init did not see")
    grid[0][0].set(title="weight norm: variance", ylabel="variance of a unit's t")
    grid[0][1].set(title="weight norm: gradient", ylabel="rms of ∇L by t")
    for axes in grid[0]:
        axes.set(xlabel="layer, counted from the input", yscale="log")
    for axes, arm in zip(grid[1], _ARMS, strict=True):
        _draw_training(axes, data["init"], arm)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def _band(axes: Axes, rows: pd.DataFrame, column: str, init: int, dashes: str) -> None:
    colour = _COLOURS[init]
    by_layer = rows.groupby("layer")[column]
    middle = by_layer.median()
    marked = {"marker": _MARKERS[init], "markevery": max(1, len(middle) // 4)}
    axes.plot(middle.index, middle, linestyle=dashes, color=colour, **marked)
    axes.fill_between(
        middle.index, by_layer.min(), by_layer.max(), color=colour, alpha=0.2, linewidth=0
    )


def _draw_training(axes: Axes, runs: pd.DataFrame, arm: str) -> None:
    own = runs[runs.arm == arm]
    best = own.groupby(["init", "depth", "seed"]).train_loss_nats.min().reset_index()
    for init, colour in _COLOURS.items():
        each = best[best.init == init]
        middle = each.groupby("depth").train_loss_nats.median()
        axes.plot(middle.index, middle, color=colour)
        axes.plot(
            *(each.depth, each.train_loss_nats),
            marker=_MARKERS[init],
            linestyle="none",
            color=colour,
            alpha=0.6,
        )
    axes.axhline(math.log(10), color=rcParams[INK], linestyle=":", linewidth=1)
    axes.axhline(math.log(10) / 2, color=rcParams[INK], linestyle="--", linewidth=0.8)
    axes.set(
        title=f"{_ARMS[arm]}: training", xscale="log", yscale="log",
        xlabel="hidden layers", ylabel="training loss (nats)",
    )  # fmt: skip
    depths = sorted(own.depth.unique())
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.set_xticks([], minor=True)
