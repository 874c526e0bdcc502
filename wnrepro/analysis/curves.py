"""The picture of one run: its errors and the norms of its weight vectors, epoch by epoch.

matplotlib alone: importing pandas and seaborn would take longer than a small run trains.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.drawing import INK
from wnrepro.errors import RunError
from wnrepro.runs.directory import CURVES_FILE
from wnrepro.runs.manifest import read_manifest
from wnrepro.runs.rows import METRICS_FILE, Row, read_rows
from wnrepro.tasks import Task, task_of

_INIT_LABELS = {"none": "no init", "data_dependent": "data-dependent init"}
_PARTS = (("test", "test", "-"), ("held_out", "held-out", "-"), ("train", "training", "--"))
"""Of the data: name in columns, label, dashes."""
_NORM = "v_norm/"
_HEIGHT_INCHES = 2.9
_MARKED = 20
"""Up to this many epochs each is marked; one epoch has no line."""
_LEGEND_MAX = 10
"""Layers named in the legend, evenly picked by depth."""


def draw_curves(run_directory: Path | str) -> Path:
    """Draw `curves.png` from `metrics.csv` and the config in `manifest.json`.

    Left the task's headline metric, with the values of the last epoch at the lines' ends. Right the
    mean norm of v per layer. Nothing is smoothed; a missing value is left out. The same records
    give the same bytes.

    Raises:
        RunError: the records cannot be read, hold no epoch, or the picture cannot be written.
    """
    directory = Path(run_directory)
    rows = read_rows(directory / METRICS_FILE)
    if not rows:
        raise RunError(f"{directory / METRICS_FILE} holds no epoch to draw")
    config = (read_manifest(directory) or {}).get("config", {})
    path = directory / CURVES_FILE
    drawing.save(lambda: _figure(rows, config), path.with_suffix(""), ("png",))
    return path


def _figure(rows: Sequence[Row], config: Mapping[str, Any]) -> Figure:
    figure, (metric, norms) = drawing.panels(2, _HEIGHT_INCHES)
    figure.suptitle(_title(config), x=0.01, ha="left", fontsize=10)
    _draw_metric(metric, rows, _name(config, "norm"), task_of(config))
    _draw_norms(norms, rows)
    first, *_, last = _values([rows[0], *rows], "epoch")
    margin = 0.5 if first == last else 0.03 * (last - first)
    for axes in (metric, norms):
        axes.set_xlabel("epoch")
        drawing.round_ticks(axes.xaxis, 5, whole=True)
        axes.set_xlim(first - margin, last + margin)
    return figure


def _draw_metric(axes: Axes, rows: Sequence[Row], arm: str, task: Task) -> None:
    metric = task.headline_metric
    colour = ARMS[arm].colour if arm in ARMS else rcParams[INK]
    ends = []
    for part, label, dashes in _PARTS:
        column = f"{part}_{metric.name}"
        # Told apart without colour too: dashes and hollow markers for the training set.
        face = colour if dashes == "-" else "white"
        marker = ARMS[arm].marker if arm in ARMS else "o"
        if line := _draw(axes, rows, column, marker, linestyle=dashes, color=colour, mfc=face):
            final = _values(rows[-1:], column)[0]
            said = f"{label}\n{metric.said(final)}" if np.isfinite(final) else label
            ends.append((float(line.get_ydata()[-1]), said))
    highest = axes.dataLim.y1 if ends else 0
    axes.set_ylabel(f"{metric.label} ({metric.unit})" if metric.unit else metric.label)
    axes.set_ylim(0, 1.06 * highest if highest > 0 else 1)
    if not ends:
        _say(axes, f"no {metric.label} was recorded")
    ends.sort()
    heights = [value / axes.get_ylim()[1] for value, _ in ends]
    for (_, said), height in zip(ends, drawing.spread(heights, 0.19, 0.1, 1.0), strict=True):
        options = {"xycoords": "axes fraction", "xytext": (4, 0), "linespacing": 0.95}
        drawing.label(axes, 1, height, said, colour, **options)
    cells = [(row["epoch"], row.get(f"train_{m.name}")) for row in rows for m in task.metrics]
    if epoch := next((epoch for epoch, x in cells if x is not None and not np.isfinite(x)), None):
        axes.axvline(epoch, color=rcParams[INK], linestyle=":", linewidth=1.2)
        axes.set_title(f"diverged in epoch {epoch}", fontsize=10, loc="left")


def _draw_norms(axes: Axes, rows: Sequence[Row]) -> None:
    layers = [column for column in rows[0] if column.startswith(_NORM)]
    layers = [column for column in layers if np.isfinite(_values(rows, column)).any()]
    axes.set_ylabel("mean ‖v‖ per layer")
    if not layers:
        _say(axes, "no norm was recorded")
        return
    named = set(np.linspace(0, len(layers) - 1, min(len(layers), _LEGEND_MAX)).round())
    # Dark to light with depth; its lightest end would not show on white.
    colours = colormaps["viridis"](np.linspace(0, 0.87, len(layers)))
    for index, (column, colour) in enumerate(zip(layers, colours, strict=True)):
        label = column.removeprefix(_NORM) if index in named else None
        _draw(axes, rows, column, "o", color=tuple(colour), label=label)
    if axes.dataLim.y1 > 10 * axes.dataLim.minposy:
        axes.set_yscale("log")
        drawing.plain_numbers(axes.yaxis)
    spaces = {"handlelength": 1.2, "handletextpad": 0.5, "labelspacing": 0.25, "borderaxespad": 0.2}
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), **spaces)


def _draw(axes: Axes, rows: Sequence[Row], column: str, marker: str, **style: object):
    """The line of a column's numbers; None if it has none."""
    values = _values(rows, column)
    known = np.isfinite(values)
    if not known.any():
        return None
    epochs = _values(rows, "epoch")[known]
    marker = marker if len(epochs) <= _MARKED else ""
    (line,) = axes.plot(epochs, values[known], marker=marker, **style)
    return line


def _values(rows: Sequence[Row], column: str) -> np.ndarray:
    """NaN where there is no number."""
    return np.array([row.get(column) for row in rows], dtype=float)


def _title(config: Mapping[str, Any]) -> str:
    data, arm = _name(config, "data"), _name(config, "norm")
    init, seed = _name(config, "init"), f"seed {config['seed']}" if "seed" in config else ""
    data = CATALOGUE[data].title if data in CATALOGUE else data
    arm = ARMS[arm].label if arm in ARMS else arm
    return ", ".join(filter(None, (data, arm, _INIT_LABELS.get(init, init), seed)))


def _name(config: Mapping[str, Any], group: str) -> str:
    chosen = config.get(group, "")
    return str(chosen.get("name", "")) if isinstance(chosen, Mapping) else str(chosen)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
