"""The norm of v (of w, where an arm has no v) against epochs and against the learning rate."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.analysis.canvas import (
    End,
    canvas,
    log_norms,
    log_rates,
    marks,
    name_lines,
    whole_numbers,
)
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS
from wnrepro.statistics import t_interval

_PANELS = 3


def layers(records: Records) -> list[str]:
    """Three layers of the network: the first, one in the middle, the last."""
    names = list(dict.fromkeys(records.layers["layer"]))
    if len(names) <= _PANELS:
        return names
    return [names[0], names[(len(names) - 1) // 2], names[-1]]


def draw_growth(records: Records, title: str) -> Figure:
    """The mean over a layer's units of ‖v‖ after each epoch, by arm, with intervals over seeds."""
    norms = _norms(records)
    return _panels(records, norms, title, "epoch")


def draw_by_rate(records: Records, title: str) -> Figure:
    """The same after the last epoch against the learning rate; runs that diverged left out."""
    last = _norms(records).query("epoch == epochs")
    return _panels(records, last, title, "learning_rate")


def _norms(records: Records) -> pd.DataFrame:
    """Finite norms of the runs that were trained to the end, with arm, seed and learning rate."""
    done = records.runs[records.runs["status"] == "done"]
    columns = done[["arm", "seed", "learning_rate", "epochs"]]
    norms = records.layers.merge(columns, left_on="identity", right_index=True)
    return norms[np.isfinite(norms["v_norm"])]


def _panels(records: Records, norms: pd.DataFrame, title: str, against: str) -> Figure:
    shown = layers(records)
    figure, panels = canvas(title, max(len(shown), 1), 3.0)
    for axes, layer in zip(panels, shown, strict=False):
        own = norms[norms["layer"] == layer]
        ends, drawn = [], []
        for arm in arms_in(records.runs):
            means = _draw_arm(axes, own[own["arm"] == arm], arm, against)
            drawn += means
            if means:
                ends.append(End(means[-1], arm))
        axes.set_title(layer, fontsize=10.5)
        log_norms(axes, drawn)
        if against == "epoch":
            whole_numbers(axes, 4)
            axes.set_xlabel("epoch")
        else:
            log_rates(axes, own["learning_rate"], 3)
            axes.set_xlabel("learning rate")
        if axes is panels[0]:
            axes.set_ylabel("mean ‖v‖ over units")
        if axes is panels[-1]:
            name_lines(axes, ends)
    return figure


def _draw_arm(axes: Axes, norms: pd.DataFrame, arm: str, against: str) -> list[float]:
    """The means drawn, by what they are drawn against."""
    intervals = [(x, t_interval(group["v_norm"])) for x, group in norms.groupby(against)]
    if not intervals:
        return []
    x = [float(place) for place, _ in intervals]
    means = [each.estimate for _, each in intervals]
    colour = ARMS[arm].colour
    marked = marks(arm, len(x)) if against == "epoch" else None
    axes.plot(*(x, means), color=colour, marker=ARMS[arm].marker, markersize=4, markevery=marked)
    if all(each.n > 1 for _, each in intervals):
        # An interval of few seeds may reach below 0, where no norm is and no logarithm.
        low = [max(each.low, each.estimate / 10) for _, each in intervals]
        high = [each.high for _, each in intervals]
        axes.fill_between(x, low, high, color=colour, alpha=0.17, linewidth=0)
    return means
