"""The profile of a training step per arm, as a CSV and as stacked bars."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.benchmarks.profile import CLASSES
from wnrepro.benchmarks.row import Row
from wnrepro.mechanisms.tables import as_csv
from wnrepro.replacement import replace_file

_COLOURS = (
    *("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#F0E442", "#CC79A7"),
    *("#7F7F7F", "#44AA99", "#332288", "#DDDDDD"),
)


def write(stem: Path, rows: Sequence[Row]) -> None:
    """`<stem>.csv` and `<stem>.png` of the rows that have parts."""
    profiles = {row.name: dict(row.parts) for row in rows if row.parts}
    table = [
        {"step": name, "class": part, "milliseconds": value, "share": value / sum(parts.values())}
        for name, parts in profiles.items()
        for part, value in parts.items()
    ]
    replace_file(stem.with_suffix(".csv"), as_csv(table))
    drawing.save(lambda: _draw(profiles), stem)


def _draw(profiles: dict[str, dict[str, float]]) -> Figure:
    figure, (axes,) = drawing.panels(1, height=3.6)
    # "time in operations, eager, batch norm, CIFAR network": the arm is the third part
    labels = [name.split(", ")[2].replace(" + ", " +\n") for name in profiles]
    left = [0.0] * len(profiles)
    for part, colour in zip(CLASSES, _COLOURS, strict=True):
        widths = [parts[part] for parts in profiles.values()]
        axes.barh(labels, widths, left=left, color=colour, label=part, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("milliseconds per step, in operations")
    figure.legend(loc="outside lower center", ncols=4)
    return figure
