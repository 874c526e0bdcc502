"""The profile of a training step per arm, as a CSV and as stacked bars.

    python -m wnrepro.benchmarks.picture [FOLDER]

draws those of a folder again, results/benchmarks if none is named, from the CSV files alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.benchmarks.row import Row
from wnrepro.benchmarks.table import read
from wnrepro.mechanisms.tables import as_csv
from wnrepro.replacement import replace_file

_SUFFIX = "_profile"
_COLOURS = {
    "convolution": drawing.BLUE,
    "matrix product": drawing.shades(3)[2],
    "weight norm": drawing.RED,
    "normalisation": drawing.PURPLE,
    "nonlinearity": drawing.GREEN,
    "pooling": drawing.BROWN,
    "noise": drawing.GREY,
    "loss": drawing.RED,
    "optimiser": drawing.PURPLE,
    "copies": drawing.GREEN,
    "other": drawing.BROWN,
}
_HATCHED = ("loss", "optimiser", "copies", "other")
"""The colours of others again: there are more classes than colours that all can tell apart."""
_NAMED_ABOVE = 0.3
"""A part of a bar that is so long, of the longest bar, has its name in it."""


def write(stem: Path, rows: Sequence[Row]) -> None:
    """`<stem>.csv` of the rows that have parts, and its picture.

    stem: the table's, and `_profile`; the picture's title is taken from that table.
    """
    profiles = {row.name: dict(row.parts) for row in rows if row.parts}
    table = [
        {"step": name, "class": part, "milliseconds": value, "share": value / sum(parts.values())}
        for name, parts in profiles.items()
        for part, value in parts.items()
    ]
    replace_file(stem.with_suffix(".csv"), as_csv(table))
    draw(stem)


def draw(stem: Path) -> None:
    """`<stem>.png`, `.svg` and `-dark.svg` from `<stem>.csv` and the table beside it."""
    profiles: dict[str, dict[str, float]] = {}
    for line in read(stem.with_suffix(".csv")):
        profiles.setdefault(line["step"], {})[line["class"]] = float(line["milliseconds"])
    measured = read(stem.with_name(f"{stem.name.removesuffix(_SUFFIX)}.csv"))
    title = _title([line for line in measured if line["row"] in profiles])
    drawing.save(lambda: _figure(profiles, title), stem)


def _title(measured: Sequence[dict[str, str]]) -> str:
    """What is shown, n, hardware, versions and commits; nothing where no table says them."""
    if not measured:
        return ""

    def said(column: str) -> str:
        return " and ".join(dict.fromkeys(line[column] for line in measured))

    network = measured[0]["row"].split(", ")[-1]
    return (
        f"Where the time of an eager training step goes; {network}, "
        f"n = {said('repeats')} profile per arm\n"
        f"{said('hardware')}, {said('threads')} threads\n"
        f"torch {said('torch')}; commit {said('commit')}, {said('date')}"
    )


def _figure(profiles: dict[str, dict[str, float]], title: str) -> Figure:
    figure, (axes,) = drawing.panels(1, height=4.1)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    # "time in operations, eager, batch norm, CIFAR network": the arm is the third part
    labels = [name.split(", ")[2].replace(" + ", " +\n") for name in profiles]
    left = [0.0] * len(profiles)
    longest = max(sum(parts.values()) for parts in profiles.values())
    for part, colour in _COLOURS.items():
        widths = [parts[part] for parts in profiles.values()]
        bars = axes.barh(
            *(labels, widths),
            left=left,
            color=colour,
            label=part,
            height=0.7,
            edgecolor="#FFFFFF",
            linewidth=0.3,
            hatch="/////" if part in _HATCHED else None,
        )
        names = [part if width > _NAMED_ABOVE * longest else "" for width in widths]
        axes.bar_label(bars, names, label_type="center", color="#FFFFFF")
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("milliseconds per step, in operations")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/benchmarks"))
    for path in sorted(parser.parse_args(arguments).folder.glob(f"*{_SUFFIX}.csv")):
        draw(path.with_suffix(""))
        print(f"picture: {path.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
