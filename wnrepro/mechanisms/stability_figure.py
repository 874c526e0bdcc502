"""The figure of experiment `stability`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.arms import ARMS, Arm
from wnrepro.drawing import INK, WIDTH_INCHES, End, label_ends, shades
from wnrepro.mechanisms.experiment import Data
from wnrepro.mechanisms.loss_range import Range

_PANELS = {
    "gd": ("gradient descent", "learning rate of all parameters"),
    "adam": ("Adam", "learning rate of all parameters"),
    "gd_vectors": ("gradient descent, g and b at 0.1", "learning rate of v (plain: of w)"),
}
_SHORT = {"mean_only_bn": "mean-only BN", "wn_mean_only_bn": "weight norm + mean-only BN"}
_TOP = 5.0
"""Nats; twice the loss of a guess, and what is above is no longer of interest."""


def draw(data: Data, ranges: Mapping[tuple[str, str], Sequence[Range]]) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 6.2), layout="constrained")
    grid = figure.subplots(2, 2)
    panels = {"gd": grid[0][0], "adam": grid[0][1], "gd_vectors": grid[1][0]}
    losses = data["stability"]
    bottom = 0.93 * losses.train_loss_nats.min()
    arms = list(dict.fromkeys(losses.arm))
    # Room below the curves for one bar per arm, in equal steps of the logarithmic axis.
    heights = {arm: bottom / 1.075 ** (k + 1) for k, arm in enumerate(arms)}
    for setting, axes in panels.items():
        own = losses[losses.setting == setting]
        for arm in [arm for arm in arms if (own.arm == arm).any()]:
            _draw_losses(axes, own[own.arm == arm], ARMS[arm])
            _draw_range(axes, ranges[setting, arm], heights[arm], ARMS[arm].colour)
        axes.axhline(math.log(10), color=rcParams[INK], linestyle=":", linewidth=1)
        axes.set(xscale="log", yscale="log", ylim=(heights[arms[-1]] / 1.06, _TOP))
        axes.set_yticks([0.6, 1, 2, 4], ["0.6", "1", "2", "4"])
        axes.set_yticks([], minor=True)
        axes.set(title=_PANELS[setting][0], xlabel=_PANELS[setting][1])
        axes.set_ylabel("training loss (nats)")
    _draw_effective(grid[1][1], data["stability_steps"])
    names = [
        (axes_line, _SHORT.get(arm, ARMS[arm].label))
        for arm in arms
        for axes_line in [
            grid[0][0].plot([], [], color=ARMS[arm].colour, marker=ARMS[arm].marker)[0]
        ]
    ]
    figure.legend(
        [line for line, _ in names], [name for _, name in names],
        loc="outside upper left", ncols=3, fontsize=10.5, columnspacing=1.4, handlelength=1.4,
    )  # fmt: skip
    return figure


def _draw_losses(axes: Axes, runs: pd.DataFrame, arm: Arm) -> None:
    by_rate = runs.groupby("learning_rate").train_loss_nats
    table = pd.DataFrame({"low": by_rate.min(), "mid": by_rate.median(), "high": by_rate.max()})
    table = table[np.isfinite(table.high)]
    colour = arm.colour
    # At every other rate, beginning elsewhere for every other arm: lines lie upon one another.
    marked = slice(list(ARMS).index(arm.id) % 2, None, 2)
    axes.plot(table.index, table.mid, color=colour, marker=arm.marker, markevery=marked)
    axes.fill_between(table.index, table.low, table.high, color=colour, alpha=0.25, linewidth=0)


def _draw_range(axes: Axes, ranges: Sequence[Range], height: float, colour: str) -> None:
    low = np.exp(np.mean([math.log(each.low) for each in ranges]))
    high = np.exp(np.mean([math.log(each.high) for each in ranges]))
    axes.plot([low, high], [height, height], color=colour, linewidth=3.5, solid_capstyle="butt")


def _draw_effective(axes: Axes, steps: pd.DataFrame) -> None:
    own = steps[(steps.setting == "gd_vectors") & steps.effective_step.notna()]
    rates = sorted(own.learning_rate.unique())
    shown = rates[:: max(1, (len(rates) - 1) // 6)]
    axes.set(xscale="log", yscale="log", xlabel="step", ylabel="effective step  η·g/‖v‖")
    axes.margins(x=0.16, y=0.13)
    ends = []
    for rate, colour in zip(shown, shades(len(shown)), strict=True):
        line = np.exp(
            np.log(own[own.learning_rate == rate].set_index("step").effective_step)
            .groupby("step")
            .mean()
        )
        axes.plot(line.index, line, "o-", color=colour, markersize=2.5)
        ends.append(End(line.index[-1], line.iloc[-1], f"{rate:g}", colour))
    label_ends(axes, ends)
    axes.set_title("weight norm, by learning rate of v")
