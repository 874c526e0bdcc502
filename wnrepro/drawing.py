"""How the figures look and how they are saved: the same data give the same bytes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from wnrepro.replacement import replace_file

Colour = str | tuple[float, ...]

WIDTH_INCHES = 7.0
"""Twice the width of a column: fonts of 11 pt are 5 to 6 pt at half a page's width."""

_STYLE = {
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
INK = "text.color"
"""The rcParam with the colour of lines and words that belong to no arm."""
_INK_COLOUR = "#111111"
_WITH_DARK = dict.fromkeys(
    (INK, "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK_COLOUR
)
"""Not black, which an SVG does not write down, so that it could not be exchanged."""
_DARK = {_INK_COLOUR: "#d8dee6", "#ffffff": "#0d1117", "#dddddd": "#333a44"}
"""Ink, background and grid on a light page → on a dark one, GitHub's. The colours of the arms are
legible on both."""
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


def label(axes: Axes, x: float, y: float, text: str, colour: Colour, **options: object) -> None:
    """Name a line in its own colour beside a point of it, instead of a legend."""
    given = {"textcoords": "offset points", "xytext": (5, 0), "va": "center", "fontsize": 10}
    axes.annotate(text, xy=(x, y), color=colour, **(given | options))  # type: ignore[arg-type]


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, Colour]]) -> None:
    """Name several lines at their ends (x, y, text, colour), moved apart where they would overlap.

    To be called when the axes have their limits and scales.
    """
    gap = 11.0  # points
    figure = axes.get_figure(root=True)
    assert figure is not None
    lay_out(figure)
    scale = 72 / figure.dpi
    ordered = sorted(ends, key=lambda end: end[1])
    places = [float(axes.transData.transform(end[:2])[1]) * scale for end in ordered]
    heights = list(places)
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    ceiling = axes.bbox.y1 * scale
    for k in reversed(range(len(heights))):  # no higher than the axes, which may have a title
        heights[k] = min(heights[k], ceiling)
        ceiling = heights[k] - gap
    for (x, y, text, colour), place, height in zip(ordered, places, heights, strict=True):
        label(axes, x, y, text, colour, xytext=(5, height - place))


def lay_out(figure: Figure) -> None:
    """Give the axes the places that they will have, without drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def plain_numbers(axis: Axis) -> None:
    """Ticks 0.5, 1, 2 … on a logarithmic axis that covers few decades."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save(
    draw: Callable[[], Figure],
    stem: Path,
    forms: Sequence[str] = ("png", "svg"),
    *,
    dark: bool = False,
) -> None:
    """`<stem>.png` and so on, for each of `forms`, of the figure that `draw` makes in this style.

    forms: of png, svg and pdf. dark: `<stem>-dark.svg` too, the SVG with the colours of a dark
    page. The user's matplotlibrc does not change them. Byte-stable for one matplotlib version.
    """
    with style.context(["default", _STYLE | _WITH_DARK if dark else _STYLE]):
        figure = draw()
        for form in forms:
            image = io.BytesIO()
            figure.savefig(image, format=form, **_OPTIONS[form])
            replace_file(stem.with_suffix(f".{form}"), image.getbuffer())
            if dark and form == "svg":
                replace_file(stem.with_name(f"{stem.name}-dark.svg"), _darkened(image.getvalue()))


def _darkened(svg: bytes) -> bytes:
    for light, on_dark in _DARK.items():
        svg = svg.replace(light.encode(), on_dark.encode())
    return svg
