"""The norm of v (of w, where an arm has no v) against epochs and against the learning rate."""

from functools import partial

import numpy as np
from matplotlib.figure import Figure as Drawing

from wnrepro.analysis.canvas import (
    canvas,
    draw_mean,
    drawn_as,
    log_norms,
    log_rates,
    name_lines,
    whole_numbers,
)
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.exhibit import Figure
from wnrepro.analysis.exhibits.figure1 import PROTOCOL
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, DONE, Records
from wnrepro.statistics import T

# An interval of few seeds may reach below 0, where no norm is and no logarithm.
_BAND = drawn_as(lambda found: (max(found.low, found.estimate / 10), found.high))


def draw(records: Records, _: Paper, title: str, against: str = "epoch") -> Drawing:
    """One panel for the first layer of the network, one in the middle, the last.

    The mean over a layer's units of ‖v‖, by arm, after each epoch; or after the last epoch against
    the learning rate. Runs that diverged are left out, those in progress are as far as they are.
    """
    layers = list(dict.fromkeys(records.layers["layer"]))
    if len(layers) > 3:
        layers = [layers[0], layers[(len(layers) - 1) // 2], layers[-1]]
    norms = _norms(records)
    by_epoch = against == "epoch"
    norms = norms if by_epoch else norms[norms["epoch"] == norms["epochs"]]
    figure, panels = canvas(title, max(len(layers), 1), 3.0)
    for axes, layer in zip(panels, layers, strict=False):
        own = norms[norms["layer"] == layer]
        ends = {}
        for arm in arms_in(own):
            data = own[own["arm"] == arm]
            marked = {} if by_epoch else {"markevery": None}
            ends[arm] = draw_mean(axes, data, against, "v_norm", arm, _BAND, markersize=4, **marked)
        axes.set_title(layer, fontsize=10.5)
        log_norms(axes)
        if by_epoch:
            whole_numbers(axes, 4)
        else:
            log_rates(axes, own["learning_rate"], 3)
        axes.set_ylabel("mean ‖v‖ over units" if axes is panels[0] else "")
        if axes is panels[-1]:
            name_lines(axes, ends)
    return figure


def _norms(records: Records):
    """Finite norms with the arm, learning rate and epochs of their run.

    Of an arm of which no run has come to the end: the epochs that all in progress have.
    """
    runs = records.runs[records.runs["status"] != DIVERGED]
    done = runs[runs["status"] == DONE]
    going = runs[~runs["setting"].isin(done["setting"])]
    shown = records.layers.merge(
        runs.loc[
            done.index.union(going.index),
            ["arm", "setting", "learning_rate", "epochs", "epochs_done"],
        ],
        left_on="identity",
        right_index=True,
    )
    last = shown.groupby("setting")["epochs_done"].transform("min")
    return shown[np.isfinite(shown["v_norm"]) & (shown["epoch"] <= last)]


def _figure(name: str, title: str, evidence: tuple[str, ...], says: str, **options: bool) -> Figure:
    by_rate = "learning_rate" if "rate" in title else "epoch"
    return Figure(
        name=name,
        title=title,
        evidence=evidence,
        says=f"{says}, then over seeds; bands: {T}. "
        f"{'Runs that diverged are left out. ' * (by_rate != 'epoch')}"
        "For arms without v it is the norm of w.",
        draw=partial(draw, against=by_rate),
        **options,
    )


_EACH, _LAST = (f"ean over a layer's units after {when} epoch" for when in ("each", "the last"))

FIGURES = (
    _figure("norm_growth", "MNIST: norm of v by epoch", ("mnist_arms",), f"M{_EACH}"),
    _figure(
        "norm_growth_cifar",
        "CIFAR-10: norm of v by epoch",
        PROTOCOL,
        f"Three of the layers. M{_EACH}",
        in_progress=True,
    ),
    _figure(
        "norm_learning_rates",
        "MNIST: norm of v after training, by learning rate",
        ("mnist_lr_robustness",),
        f"M{_LAST}",
    ),
)
