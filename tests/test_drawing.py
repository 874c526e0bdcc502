"""The look of figures: colours that all readers can tell apart, names of lines, dark pages."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.analysis.canvas import begin, name_lines
from wnrepro.arms import ARMS
from wnrepro.drawing import label_ends, shades, spread

GROUND = {"colour": "#FFFFFF", "dark": "#0D1117"}
"""Of the page on which an arm has that colour."""

VISION = {
    "normal": np.eye(3),
    # Machado, Oliveira & Fernandes (2009), A physiologically-based model for simulation of color
    # vision deficiency, IEEE TVCG 15(6): the matrices for severity 1.0, of linear RGB.
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Of linear sRGB, for the white of D65."""


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: np.ndarray) -> np.ndarray:
    """CIELAB of the colour as it is seen."""
    xyz = XYZ @ np.clip(vision @ linear(colour), 0, 1) / XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(one: np.ndarray, other: np.ndarray) -> float:
    """The difference of two colours (Sharma, Wu & Dalal 2005, equations 2 to 22)."""
    mean_chroma = (math.hypot(*one[1:]) + math.hypot(*other[1:])) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean_chroma**7 / (mean_chroma**7 + 25**7))
    (l1, a1, b1), (l2, a2, b2) = one, other
    c1, c2 = math.hypot(stretch * a1, b1), math.hypot(stretch * a2, b2)
    h1 = math.degrees(math.atan2(b1, stretch * a1)) % 360
    h2 = math.degrees(math.atan2(b2, stretch * a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = h1 + turn / 2 if c1 * c2 else h1 + h2
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * math.cos(math.radians(hue - 30))
        + 0.24 * math.cos(math.radians(2 * hue))
        + 0.32 * math.cos(math.radians(3 * hue + 6))
        - 0.20 * math.cos(math.radians(4 * hue - 63))
    )
    by_lightness = 1 + 0.015 * (lightness - 50) ** 2 / math.sqrt(20 + (lightness - 50) ** 2)
    dl = (l2 - l1) / by_lightness
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    angle = 60 * math.exp(-((((hue % 360) - 275) / 25) ** 2))
    crossed = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * math.sin(math.radians(angle))
    return math.sqrt(dl**2 + dc**2 + dh**2 + crossed * dc * dh)


def contrast(one: str, other: str) -> float:
    """That of WCAG 2.2: from 1 to 21."""
    luminances = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (luminances[1] + 0.05) / (luminances[0] + 0.05)


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [  # of the test data of Sharma, Wu & Dalal
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_the_difference_of_colours_is_ciede2000(one, other, difference) -> None:
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("page", GROUND)
def test_any_two_arms_can_be_told_apart_by_colour(page: str, vision: str) -> None:
    seen = {arm.id: lab(getattr(arm, page), VISION[vision]) for arm in ARMS.values()}
    for one, other in itertools.combinations(seen, 2):
        assert ciede2000(seen[one], seen[other]) >= 15, (one, other)
        assert np.linalg.norm(seen[one] - seen[other]) >= 15, (one, other)  # CIE76


def test_colours_that_a_deuteranope_takes_for_one_are_found() -> None:
    # A grey, and the green of Okabe & Ito.
    grey, green = (lab(colour, VISION["deuteranopia"]) for colour in ("#7F7F7F", "#009E73"))
    assert np.linalg.norm(grey - green) == pytest.approx(9.7, abs=0.05)


@pytest.mark.parametrize("page", GROUND)
def test_a_name_in_the_colour_of_an_arm_can_be_read(page: str) -> None:
    for arm in ARMS.values():
        assert contrast(getattr(arm, page), GROUND[page]) >= 4.5, arm.id


def test_points_that_keep_their_colour_can_be_seen_on_a_dark_page() -> None:
    # Those that an SVG has as pixels: norm_growth of the mechanisms.
    for colour in (drawing.BLUE, drawing.RED, drawing.GREEN, drawing.PURPLE):
        assert contrast(colour, GROUND["dark"]) >= 2.9, colour


def test_every_arm_has_a_marker_of_its_own() -> None:
    assert len({arm.marker for arm in ARMS.values()}) == len(ARMS)
    assert "x" not in {arm.marker.lower() for arm in ARMS.values()}  # a run that diverged


@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_shades_can_be_seen_on_either_page(count: int) -> None:
    found = shades(count)
    assert len(set(found)) == count
    for colour in found:
        assert contrast(colour, GROUND["colour"]) >= 2.9
        assert contrast(drawing.darkened(colour), GROUND["dark"]) >= 2.9


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([20.0, 50.0], [20, 50]),
        ([50.0, 50.0], [45, 55]),
        ([50.0, 50.0, 50.0], [40, 50, 60]),
        ([20.0, 50.0, 52.0], [20, 46, 56]),
        ([0.0, 1.0], [0, 10]),
        ([98.0, 100.0], [90, 100]),
        ([0.0] * 12, list(range(0, 120, 10))),
    ],
)
def test_names_move_apart_by_as_little_as_can_be(places: list, expected: list) -> None:
    assert spread(places, 10, 0, 100) == pytest.approx(expected)


def test_no_other_arrangement_of_names_is_nearer() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        places = np.sort(rng.uniform(0, 100, rng.integers(1, 7)))
        found = np.array(spread(list(places), 10, 0, 100))
        assert np.all(np.diff(found) >= 10 - 1e-9)
        assert found.min() >= 0
        assert found.max() <= 100 + 1e-9
        for _ in range(20):
            other = found + rng.normal(0, 1, len(found))
            if np.all(np.diff(other) >= 10) and other.min() >= 0 and other.max() <= 100:
                assert np.square(found - places).sum() <= np.square(other - places).sum()


def test_names_at_line_ends_do_not_lie_upon_one_another() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    ends = [drawing.End(1, y, name, "red", "o") for y, name in ((0.5, "a"), (0.5, "b"), (0, "c"))]
    label_ends(axes, ends)
    heights = {text.get_text(): text.xyann[1] for text in axes.texts}  # type: ignore[attr-defined]
    assert heights["c"] == pytest.approx(0)
    assert heights["b"] == pytest.approx(-heights["a"])
    assert heights["b"] - heights["a"] >= 10


def draw() -> Figure:
    figure, (axes,) = begin("a title; n = 1 seed", 1)
    axes.plot([0, 1], [0, 1], color=ARMS["wn"].colour)
    name_lines(axes, {"wn": (math.inf, 1.0)})
    return figure


def test_a_dark_page_has_the_same_lines_and_other_colours(tmp_path: Path) -> None:
    drawing.save(draw, tmp_path / "figure", ("svg",))
    light, dark = ((tmp_path / f"figure{end}.svg").read_text() for end in ("", "-dark"))
    wn = ARMS["wn"]
    pairs = {"#111111": "#d8dee6", "#ffffff": "#0d1117", "#dddddd": "#333a44"}
    for bright, on_dark in {**pairs, wn.colour.lower(): wn.dark.lower()}.items():
        assert bright in light
        assert bright not in dark
        dark = dark.replace(on_dark, bright)
    assert dark == light
    # Black is what an SVG leaves unsaid: all that has a shape must say its colour.
    assert "#000000" not in light


def test_every_shape_of_a_dark_page_says_its_colour(tmp_path: Path) -> None:
    drawing.save(draw, tmp_path / "figure", ("svg",))
    text = (tmp_path / "figure-dark.svg").read_text()
    for block in text.split('<g id="text_')[1:]:
        assert "fill: #" in block.split("</g>")[0]
