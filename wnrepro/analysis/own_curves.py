"""A picture of any runs: the headline metric by epoch, a line for each setting."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro.analysis import canvas
from wnrepro.analysis.canvas import Line, Point
from wnrepro.analysis.exhibits.error_curves import draw_line
from wnrepro.analysis.exhibits.figure1 import draw_paper
from wnrepro.analysis.lines import Drawn
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, UNFINISHED, Records
from wnrepro.analysis.tidy import Results
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError
from wnrepro.tasks import PARTS, Task, task_of

PAPERS_DATA = "cifar10"
"""The data set of the paper's figure 1."""
_NAMED = 24
"""So many lines have a name each; of more lines one of each colour has."""
_PAPER_TO_EPOCH = 25
"""As far at least: the paper's curves begin at epoch 9 to 13, and ours may be shorter."""
_INCHES_PER_NAME = 0.165


def draw(found: Results, drawn: Sequence[Drawn], paper: Paper | None = None) -> Figure:
    """A panel for each part of the data that was measured: training, test, held out.

    Lines are means over seeds with 95 % t intervals; runs in progress are thin beside finished ones
    of their line, runs that diverged dotted up to a cross.

    paper: dashed, the curves of its figure 1 of those arms that have runs on CIFAR-10.

    Raises:
        ConfigError: the runs are of several tasks.
    """
    task = _task_of(found.final)
    columns = [f"{part}_{task.headline}" for part in PARTS]
    columns = [each for each in columns if found.curves[each].notna().any()] or columns[:1]
    named = {each.line: each.line.name for each in drawn}
    if len(drawn) > _NAMED:
        named = {each.coloured: each.line for each in reversed(drawn)}
        named = {line: name for name, line in named.items()}
    height = max(3.2, 1.0 + _INCHES_PER_NAME * len(named))
    figure, panels = canvas.begin(_title(found.final, drawn), len(columns), height)
    ends: dict[Line, Point] = {}
    for axes, column in zip(panels, columns, strict=True):
        if column == columns[0] and paper is not None:
            _draw_paper(axes, found, paper)
        for line, runs, *_ in drawn:
            curves = found.curves[found.curves["identity"].isin(runs["identity"])]
            if end := draw_line(axes, line, curves.assign(x=curves["epoch"]), column):
                ends[line] = end
        canvas.whole_numbers(axes)
        axes.set_ylabel(canvas.YLABELS[column])
        canvas.fit(axes, task)
    shown = {line._replace(name=name): ends[line] for line, name in named.items() if line in ends}
    canvas.name_lines(panels[-1], shown)
    return figure


def with_paper(final: pd.DataFrame, paper: Paper) -> pd.DataFrame:
    """Those of the runs whose arm has a curve in the paper's figure 1, on its data."""
    return final[(final["data"] == PAPERS_DATA) & final["arm"].isin(paper.curves["figure1"]["arm"])]


def _draw_paper(axes: Axes, found: Results, paper: Paper) -> None:
    curves, final = found.of(with_paper(found.final, paper)["identity"])
    if len(final):
        draw_paper(axes, Records(final, curves, curves), paper, _PAPER_TO_EPOCH)


def _task_of(final: pd.DataFrame) -> Task:
    found = {task_of(config).name: task_of(config) for config in final["config"]}
    if len(found) > 1:
        known = " or ".join(f"task={name}" for name in sorted(found))
        raise ConfigError(f"the runs are of several tasks: add {known}")
    return next(iter(found.values()))


def _title(final: pd.DataFrame, drawn: Sequence[Drawn]) -> str:
    data = ", ".join(CATALOGUE[d].title if d in CATALOGUE else d for d in final["data"].unique())
    counts = final["status"].value_counts()
    said = [f"{data}; {len(final)} run{'s' * (len(final) > 1)}"]
    for status, words in ((DIVERGED, "diverged"), (UNFINISHED, "in progress")):
        if status in counts:
            said.append(f"{counts[status]} {words}")
    several = any(len(each.final) > 1 for each in drawn)
    how = "mean and 95 % t interval over seeds (in brackets n)" if several else "one run a line"
    return f"{', '.join(said)}; {how}"
