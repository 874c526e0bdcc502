"""The picture of one run: its errors and the norms of its weight vectors, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from wnrepro import drawing
from wnrepro.arms import ARMS, Arm
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.drawing import INK
from wnrepro.errors import RunError
from wnrepro.runs.manifest import read_manifest
from wnrepro.runs.rows import METRICS_FILE, Row, read_rows

CURVES_FILE = "curves.png"

_INIT_LABELS = {"none": "no init", "data_dependent": "data-dependent init"}
_ERRORS = (
    ("test_error_percent", "test", "-"),
    ("held_out_error_percent", "held-out", "-"),
    ("train_error_percent", "training", "--"),
)
_NORM = "v_norm/"
_HEIGHT_INCHES = 2.9
_MARKED = 20
"""Up to this many epochs each is marked; one epoch has no line."""
_LEGEND_MAX = 10
"""Layers named in the legend, evenly picked by depth."""


def draw_curves(run_directory: Path | str) -> Path:
    """Draw `curves.png` from `metrics.csv` and the config in `manifest.json`.

    Left the errors in percent, with the values of the last epoch at the lines' ends, right the mean
    norm of v per layer, as recorded: nothing is smoothed and a missing value is left out. The same
    records give the same bytes.

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
    figure, (errors, norms) = drawing.panels(2, _HEIGHT_INCHES)
    figure.suptitle(_title(config), x=0.01, ha="left", fontsize=10)
    _draw_errors(errors, rows, ARMS.get(_name(config, "norm")))
    _draw_norms(norms, rows)
    for axes in (errors, norms):
        _finish_epochs(axes, rows)
    return figure


def _draw_errors(axes: Axes, rows: Sequence[Row], arm: Arm | None) -> None:
    colour = arm.colour if arm else rcParams[INK]
    ends = []
    highest = 0.0
    for column, label, dashes in _ERRORS:
        epochs, values = _finite(rows, column)
        if values:
            # Told apart without colour too: dashes and hollow markers for the training set.
            face = colour if dashes == "-" else "white"
            marker = _marker(epochs, arm)
            axes.plot(epochs, values, dashes, color=colour, marker=marker, markerfacecolor=face)
            highest = max(highest, *values)
            ends.append((label, rows[-1].get(column), values[-1]))
    axes.set_ylabel("error (%)")
    axes.set_ylim(0, 1.06 * highest if highest > 0 else 1)
    if not ends:
        _say(axes, "no error was recorded")
    _label_ends(axes, ends, colour)
    if (diverged := _diverged(rows)) is not None:
        axes.axvline(diverged, color=rcParams[INK], linestyle=":", linewidth=1.2)
        axes.set_title(f"diverged in epoch {diverged}", fontsize=10, loc="left")


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float | None, float]], colour: str) -> None:
    """Name each line at its end, with the last epoch's value, and keep the names apart."""
    bottom, top = axes.get_ylim()
    ordered = sorted(ends, key=lambda end: end[2])
    heights = [(value - bottom) / (top - bottom) for _, _, value in ordered]
    heights = drawing.spread(heights, 0.19, 0.1, 1.0)
    for (label, final, _), height in zip(ordered, heights, strict=True):
        known = final is not None and math.isfinite(final)
        axes.annotate(
            f"{label}\n{final:.2f} %" if known else label,
            xy=(1, height),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            linespacing=0.95,
            fontsize=10,
            color=colour,
        )


def _draw_norms(axes: Axes, rows: Sequence[Row]) -> None:
    columns = [column for column in rows[0] if column.startswith(_NORM)]
    drawn = [(column, *_finite(rows, column)) for column in columns]
    drawn = [(column, epochs, values) for column, epochs, values in drawn if values]
    axes.set_ylabel("mean ‖v‖ per layer")
    if not drawn:
        _say(axes, "no norm was recorded")
        return
    named = _evenly(len(drawn), _LEGEND_MAX)
    # Dark to light with depth; its lightest end would not show on white.
    colours = colormaps["viridis"]([0.87 * i / max(len(drawn) - 1, 1) for i in range(len(drawn))])
    for index, (column, epochs, values) in enumerate(drawn):
        axes.plot(
            epochs,
            values,
            color=tuple(colours[index]),
            marker=_marker(epochs, None),
            label=column.removeprefix(_NORM) if index in named else None,
        )
    positive = [value for _, _, values in drawn for value in values if value > 0]
    if positive and max(positive) > 10 * min(positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handlelength=1.2,
        handletextpad=0.5,
        labelspacing=0.25,
        borderaxespad=0.2,
    )


def _finish_epochs(axes: Axes, rows: Sequence[Row]) -> None:
    first, last = _epoch(rows[0]), _epoch(rows[-1])
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    margin = 0.5 if first == last else 0.03 * (last - first)
    axes.set_xlim(first - margin, last + margin)


def _title(config: Mapping[str, Any]) -> str:
    data, arm = _name(config, "data"), _name(config, "norm")
    parts = [
        CATALOGUE[data].title if data in CATALOGUE else data,
        ARMS[arm].label if arm in ARMS else arm,
        _INIT_LABELS.get(_name(config, "init"), _name(config, "init")),
        f"seed {config['seed']}" if "seed" in config else "",
    ]
    return ", ".join(part for part in parts if part)


def _name(config: Mapping[str, Any], group: str) -> str:
    chosen = config.get(group, "")
    return str(chosen.get("name", "")) if isinstance(chosen, Mapping) else str(chosen)


def _finite(rows: Sequence[Row], column: str) -> tuple[list[int], list[float]]:
    points = [(_epoch(row), row.get(column)) for row in rows]
    kept = [(epoch, value) for epoch, value in points if value is not None]
    kept = [(epoch, value) for epoch, value in kept if math.isfinite(value)]
    return [epoch for epoch, _ in kept], [value for _, value in kept]


def _diverged(rows: Sequence[Row]) -> int | None:
    """The first epoch with a training loss or error that is no number."""
    for row in rows:
        for column in ("train_loss", "train_error_percent"):
            value = row.get(column)
            if value is not None and not math.isfinite(value):
                return _epoch(row)
    return None


def _epoch(row: Row) -> int:
    epoch = row["epoch"]
    if not isinstance(epoch, int):
        raise RunError(f"a row of {METRICS_FILE} has the epoch {epoch!r}")
    return epoch


def _marker(epochs: Sequence[int], arm: Arm | None) -> str:
    if len(epochs) > _MARKED:
        return ""
    return arm.marker if arm else "o"


def _evenly(count: int, most: int) -> set[int]:
    if count <= most:
        return set(range(count))
    return {round(i * (count - 1) / (most - 1)) for i in range(most)}


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
