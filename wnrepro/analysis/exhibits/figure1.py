"""The paper's figure 1 and ours: training error by epoch at its whole protocol."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.exhibits.error_curves import BAND, SECONDS, TIME, TRAINING, draw_arms
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, arms_in
from wnrepro.arms import ARMS

PROTOCOL = ("cifar_table1_bf16", "cifar_table1")
"""The paper's protocol in two arithmetics."""
PAPER = (
    "Dashed: the paper's figure 1, read off its vector graphics (± 0.03 points); how many seeds it "
    "shows is not stated, and its epochs may count from 0 where ours count from 1."
)
PROGRESS = (
    "Runs in progress are drawn as far as they have come, thin beside those of an arm that have "
    "finished."
)
TOP_PERCENT = 15.0
"""Where the axis of the paper's figure 1 ends."""
DASHES = (0, (3, 1.5))


def draw(
    records: Records, paper: Paper, title: str, column: str = canvas.TRAIN, against: str = "epoch"
) -> Drawing:
    """One panel on the linear axis of the paper's figure, which cuts off above 15 %.

    Behind training errors by epoch stand the paper's, dashed.
    """
    figure, (axes,) = canvas.begin(title, 1, 4.0)
    beside = (column, against) == (canvas.TRAIN, "epoch")
    theirs = draw_paper(axes, records, paper) if beside else {}
    dashed = len(axes.lines)
    ends = draw_arms(axes, records, column, against)
    ours = [np.asarray(line.get_ydata()) for line in axes.lines[dashed:]]
    cut = any(len(errors) > 1 and (errors < TOP_PERCENT).mean() > 0.3 for errors in ours)
    axes.set_ylim(0, TOP_PERCENT if cut else None)
    # An arm's name stands where the longer of its two curves ends, for it to cross neither.
    canvas.name_lines(axes, {arm: max(end, theirs.get(arm, end)) for arm, end in ends.items()})
    return figure


def draw_paper(
    axes: Axes, records: Records, paper: Paper, least: int = 0, name: str = "figure1"
) -> dict[str, canvas.Point]:
    """The paper's curves of those arms that have runs, dashed, half as far again as ours.

    least: and to this epoch at least. name: of its figure. Returns where they end.
    """
    far = max(1.5 * records.curves["epoch"].max(), least)
    ends: dict[str, canvas.Point] = {}
    for arm in arms_in(records.runs):
        curve = pd.Series(paper.curve(name, arm)).loc[:far]
        look = {"color": ARMS[arm].colour, "linewidth": 1.1, "alpha": 0.75}
        axes.plot(curve.index, curve, linestyle=DASHES, **look)
        if len(curve):
            ends[arm] = (float(curve.index[-1]), float(curve.iloc[-1]))
    if ends:
        for said, height in (("— ours", 0.95), ("- - the paper's", 0.88)):
            place = {"transform": axes.transAxes, "ha": "right", "va": "center"}
            axes.text(0.98, height, said, fontsize=10, **place)
    return ends


def _figure(name: str, title: str, says: str, **shown: str) -> exhibit.Figure:
    return exhibit.Figure(
        name=name,
        title=f"CIFAR-10: {title}",
        evidence=PROTOCOL,
        says=f"{BAND} {PROGRESS} {says}".rstrip(),
        draw=partial(draw, **shown),
        timed=shown.get("against") == TIME,
        in_progress=True,
    )


FIGURES = (
    _figure("figure1", "training error by epoch", f"{TRAINING} {PAPER}"),
    _figure("figure1_test", "test error by epoch", "", column=canvas.TEST),
    _figure("figure1_time", "training error by time", SECONDS, against=TIME),
)
