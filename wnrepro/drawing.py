"""How the figures look and how they are saved: the same data give the same bytes."""

from wnrepro import headless as headless  # before matplotlib

# isort: split
import io
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from wnrepro.arms import ARMS
from wnrepro.errors import RunError
from wnrepro.replacement import replace_file

Colour = str | tuple[float, ...]

GREY, BLUE, RED, GREEN, PURPLE, BROWN = (
    ARMS[arm].colour
    for arm in ("plain", "wn", "bn", "mean_only_bn", "wn_mean_only_bn", "plain_frozen_scale")
)
"""For lines that are of no arm: the arms' colours, which can be told apart, on a dark page too."""

WIDTH_INCHES = 7.0
"""Twice the width of a column: fonts of 11 pt are 5 to 6 pt at half a page's width."""

INK = "text.color"
"""The rcParam with the colour of lines and words that belong to no arm."""
_INK_COLOUR = "#111111"
"""Not black, which an SVG does not write down, so that it could not be exchanged."""
_STYLE = {
    **dict.fromkeys(
        (INK, "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK_COLOUR
    ),
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    # Names in an SVG are hashes; with a salt they are the same each time.
    "svg.hashsalt": "wnrepro",
}
_SHADES = {
    to_hex(colormaps["viridis"](x)): to_hex(colormaps["viridis"](1 - x))
    for x in np.linspace(0, 0.6, 13)
}
"""Of a sequence, on a light page → on a dark one, without the end that the page would hide."""
_DARK = {
    _INK_COLOUR: "#d8dee6",
    "#ffffff": "#0d1117",
    "#dddddd": "#333a44",
    **{arm.colour.lower(): arm.dark.lower() for arm in ARMS.values()},
    **_SHADES,
}
"""Colours on a light page → on a dark one: ink, ground (GitHub's) and grid; the arms; shades."""
ROUND = (1, 2, 2.5, 5, 10)
"""Distances between ticks, but for powers of ten. Matplotlib's own have 1.5, 3, 4, 6 and 8 too."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 200, "metadata": {"Software": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
}


def panels(columns: int, height: float = 3.0, **options: object) -> tuple[Figure, list[Axes]]:
    """A figure of one row of panels, WIDTH_INCHES wide; options as of `Figure.subplots`."""
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **options)  # type: ignore[arg-type]
    return figure, list(axes[0])


class End(NamedTuple):
    """Where a line ends, and what is to stand there: its name and, of an arm, its marker."""

    x: float
    y: float
    text: str
    colour: Colour
    marker: str = ""


def shades(count: int) -> list[str]:
    """So many colours of a sequence, dark to light; light to dark on a dark page."""
    known = list(_SHADES)
    return [known[round(place)] for place in np.linspace(0, len(known) - 1, count)]


def label(axes: Axes, x: float, y: float, text: str, colour: Colour, **options: object) -> None:
    """Name a line in its own colour beside a point of it, instead of a legend."""
    given = {"textcoords": "offset points", "xytext": (5, 0), "va": "center", "fontsize": 10}
    axes.annotate(text, xy=(x, y), color=colour, **(given | options))  # type: ignore[arg-type]


def label_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Name several lines at their ends, moved apart, up and down, where they would overlap.

    To be called when the axes have their limits and scales.
    """
    gap = 11.5  # points
    figure = axes.get_figure(root=True)
    assert figure is not None
    lay_out(figure)
    scale = 72 / figure.dpi
    ordered = sorted(ends, key=lambda end: end.y)
    places = [float(axes.transData.transform((end.x, end.y))[1]) * scale for end in ordered]
    heights = spread(places, gap, axes.bbox.y0 * scale, axes.bbox.y1 * scale)
    for end, place, height in zip(ordered, places, heights, strict=True):
        up = height - place
        if end.marker:
            beside = ScaledTranslation(8 / 72, up / 72, figure.dpi_scale_trans)
            axes.scatter(
                *(end.x, end.y),
                marker=end.marker,
                color=end.colour,
                s=20,
                transform=axes.transData + beside,
                clip_on=False,
                zorder=3,  # above the grid
            )
        label(axes, end.x, end.y, end.text, end.colour, xytext=(14 if end.marker else 5, up))


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising `places` moved as little as can be (squares) to lie `gap` apart, from low to high.

    If they do not all fit, they reach beyond high.
    """
    apart = all(b - a >= gap for a, b in pairwise(places))
    if apart and (not places or (low <= places[0] and places[-1] <= high)):
        return list(places)
    gaps = gap * np.arange(len(places))
    found = _rising(places - gaps)
    return (found.clip(low, max(low, high - gaps[-1:].sum())) + gaps).tolist()


def _rising(values: np.ndarray) -> np.ndarray:
    """The nearest sequence that does not fall (squares): isotonic regression.

    At i the largest, over beginnings j ≤ i, of the smallest, over ends k ≥ i, mean of the values j
    to k (Barlow et al. 1972). SciPy's takes longer to import than a picture to draw.
    """
    n = len(values)
    means = [[values[j:k].mean() for k in range(j + 1, n + 1)] for j in range(n)]
    return np.array([max(min(means[j][i - j :]) for j in range(i + 1)) for i in range(n)])


def lay_out(figure: Figure) -> None:
    """Give the axes the places that they will have, without drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def round_ticks(axis: Axis, most: int, whole: bool = False) -> None:
    """At most so many distances between ticks of a linear axis, at whole numbers if `whole`."""
    axis.set_major_locator(MaxNLocator(most, steps=ROUND, integer=whole, min_n_ticks=1))


def plain_numbers(axis: Axis) -> None:
    """Ticks 0.5, 1, 2 … on a logarithmic axis that covers few decades."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def save(
    draw: Callable[[], Figure],
    stem: Path,
    forms: Sequence[str] = ("png", "svg"),
) -> None:
    """`<stem>.png` and so on, for each of `forms`, of the figure that `draw` makes in this style.

    forms: of png, svg and pdf; beside an SVG `<stem>-dark.svg`, the same with the colours of a
    dark page. The user's matplotlibrc does not change them. Byte-stable for one matplotlib version.
    """
    with style.context(["default", _STYLE]):
        figure = draw()
        for form in forms:
            image = io.BytesIO()
            figure.savefig(image, format=form, **_OPTIONS[form])
            replace_file(stem.with_suffix(f".{form}"), image.getbuffer())
            if form == "svg":
                svg = darkened(image.getvalue().decode())
                replace_file(stem.with_name(f"{stem.name}-dark.svg"), svg)


def show(draw: Callable[[], Figure]) -> None:
    """Open a window with the figure that `draw` makes in this style, and wait until it is closed.

    Raises:
        RunError: there is no screen, or nothing installed that opens windows.
    """
    from matplotlib import pyplot

    with style.context(["default", _STYLE]):
        canvas = type(pyplot.figure().canvas)
        pyplot.close()
        if canvas.required_interactive_framework is None:
            raise RunError("there is no window to be had here: write a file, with --to runs.png")
        manager = canvas.new_manager(draw(), 1)
        manager.show()
        manager.start_main_loop()


def darkened(svg: str) -> str:
    """The SVG with the colours of a dark page; a colour that has none there stays."""
    return re.sub(r"#[0-9a-f]{6}", lambda found: _DARK.get(found[0], found[0]), svg)
