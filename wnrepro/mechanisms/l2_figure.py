"""The figure of experiment `l2`."""

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.arms import ARMS
from wnrepro.drawing import (
    BROWN,
    INK,
    WIDTH_INCHES,
    End,
    label_ends,
    plain_numbers,
    shades,
)
from wnrepro.mechanisms.experiment import Data

_COLOURS = {"v": ARMS["wn"].colour, "g": BROWN, "w": ARMS["plain"].colour}
_MARKERS = {"v": ARMS["wn"].marker, "g": "^", "w": ARMS["plain"].marker}
_NAMES = {"v": "v", "g": "g", "w": "w (plain)"}


def draw(data: Data) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 5.8), layout="constrained")
    (shrunk, imitated), (effective, lengths) = figure.subplots(2, 2)
    for axes in (shrunk, imitated, effective, lengths):
        axes.set(xscale="log", yscale="log")
        axes.margins(x=0.2, y=0.12)
    shrunk.set(title="shrinking alone", xlabel="all multiplied by", ylabel="change of the logits")
    shrunk.invert_xaxis()
    changes = data["l2_shrink"]
    v = (changes.penalised == "v") & (changes.precision == "float32")
    _by_target(shrunk, changes[v | (changes.penalised != "v")], "factor", "change_relative")
    ticks = sorted(changes.factor.unique())
    shrunk.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    shrunk.set_xticks([], minor=True)
    _draw_imitation(imitated, data["l2_steps"])
    _draw_effective(effective, data["l2_steps"])
    runs = data["l2"][data["l2"].precision == "float64"]
    runs = runs.assign(ratio=runs.w_norm / runs.w_norm_unpenalised)
    plain_numbers(effective.yaxis)
    lengths.set(title="length of w", xlabel="penalty λ", ylabel="‖w‖ with / without penalty")
    plain_numbers(lengths.yaxis)
    _by_target(lengths, runs, "penalty", "ratio")
    return figure


def _by_target(axes: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    """One line per penalised tensor, named at its end."""
    ends = []
    for target, colour in _COLOURS.items():
        own = rows[rows.penalised == target]
        if len(own):
            marker = _MARKERS[target]
            end = _line(axes, own, x, y, colour, marker)
            ends.append(End(*end, _NAMES[target], colour, marker))
    label_ends(axes, ends)


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    colour: str,
    marker: str = "o",
    dashes: str = "-",
) -> tuple[float, float]:
    """Geometric mean and range over seeds; returns its rightmost point, in the axis's direction.

    An exact 0 is drawn at 1e-17, and where a seed is not finite the line ends.
    """
    finite = np.isfinite(rows.groupby(x)[y].transform("max"))
    by_x = rows[y].clip(lower=1e-17)[finite].groupby(rows[x])
    middle = by_x.apply(lambda values: float(np.exp(np.log(values).mean())))
    axes.fill_between(middle.index, by_x.min(), by_x.max(), color=colour, alpha=0.25, linewidth=0)
    axes.plot(middle.index, middle, marker=marker, linestyle=dashes, color=colour, markersize=4)
    k = 0 if axes.xaxis_inverted() else -1
    return float(middle.index[k]), float(middle.iloc[k])


def _draw_imitation(axes: Axes, steps: pd.DataFrame) -> None:
    strongest = steps[steps.penalty == steps.penalty.max()]
    axes.set(title="penalty against imitation", xlabel="step", ylabel="difference of the logits")
    ends = []
    for target, precision, name, dashes in (
        ("v", "float64", "v", "-"),
        ("v", "float32", "v, float32", "--"),
        ("g", "float64", "g", "-"),
        ("w", "float64", "w (plain)", "-"),
    ):
        own = strongest[(strongest.penalised == target) & (strongest.precision == precision)]
        if len(own):
            colour, marker = _COLOURS[target], _MARKERS[target]
            end = _line(axes, own, "step", "from_imitation_relative", colour, marker, dashes)
            ends.append(End(*end, name, colour, marker))
    # A line that ends early is named beside the others, where no line is.
    right = max((end.x for end in ends), default=1.0)
    ends = [end._replace(x=right) for end in ends]
    axes.set_ylim(top=1e5)  # room for the names
    label_ends(axes, ends)


def _draw_effective(axes: Axes, steps: pd.DataFrame) -> None:
    own = steps[(steps.penalised == "v") & (steps.precision == "float64")]
    axes.set(title="penalty λ on v", xlabel="step", ylabel="effective rate  η/‖v‖²")
    penalties = sorted(own.penalty.unique())
    ink = rcParams[INK]
    none = own[own.penalty == penalties[0]]
    ends = [End(*_line(axes, none, "step", "effective_rate_unpenalised", ink), "λ = 0", ink)]
    shown = penalties[::2]
    for penalty, shade in zip(shown, shades(len(shown)), strict=True):
        each = own[own.penalty == penalty]
        end = _line(axes, each, "step", "effective_rate", shade)
        ends.append(End(*end, f"{penalty:g}", shade))
    label_ends(axes, ends)
