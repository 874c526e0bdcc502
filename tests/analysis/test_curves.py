"""The picture of a run can always be drawn, and is a function of the records alone."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.image import imread

from wnrepro import drawing
from wnrepro.analysis import curves
from wnrepro.analysis.curves import CURVES_FILE, draw_curves
from wnrepro.arms import ARMS
from wnrepro.errors import RunError
from wnrepro.runs.manifest import write_manifest
from wnrepro.runs.rows import METRICS_FILE, Row, write_rows

CONFIG = {
    "data": {"name": "mnist"},
    "norm": {"name": "wn"},
    "init": {"name": "data_dependent", "batch_size": 500},
    "seed": 3,
}


def example(epochs: int, layers: int = 3, evaluation: str = "test") -> list[Row]:
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "train_error_percent": 10 / epoch,
            f"{evaluation}_error_percent": 8 / epoch + 1.234,
        }
        | {f"v_norm/layer{layer}": layer + math.sqrt(epoch) for layer in range(layers)}
        for epoch in range(1, epochs + 1)
    ]


def record(directory: Path, rows: Sequence[Row]) -> Path:
    directory.mkdir(exist_ok=True)
    write_rows(directory / METRICS_FILE, rows)
    write_manifest(directory, CONFIG, ["train"], device="cpu", threads=1)
    return directory


def figure_of(rows: Sequence[Row]) -> Figure:
    with style.context(["default", drawing._STYLE]):
        figure = curves._figure(rows, CONFIG)
        figure.draw_without_rendering()  # so that the layout is done, warnings and all
    return figure


def texts(figure: Figure) -> str:
    axes = figure.axes[0]
    return "\n".join([figure.get_suptitle(), *(text.get_text() for text in axes.texts)])


@pytest.mark.parametrize(
    ("epochs", "layers"), [(1, 0), (1, 24), (2, 1), (3, 3), (20, 24), (200, 0), (200, 3)]
)
def test_draws_every_length_and_depth(tmp_path: Path, epochs: int, layers: int) -> None:
    path = draw_curves(record(tmp_path / "run", example(epochs, layers)))
    assert path == tmp_path / "run" / CURVES_FILE
    height, width, _ = imread(path).shape
    assert width > 1000
    assert height > 400


def test_same_records_same_bytes(tmp_path: Path) -> None:
    first = draw_curves(record(tmp_path / "one", example(5))).read_bytes()
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.grid": False}):
        assert draw_curves(record(tmp_path / "two", example(5))).read_bytes() == first
    assert draw_curves(record(tmp_path / "three", example(6))).read_bytes() != first


def test_title_and_final_values() -> None:
    shown = texts(figure_of(example(10)))
    assert "MNIST, weight norm, data-dependent init, seed 3" in shown
    assert "test\n2.03 %" in shown
    assert "training\n1.00 %" in shown
    assert "held-out\n2.03 %" in texts(figure_of(example(10, evaluation="held_out")))


def test_names_at_the_line_ends_do_not_touch() -> None:
    for train, test in [(0.0, 0.0), (0.0, 0.1), (5.0, 5.1), (10.0, 10.0), (10.0, 9.9)]:
        rows = example(3)
        rows[-1] |= {"train_error_percent": train, "test_error_percent": test}
        figure = figure_of(rows)
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        assert len(boxes) == 2
        assert not boxes[0].overlaps(boxes[1])
        for box in boxes:
            assert figure.bbox.y0 <= box.y0
            assert box.y1 <= figure.bbox.y1
            assert box.x1 <= figure.bbox.x1


def test_one_epoch_shows_points() -> None:
    errors, norms = figure_of(example(1)).axes
    assert {str(line.get_marker()) for line in errors.get_lines()} == {ARMS["wn"].marker}
    assert {str(line.get_marker()) for line in norms.get_lines()} == {"o"}


def test_lines_show_what_was_recorded_and_nothing_else() -> None:
    rows = example(6)
    rows[2]["test_error_percent"] = None
    test, training = figure_of(rows).axes[0].get_lines()
    expected = [row["train_error_percent"] for row in rows]
    assert np.asarray(training.get_ydata()).tolist() == expected
    assert np.asarray(test.get_xdata()).tolist() == [1, 2, 4, 5, 6]


def test_a_diverged_run_says_so_and_claims_no_final_value() -> None:
    rows = example(7)
    rows[-1].update(dict.fromkeys(rows[-1], math.nan) | {"epoch": 7})
    figure = figure_of(rows)
    assert "diverged in epoch 7" in figure.axes[0].get_title(loc="left")
    assert "%" not in texts(figure)


def test_a_run_that_diverged_at_once_can_be_drawn() -> None:
    rows = example(1)
    rows[0].update(dict.fromkeys(rows[0], math.nan) | {"epoch": 1})
    assert "no error was recorded" in texts(figure_of(rows))


def test_without_a_manifest_there_is_no_title(tmp_path: Path) -> None:
    write_rows(tmp_path / METRICS_FILE, example(2))
    assert draw_curves(tmp_path).exists()


def test_no_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.csv"):
        draw_curves(tmp_path)
    write_rows(tmp_path / METRICS_FILE, [])
    with pytest.raises(RunError, match="no epoch"):
        draw_curves(tmp_path)
