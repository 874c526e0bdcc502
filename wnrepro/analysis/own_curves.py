"""A picture of any runs: the headline metric by epoch, a line for each setting."""

from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.analysis import canvas
from wnrepro.analysis.canvas import Line, Point
from wnrepro.analysis.exhibits.error_curves import draw_line
from wnrepro.analysis.exhibits.figure1 import draw_paper
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, UNFINISHED, Records, setting_identity
from wnrepro.analysis.selection import column_of, said, unique
from wnrepro.analysis.tidy import Results, differing, keys_of
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError
from wnrepro.tasks import PARTS, Task, task_of

ARM, DATA = "norm.name", "data.name"
PAPERS_DATA = "cifar10"
"""The data set of the paper's figure 1."""
_COLOURS = (drawing.BLUE, drawing.RED, drawing.GREEN, drawing.PURPLE, drawing.GREY, drawing.BROWN)
_MARKERS = "os^DvPX<>*"
_NAMED = 24
"""So many lines have a name each; of more lines one of each colour has."""
_PAPER_TO_EPOCH = 25
"""As far at least: the paper's curves begin at epoch 9 to 13, and ours may be shorter."""
_INCHES_PER_NAME = 0.165


class Drawn(NamedTuple):
    """A line, the rows of `Results.final` whose mean it is, and what its colour says."""

    line: Line
    final: pd.DataFrame
    coloured: str


def lines_of(final: pd.DataFrame, by: str | None = None) -> list[Drawn]:
    """Runs that differ in the seed alone are one line; lines of one value of `by` have one colour.

    by: a key of the config, as `wnrepro.analysis.selection.column_of` takes it; of `seed` each run
        is a line. None: the arm; where all runs have one, the first key in which they differ. What
        else tells lines apart stands in their names.

    Raises:
        ConfigError: there is no such key.
    """
    keys = keys_of(final["config"])
    others = differing(keys)
    colour = column_of(final, by or ("norm" if ARM in others or not others else others[0]))
    key = str(colour.name)
    group = final["config"].map(setting_identity) + colour.astype(str)
    values = [arm for arm in ARMS if arm in set(colour)] if key == ARM else unique(colour)
    found: list[Drawn] = []
    for value, shown in zip(values, _colours(key, values), strict=True):
        coloured = _label(key, value)
        rows = final[colour.isna() if pd.isna(value) else colour == value]
        first = ARMS[value].marker if key == ARM else ""
        markers = first + _MARKERS.replace(first, "")
        told_by = _telling_apart(keys.loc[rows.index].drop(columns=key, errors="ignore"))
        own = [
            (", ".join([coloured, *(_label(k, keys.loc[runs.index[0], k]) for k in told_by)]), runs)
            for _, runs in rows.groupby(group)
        ]
        for place, (name, runs) in enumerate(sorted(own, key=lambda each: each[0])):
            name += f" ({len(runs)})" if len(runs) > 1 else ""
            line = Line(name, shown, markers[place % len(markers)], len(found))
            found.append(Drawn(line, runs, coloured))
    return found


def _telling_apart(keys: pd.DataFrame) -> list[str]:
    """The first keys that together tell all settings apart, and none that adds nothing to them."""
    found: list[str] = []
    known = 1
    for key in differing(keys):
        groups = keys.groupby([*found, key], dropna=False).ngroups
        if groups > known:
            found.append(key)
            known = groups
    return found


def draw(found: Results, drawn: Sequence[Drawn], paper: Paper | None = None) -> Figure:
    """A panel for each part of the data that was measured: training, test, held out.

    Lines are means over seeds with 95 % t intervals; runs in progress are thin beside finished ones
    of their line, runs that diverged dotted up to a cross.

    paper: dashed, the curves of its figure 1 of those arms that have runs on CIFAR-10.

    Raises:
        ConfigError: the runs are of several tasks.
    """
    task = _task_of(found.final)
    metric = task.headline_metric
    columns = [f"{part}_{metric.name}" for part in PARTS]
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
        for line, runs, _ in drawn:
            curves = found.curves[found.curves["identity"].isin(runs["identity"])]
            if end := draw_line(axes, line, curves.assign(x=curves["epoch"]), column):
                ends[line] = end
        canvas.whole_numbers(axes)
        axes.set_ylabel(task.labels[column])
        _fit(axes, metric.unit)
    shown = {line._replace(name=name): ends[line] for line, name in named.items() if line in ends}
    canvas.name_lines(panels[-1], shown)
    return figure


def with_paper(final: pd.DataFrame, paper: Paper) -> pd.DataFrame:
    """Those of the runs whose arm has a curve in the paper's figure 1, on its data."""
    return final[(final["data"] == PAPERS_DATA) & final["arm"].isin(paper.figure1["arm"])]


def _draw_paper(axes: Axes, found: Results, paper: Paper) -> None:
    curves, final = found.of(with_paper(found.final, paper)["identity"])
    if len(final):
        draw_paper(axes, Records(final, curves, curves), paper, _PAPER_TO_EPOCH)


def _fit(axes: Axes, unit: str) -> None:
    """A logarithmic axis of percentages, and of what falls to less than a tenth."""
    low, high = axes.dataLim.intervaly
    if unit == "%":
        canvas.log_errors(axes)
    elif 0 < 10 * low < high:
        canvas.log_norms(axes, [axes])


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


def _colours(key: str, values: Sequence[object]) -> list[str]:
    """The arms' own; of quantities dark to light; of other values, as seeds, any."""
    if key == ARM:
        return [ARMS[str(value)].colour for value in values]
    if key != "seed" and all(isinstance(value, Real) for value in values):
        return drawing.shades(len(values))
    return [_COLOURS[place % len(_COLOURS)] for place in range(len(values))]


def _label(key: str, value: object) -> str:
    """ "WN", "MNIST", "lr 0.003", "init none"."""
    if key == ARM:
        return ARMS[str(value)].short
    if key == DATA:
        return CATALOGUE[str(value)].title if value in CATALOGUE else str(value)
    return f"{key.removesuffix('.name').rpartition('.')[2]} {said(value)}"
