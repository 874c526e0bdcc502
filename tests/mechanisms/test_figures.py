"""The figures of the experiments, from the committed tables."""

from pathlib import Path

import pytest
from matplotlib import style
from matplotlib.colors import to_hex

from wnrepro import drawing
from wnrepro.arms import ARMS
from wnrepro.mechanisms import NAMES, load, tables

RESULTS = Path(__file__).resolve().parents[2] / "results" / "mechanisms"


@pytest.mark.parametrize("name", NAMES)
def test_a_dark_page_keeps_no_ink_of_a_light_one(name: str, tmp_path: Path) -> None:
    data = tables.read(name, RESULTS)
    drawing.save(lambda: load(name).draw(data), tmp_path / name, ("svg",))
    light, dark = ((tmp_path / f"{name}{end}.svg").read_text() for end in ("", "-dark"))
    assert "#111111" in light
    # Black would be what an SVG leaves unsaid, and so no colour that could be exchanged.
    for ink in (
        "#000000",
        "#111111",
        "#ffffff",
        "black",
        *(a.colour.lower() for a in ARMS.values()),
    ):
        assert ink not in dark, ink


def test_the_cosine_with_an_eigenvector_of_c_has_the_colour_of_c() -> None:
    with style.context(["default", drawing._STYLE]):
        figure = load("conditioning").draw(tables.read("conditioning", RESULTS))
    (legend,) = figure.legends
    named = {
        text.get_text(): to_hex(line.get_color())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    cosines = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert {to_hex(line.get_color()) for line in cosines} == {named["with respect to w (C)"]}
