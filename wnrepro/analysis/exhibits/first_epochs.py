"""The first epochs of figure 1: in float32, and in bf16 as far as those runs have come."""

from collections.abc import Iterator

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from wnrepro import drawing
from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.exhibits.error_curves import BAND, TRAINING, common_epochs, draw_arms
from wnrepro.analysis.exhibits.figure1 import PAPER, draw_paper
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, DONE, Records
from wnrepro.analysis.settings import FIRST_EPOCHS
from wnrepro.arms import ARMS
from wnrepro.drawing import INK
from wnrepro.intervals import t_interval

NARROW = "bf16"
_HOLLOW = {"markerfacecolor": "white", "linewidth": 0.9, "markersize": 4, "markevery": None}


def draw(records: Records, paper: Paper, title: str) -> Drawing:
    """Training error, test error, and training error minus the paper's.

    Filled markers are float32, hollow ones bf16.
    """
    narrow = records.of(records.runs.index[records.runs["precision"] == NARROW])
    title += "" if narrow.runs.empty else "; hollow markers: bf16"
    figure, (left, middle, right) = canvas.begin(title, height=4.6, mosaic="AB;AC")
    wide = records.of(records.runs.index.difference(narrow.runs.index))
    ends = draw_paper(left, wide, paper)
    for axes, column in ((left, canvas.TRAIN), (middle, canvas.TEST)):
        draw_arms(axes, wide, column)
        for arm, curves in _by_arm(narrow):
            canvas.draw_mean(axes, curves, "epoch", column, arm, None, **_HOLLOW)
        canvas.log_errors(axes)
    canvas.name_lines(left, ends)
    _draw_differences(right, wide, narrow, paper)
    return figure


def _draw_differences(axes: Axes, wide: Records, narrow: Records, paper: Paper) -> None:
    axes.axhline(0, color=rcParams[INK], linewidth=0.9)
    ends: dict[str, canvas.Point] = {}
    for records in (narrow, wide):
        for arm, curves in _by_arm(records):
            theirs = curves["epoch"].map(paper.training_error(arm))
            beside = curves.assign(beside=curves[canvas.TRAIN] - theirs).dropna(subset="beside")
            style = _HOLLOW if records is narrow else {"markevery": None}
            if len(beside):
                ends[arm] = canvas.draw_mean(axes, beside, "epoch", "beside", arm, None, **style)
    drawing.round_ticks(axes.xaxis, 4, whole=True)
    axes.set(xlabel="epoch", ylabel="ours − the paper's\n(percentage points)")
    canvas.name_lines(axes, ends)


def _by_arm(records: Records) -> Iterator[tuple[str, pd.DataFrame]]:
    """The first epochs, as far as all seeds of the arm have come."""
    kept = records.of(records.runs.index[records.runs["status"] != DIVERGED])
    for arm, own in kept.by_arm():
        yield arm, common_epochs(own.curves[own.curves["epoch"] <= FIRST_EPOCHS])


def rows(records: Records, paper: Paper) -> exhibit.Rows:
    """Training error beside figure 1's, which may count its epochs from 1 or from 0.

    A row in words for each epoch that figure 1 has, counted from 1; a row of values for every one.
    """
    done = records.of(records.runs.index[records.runs["status"] == DONE])
    for arm, own in done.by_arm():
        theirs = paper.training_error(arm)
        for epoch, ours in own.curves.groupby("epoch")[canvas.TRAIN]:
            trained = t_interval(ours)
            from_1, from_0 = theirs.get(epoch), theirs.get(epoch - 1)
            words = {
                "arm": ARMS[arm].label,
                "epoch": str(epoch),
                "training error (%)": exhibit.with_interval(trained),
                "paper, counting from 1": exhibit.number(from_1),
                "from 0": exhibit.number(from_0),
                "n": str(trained.n),
            }
            values = {"arm": arm, "epoch": epoch, "n": trained.n}
            values |= exhibit.interval_values(canvas.TRAIN, trained)
            values |= {"paper_counting_from_1": from_1, "paper_counting_from_0": from_0}
            yield {} if from_1 is None else words, values


FIGURES = (
    exhibit.Figure(
        name="first_epochs",
        title="CIFAR-10, the first epochs of figure 1: training and test error",
        evidence=("cifar_first_epochs", "cifar_table1_bf16"),
        says=f"{BAND} {TRAINING} {PAPER} It begins where an arm comes below 15 %. Right: the "
        "training error minus the paper's, both counted from 1. Hollow markers, where there are "
        "any: the first epochs of runs of 200 in bf16.",
        draw=draw,
        in_progress=True,
        together=True,
    ),
)
TABLES = (
    exhibit.Table(
        name="first_epochs",
        title="CIFAR-10, the first epochs of figure 1: training error, ours and the paper's",
        evidence=("cifar_first_epochs",),
        says=f"{exhibit.MEAN}. The paper's: read off its figure 1 (± 0.03 points), which begins "
        "where an arm comes below 15 %; whether it counts its epochs from 1, as we do, or from 0 "
        "is not stated.",
        rows=rows,
    ),
)
