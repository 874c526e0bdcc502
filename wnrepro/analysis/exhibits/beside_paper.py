"""The paper's figures 3, 4 and 5 and ours: the headline metric on the test set by epoch."""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from wnrepro import drawing
from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.exhibits.error_curves import BAND, SECONDS, TIME, draw_arms
from wnrepro.analysis.exhibits.error_curves import draw as draw_both_parts
from wnrepro.analysis.exhibits.figure1 import PROGRESS, draw_paper
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, tested
from wnrepro.arms import ARMS

READ_OFF = "read off its vector graphics"
STARTS = (
    "start unit: w = v/‖v‖, start normal: w ~ N(0, 0.01²); the paper's plain has the latter, the "
    "start of its weight norm is not stated."
)
CUT = "Values of the first third may lie above the picture; the paper's leaves out a tenth."


def draw(
    records: Records, paper: Paper, title: str, theirs: str, protocol: bool = False
) -> Drawing:
    """Ours, and the paper's figure `theirs` in a panel of its own on an axis of its own.

    protocol: ours have the paper's protocol, so that its curves stand behind them, dashed.
    """
    figure, (left, *others) = canvas.begin(title, 1 if protocol else 2, 3.6)
    if protocol:
        draw_paper(left, records, paper, name=theirs)
    ends = draw_arms(left, records, tested(records.task))
    canvas.fit(left, records.task)
    canvas.name_lines(left, ends)
    for axes in others:
        left.set_title("ours, reduced", fontsize=10.5)
        _draw_theirs(axes, paper, theirs)
        axes.set_ylabel(left.get_ylabel())
    return figure


def _draw_theirs(axes: Axes, paper: Paper, name: str) -> None:
    axes.set_title(f"the paper's {name[:6]} {name[6]}", fontsize=10.5)
    curves = paper.curves[name]
    ends: dict[str, canvas.Point] = {}
    for arm, own in curves.groupby("arm"):
        axes.plot(own["epoch"], own["value"], color=ARMS[str(arm)].colour)
        ends[str(arm)] = (own["epoch"].iloc[-1], own["value"].iloc[-1])
    canvas.whole_numbers(axes, 4)
    drawing.round_ticks(axes.yaxis, 6)
    canvas.name_lines(axes, ends)


def _figures(
    evidence: str, theirs: str, title: str, says: str = "", reduced: str = ""
) -> list[exhibit.Figure]:
    """By epoch beside the paper's figure, and by time. reduced: what a smaller size is called."""
    name = theirs + reduced
    beside = "in a panel of its own, for its size is another" if reduced else "dashed"
    by_epoch = exhibit.Figure(
        name=name,
        title=f"{title}: by epoch",
        evidence=(evidence,),
        says=f"{says} {BAND} {PROGRESS} The paper's: {READ_OFF}, {beside}.".lstrip(),
        draw=partial(draw, theirs=theirs, protocol=not reduced),
        in_progress=True,
    )
    if reduced:  # trained beside other work: their times do not compare
        return [by_epoch]
    by_time = exhibit.Figure(
        name=f"{name}_time",
        title=f"{title}: by time",
        evidence=(evidence,),
        says=f"{says} {BAND} {SECONDS}".lstrip(),
        draw=partial(draw_both_parts, against=TIME),
        timed=True,
    )
    return [by_epoch, by_time]


_OF_DRAW = f"{STARTS} {CUT}"

FIGURES = (
    *_figures("vae_mnist", "figure3_mnist", "VAE on MNIST", CUT),
    *_figures("vae_mnist_small", "figure3_mnist", "VAE on MNIST, reduced", CUT, "_small"),
    *_figures("vae_cifar", "figure3_cifar", "VAE on CIFAR-10", CUT),
    *_figures("vae_cifar_small", "figure3_cifar", "VAE on CIFAR-10, reduced", CUT, "_small"),
    *_figures("draw", "figure4", "DRAW on binarised MNIST", _OF_DRAW),
    *_figures("dqn_space_invaders", "figure5", "DQN on Space Invaders"),
    *_figures(
        *("atari_small", "figure5", "DQN on Space Invaders, reduced"),
        "An epoch is 25,000 steps; the paper's have 250,000.",
        "_small",
    ),
    *_figures("draw_small", "figure4", "DRAW on binarised MNIST, reduced", _OF_DRAW, "_small"),
    *_figures("draw_medium", "figure4", "DRAW on MNIST, less reduced", _OF_DRAW, "_medium"),
)
