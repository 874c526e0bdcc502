"""Runs as lines of a figure: those that differ in the seed alone are one."""

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import NamedTuple

import pandas as pd

from wnrepro import drawing
from wnrepro.analysis.canvas import Line
from wnrepro.analysis.records import Records, setting_identity
from wnrepro.analysis.selection import column_of, said, unique
from wnrepro.analysis.tidy import differing, keys_of
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE

ARM, DATA = "norm.name", "data.name"
_COLOURS = (drawing.BLUE, drawing.RED, drawing.GREEN, drawing.PURPLE, drawing.GREY, drawing.BROWN)
_MARKERS = "os^DvPX<>*"


class Drawn(NamedTuple):
    """A line, the rows of `Results.final` whose mean it is, and what its colour says.

    told: what else tells it apart, as "start unit".
    """

    line: Line
    final: pd.DataFrame
    coloured: str
    told: str


def lines_of(final: pd.DataFrame, by: str | None = None) -> list[Drawn]:
    """Runs that differ in the seed alone are one line; lines of one value of `by` have one colour.

    by: a key of the config, as `wnrepro.analysis.selection.column_of` takes it; of `seed` each run
        is a line. None: the arm; where all runs have one, the first key in which they differ. What
        else tells lines apart stands in their names; what is alike in that has one marker.

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
        told_by = _telling_apart(keys.loc[rows.index].drop(columns=key, errors="ignore"))
        own = [
            (", ".join(_label(k, keys.loc[runs.index[0], k]) for k in told_by), runs)
            for _, runs in rows.groupby(group)
        ]
        for told, runs in sorted(own, key=lambda each: each[0]):
            name = ", ".join(filter(None, (coloured, told)))
            name += f" ({len(runs)})" if len(runs) > 1 else ""
            marker = ARMS[value].marker if key == ARM else _MARKERS[0]
            found.append(Drawn(Line(name, shown, marker, len(found)), runs, coloured, told))
    return _with_markers(found)


def _with_markers(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Where something beside the colour tells lines apart, their markers say what."""
    told = sorted({each.told for each in drawn if each.told})
    markers = {each: _MARKERS[k % len(_MARKERS)] for k, each in enumerate(told)}
    return [
        each._replace(line=each.line._replace(marker=markers.get(each.told, each.line.marker)))
        for each in drawn
    ]


def by_setting(records: Records) -> Iterator[tuple[str | Line, str, Records]]:
    """A line for each arm, or for each setting of the arms where one has several, with its runs.

    Between them stands what tells settings of one arm apart.
    """
    if records.runs.groupby("arm")["setting"].nunique().max() > 1:
        for each in lines_of(records.runs.reset_index()):
            yield each.line, each.told, records.of(pd.Index(each.final["identity"]))
    else:
        for arm, own in records.by_arm():
            yield arm, "", own


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
