"""The norm of v (of w, where an arm has no v) against epochs and against the learning rate."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure as Drawing

from wnrepro.analysis import canvas
from wnrepro.analysis.exhibit import Figure
from wnrepro.analysis.exhibits.error_curves import common_epochs
from wnrepro.analysis.exhibits.figure1 import PROTOCOL
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DONE, UNFINISHED, Records, arms_in
from wnrepro.intervals import T

RATE = "learning_rate"
# An interval of few seeds may reach below 0, where no norm is and no logarithm.
_BAND = canvas.drawn_as(lambda found: (max(found.low, found.estimate / 10), found.high))


def draw(records: Records, _: Paper, title: str, against: str = "epoch") -> Drawing:
    """One panel for the first layer of the network, one in the middle, the last.

    The mean over a layer's units of ‖v‖, by arm, after each epoch; or after the last epoch against
    the learning rate.
    """
    layers = list(dict.fromkeys(records.layers["layer"]))
    if len(layers) > 3:
        layers = [layers[0], layers[(len(layers) - 1) // 2], layers[-1]]
    norms = pd.concat([_norms(own) for _, own in records.by_arm()])
    if against == RATE:
        norms = norms[norms["epoch"] == norms["epochs"]]
    figure, panels = canvas.begin(title, max(len(layers), 1), 3.0)
    ends: dict[str, canvas.Point] = {}
    for axes, layer in zip(panels, layers, strict=False):
        own = norms[norms["layer"] == layer]
        style = {"markersize": 4} | ({"markevery": None} if against == RATE else {})
        ends = {
            arm: canvas.draw_mean(
                axes, own[own["arm"] == arm], against, "v_norm", arm, _BAND, **style
            )
            for arm in arms_in(own)
        }
        axes.set_title(layer, fontsize=10.5)
        if against == RATE:
            canvas.log_rates(axes, own[RATE], 3)
        else:
            canvas.whole_numbers(axes, 4)
        axes.set_ylabel("mean ‖v‖ over units" if axes is panels[0] else "")
    for axes in panels[: len(layers)]:
        # Against the rate the layers are to be compared: one scale.
        canvas.log_norms(axes, panels if against == RATE else [axes])
    canvas.name_lines(panels[-1], ends)
    return figure


def _norms(own: Records) -> pd.DataFrame:
    """An arm's norms, of runs to the end; if there are none, of those in progress."""
    runs = own.runs[own.runs["status"] == DONE]
    if runs.empty:
        runs = own.runs[own.runs["status"] == UNFINISHED]
    settings = runs[["arm", RATE, "epochs"]]
    norms = own.layers.dropna(subset="v_norm").merge(settings, left_on="identity", right_index=True)
    return norms if (runs["status"] == DONE).all() else common_epochs(norms)


_UNITS = "ean over a layer's units after {} epoch, then over seeds; bands: " + T
_NO_V = "For arms without v it is the norm of w."


def _by_rate(name: str, evidence: str, title: str, layers: str = "") -> Figure:
    return Figure(
        name=name,
        title=f"{title}: norm of v after training, by learning rate",
        evidence=(evidence,),
        says=f"{layers}M{_UNITS.format('the last')}. plain and mean-only batch norm, which have "
        f"no v, are the controls. Runs that diverged are left out. {_NO_V}",
        draw=partial(draw, against=RATE),
    )


FIGURES = (
    Figure(
        name="norm_growth",
        title="MNIST: norm of v by epoch",
        evidence=("mnist_arms",),
        says=f"M{_UNITS.format('each')}. {_NO_V}",
        draw=draw,
    ),
    Figure(
        name="norm_growth_cifar",
        title="CIFAR-10: norm of v by epoch",
        evidence=PROTOCOL,
        says=f"Three of the layers. M{_UNITS.format('each')}. {_NO_V}",
        draw=draw,
        in_progress=True,
    ),
    _by_rate("norm_learning_rates", "mnist_lr_robustness", "MNIST"),
    _by_rate(
        "norm_learning_rates_cifar", "cifar_small_rates", "CIFAR-10, small", "Three of the layers. "
    ),
)
