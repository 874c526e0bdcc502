"""The figure of experiment `l2`."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.arms import ARMS
from wnrepro.mechanisms.drawing import WIDTH_INCHES, label_ends
from wnrepro.mechanisms.experiment import Data

_COLOURS = {"v": ARMS["wn"].colour, "g": "#E69F00", "w": ARMS["plain"].colour}
_NAMES = {"v": "v", "g": "g", "w": "w (plain)"}


def draw(data: Data) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 5.8), layout="constrained")
    (shrunk, imitated), (effective, lengths) = figure.subplots(2, 2)
    _by_target(shrunk, data["l2_shrink"], "factor", "change_relative")
    shrunk.set(
        title="shrinking without training", xlabel="factor", ylabel="change of logits, relative",
        xscale="log", xlim=(1.05, 0.06),
    )  # fmt: skip
    shrunk.set_xticks([0.9, 0.5, 0.3, 0.1], ["0.9", "0.5", "0.3", "0.1"])
    shrunk.set_xticks([], minor=True)
    steps = data["l2_steps"]
    strongest = steps[steps.penalty == steps.penalty.max()]
    _by_target(imitated, strongest, "step", "from_imitation_relative")
    imitated.set(
        title="penalty against its imitation", xlabel="step",
        ylabel="difference of logits, relative", xscale="log",
    )  # fmt: skip
    _draw_effective(effective, steps[steps.penalised == "v"])
    runs = data["l2"].assign(ratio=lambda rows: rows.w_norm / rows.w_norm_unpenalised)
    _by_target(lengths, runs, "penalty", "ratio")
    lengths.set(
        title="length of w after training", xlabel="penalty λ", xscale="log",
        ylabel="‖w‖ with / without penalty",
    )  # fmt: skip
    for axes in (shrunk, imitated, lengths):
        axes.margins(x=0.22)
    shrunk.set_xlim(1.0, 0.05)
    return figure


def _by_target(axes: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    axes.set_yscale("log")
    axes.set_xscale("log")
    ends = []
    for target, colour in _COLOURS.items():
        own = rows[rows.penalised == target]
        if not len(own):
            continue
        by_x = own.groupby(x)[y]
        middle = np.exp(np.log(own[y].clip(lower=1e-12)).groupby(own[x]).mean())
        axes.fill_between(
            middle.index, by_x.min(), by_x.max(), color=colour, alpha=0.25, linewidth=0
        )
        axes.plot(middle.index, middle, "o-", color=colour, markersize=3.5)
        k = 0 if x == "factor" else -1  # the axis of the factor is turned round
        ends.append((middle.index[k], middle.iloc[k], _NAMES[target], colour))
    label_ends(axes, ends)


def _draw_effective(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set(xscale="log", yscale="log", xlabel="step", ylabel="effective rate  η/‖v‖²")
    axes.set_title("penalty λ on v")
    penalties = sorted(rows.penalty.unique())
    lines = [("none", "effective_rate_unpenalised", penalties[0], "black")]
    colours = colormaps["viridis"](np.linspace(0.1, 0.85, len(penalties)))
    lines += [
        (f"{penalty:g}", "effective_rate", penalty, tuple(colour))
        for penalty, colour in zip(penalties, colours, strict=True)
        if penalty in penalties[:: max(1, len(penalties) // 2)]
    ]
    ends = []
    for name, column, penalty, colour in lines:
        own = rows[rows.penalty == penalty]
        middle = np.exp(np.log(own[column]).groupby(own.step).mean())
        axes.plot(middle.index, middle, "o-", color=colour, markersize=3.5)
        ends.append((middle.index[-1], middle.iloc[-1], name, colour))
    axes.margins(x=0.16)
    label_ends(axes, ends)
