"""Axes of errors, and pages that are dark."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.analysis.canvas import canvas, log_errors, log_rates, name_lines, ticks


def test_ticks_are_few_round_and_inside() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        low = 10 ** rng.uniform(-3, 1.5)
        high = low * 10 ** rng.uniform(0.03, 4)
        found = ticks(low, high)
        assert 2 <= len(found) <= 7, (low, high, found)
        assert all(low <= tick <= high for tick in found)
        assert found == sorted(set(found))
        assert all(len(f"{tick:g}".strip("0.").replace(".", "")) <= 3 for tick in found)


@pytest.mark.parametrize(
    "values", [[], [math.nan], [0.0], [0.0, 0.0], [8.4], [0.003], [1e-3, 90.0]]
)
def test_any_errors_can_be_shown(values: list[float]) -> None:
    axes = Figure().subplots()
    log_errors(axes, values)
    low, high = axes.get_ylim()
    assert 0 <= low < high <= 100
    assert all(low <= value <= high for value in values if math.isfinite(value))
    assert (low == 0) == any(value <= 0.01 for value in values)


@pytest.mark.parametrize("rates", [[0.003], [0.001, 0.003], [1e-5, 0.1, 10.0], []])
def test_all_rates_are_inside(rates: list[float]) -> None:
    axes = Figure().subplots()
    log_rates(axes, rates)
    low, high = axes.get_xlim()
    assert all(low < rate < high for rate in rates)
    assert len(axes.get_xticks()) >= 1


def draw() -> Figure:
    figure, (axes,) = canvas("a title; n = 1 seed", 1)
    axes.plot([0, 1], [0, 1], color="#0072B2")
    name_lines(axes, [(1.0, "WN", "#0072B2")])
    return figure


def test_a_dark_page_has_the_same_lines_and_other_colours(tmp_path: Path) -> None:
    drawing.save(draw, tmp_path / "figure", ("svg",), dark=True)
    light, dark = ((tmp_path / f"figure{end}.svg").read_text() for end in ("", "-dark"))
    pairs = {"#111111": "#d8dee6", "#ffffff": "#0d1117", "#dddddd": "#333a44"}
    for bright, on_dark in pairs.items():
        assert bright in light
        assert bright not in dark
        dark = dark.replace(on_dark, bright)
    assert dark == light
    assert "#0072b2" in dark  # the arms keep theirs
    # Black is what an SVG leaves unsaid: all that has a shape must say its colour.
    assert "#000000" not in light


def test_every_shape_of_a_dark_page_says_its_colour(tmp_path: Path) -> None:
    drawing.save(draw, tmp_path / "figure", ("svg",), dark=True)
    text = (tmp_path / "figure-dark.svg").read_text()
    for block in text.split('<g id="text_')[1:]:
        assert "fill: #" in block.split("</g>")[0]


def test_without_a_dark_page_there_is_none(tmp_path: Path) -> None:
    drawing.save(draw, tmp_path / "figure", ("svg",))
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]
