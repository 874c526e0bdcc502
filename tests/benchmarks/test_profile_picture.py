"""The picture of the profile says what it shows, and is made from the tables alone."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.benchmarks import picture
from wnrepro.benchmarks.profile import CLASSES
from wnrepro.benchmarks.row import Row
from wnrepro.mechanisms.tables import as_csv

STEP = "time in operations, eager, {}, CIFAR network of width 96"
OCCASION = {"hardware": "A CPU, 4 cores", "threads": 4, "torch": "2.15.0"}
OCCASION |= {"commit": "0123456789", "date": "2026-11-21"}


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    """Of a profile; the table that names the machine is beside it."""
    parts = {name: 100.0 if name == "convolution" else 1.0 for name in CLASSES}
    rows = [Row(STEP.format(arm), "ms", [110.0], parts=parts) for arm in ("plain", "weight norm")]
    table = [{"group": "profile", "row": row.name, "repeats": 1, **OCCASION} for row in rows]
    (tmp_path / "cpu.csv").write_text(as_csv(table))
    picture.write(tmp_path / "cpu_profile", rows)
    return tmp_path / "cpu_profile"


def test_its_title_says_n_hardware_and_commit(stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(drawing, "save", lambda draw, _: figures.append(draw()))
    picture.draw(stem)
    (figure,) = figures
    for said in ("CIFAR network of width 96", "n = 1 ", "A CPU, 4 cores", "commit 0123456789"):
        assert said in figure.get_suptitle()
    figure.draw_without_rendering()
    assert figure._suptitle is not None  # type: ignore[attr-defined]
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1  # type: ignore[attr-defined]


def test_it_is_drawn_again_from_the_tables(stem: Path) -> None:
    endings = (".png", ".svg", "-dark.svg")
    before = {end: stem.with_name(stem.name + end).read_bytes() for end in endings}
    for end in endings:
        stem.with_name(stem.name + end).unlink()
    assert picture.main([str(stem.parent)]) == 0
    assert {end: stem.with_name(stem.name + end).read_bytes() for end in endings} == before


def test_without_the_table_there_is_no_title(stem: Path) -> None:
    before = stem.with_suffix(".png").read_bytes()
    (stem.parent / "cpu.csv").unlink()
    picture.draw(stem)
    assert stem.with_suffix(".png").read_bytes() != before


def test_every_class_has_a_colour() -> None:
    assert tuple(picture._COLOURS) == CLASSES
    plain = [name for name in CLASSES if name not in picture._HATCHED]
    assert len({picture._COLOURS[name] for name in plain}) == len(plain)
    assert len({picture._COLOURS[name] for name in picture._HATCHED}) == len(picture._HATCHED)
