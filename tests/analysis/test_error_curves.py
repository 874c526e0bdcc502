"""Curves of arms against numbers by hand: means, runs that diverged, runs in progress."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example import configs, run, write
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from wnrepro.analysis import paper
from wnrepro.analysis.canvas import TRAIN, Line, Point
from wnrepro.analysis.evidence import select
from wnrepro.analysis.exhibits import FIGURES
from wnrepro.analysis.exhibits.error_curves import TIME, draw_arms
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, load
from wnrepro.arms import ARMS
from wnrepro.intervals import t_interval

RESULTS = Path(__file__).resolve().parents[2] / "results"

WN = [c for c in configs("digits_arms") if c["norm"]["name"] == "wn"]
BF16 = configs("cifar_table1_bf16")
COLOUR = ARMS["wn"].colour


def error(config: dict[str, Any], epoch: int) -> float:
    """Seed s: 10·(s + 1)/epoch; at epoch 1 10, 20, 30, …"""
    return 10 * (config["seed"] + 1) / epoch


def records(folder: Path, *states: str | int) -> Records:
    """Of weight norm a run per state: "done", "diverged", or so many epochs in progress."""
    runs = [
        run(c, error, state == "diverged", state if isinstance(state, int) else 0)
        for c, state in zip(WN, states, strict=False)
    ]
    return load(write(folder / "results", runs))


def drawn(found: Records, against: str = "epoch") -> tuple[Axes, Mapping[str | Line, Point]]:
    axes = Figure().subplots()
    return axes, draw_arms(axes, found, TRAIN, against)


def lines(axes: Axes, width: float | None = None, dashes: str = "-") -> list[Line2D]:
    """Lines that have points, thin ones or those of a mean."""
    return [
        line
        for line in axes.lines
        if len(line.get_xdata()) and line.get_marker() != "x" and line.get_linestyle() == dashes
        if (line.get_linewidth() == 0.9) == (width is not None)
    ]


def test_mean_and_interval_at_each_epoch(tmp_path: Path) -> None:
    axes, ends = drawn(records(tmp_path, "done", "done", "done"))
    (line,) = lines(axes)
    assert list(line.get_xdata()) == list(range(1, 31))
    assert line.get_ydata() == pytest.approx([20 / epoch for epoch in range(1, 31)])
    assert ends == {"wn": (np.inf, pytest.approx(20 / 30))}
    (band,) = axes.collections
    edges = np.asarray(band.get_paths()[0].vertices)
    for epoch in (1, 2, 30):
        by_hand = t_interval([10 / epoch, 20 / epoch, 30 / epoch])
        heights = edges[edges[:, 0] == epoch][:, 1]
        assert heights.min() == pytest.approx(max(by_hand.low, 0))
        assert heights.max() == pytest.approx(by_hand.high)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    axes, _ = drawn(records(tmp_path, "done"))
    (line,) = lines(axes)
    assert np.asarray(line.get_ydata())[0] == 10
    vertices = [path.vertices for band in axes.collections for path in band.get_paths()]
    assert np.isnan(np.asarray(vertices, dtype=float)).all()


def test_against_time_it_is_the_sum_of_the_epochs_times(tmp_path: Path) -> None:
    (line,) = lines(drawn(records(tmp_path, "done", "done"), TIME)[0])
    assert line.get_xdata() == pytest.approx(2.5 * np.arange(1, 31))


def test_a_run_that_diverged_is_in_no_mean_and_does_not_vanish(tmp_path: Path) -> None:
    axes, _ = drawn(records(tmp_path, "done", "done", "diverged"))
    (line,) = lines(axes)
    assert np.asarray(line.get_ydata())[[0, -1]] == pytest.approx([15, 15 / 30])
    (lost,) = lines(axes, 0.9, ":")
    assert (list(lost.get_xdata()), list(lost.get_ydata())) == ([1, 2, 3], [30, 15, 90])
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (3, 90)


def test_all_diverged(tmp_path: Path) -> None:
    axes, ends = drawn(records(tmp_path, "diverged", "diverged"))
    assert not lines(axes)
    assert len(lines(axes, 0.9, ":")) == 2
    assert ends == {"wn": (3, 90)}


def test_nothing_there(tmp_path: Path) -> None:
    axes = Figure().subplots()
    assert draw_arms(axes, records(tmp_path, "done"), "held_out_error_percent") == {}


def test_runs_in_progress_are_thin_beside_those_that_finished(tmp_path: Path) -> None:
    axes, ends = drawn(records(tmp_path, "done", "done", 7))
    (mean,), (thin,) = lines(axes), lines(axes, 0.9)
    assert mean.get_ydata() == pytest.approx([15 / epoch for epoch in range(1, 31)])
    assert thin.get_ydata() == pytest.approx([30 / epoch for epoch in range(1, 8)])
    assert ends["wn"] == (np.inf, pytest.approx(0.5))


def test_a_mean_of_runs_in_progress_ends_where_the_first_does(tmp_path: Path) -> None:
    axes, ends = drawn(records(tmp_path, 12, 7, 9))
    (mean,) = lines(axes)
    assert mean.get_ydata() == pytest.approx([20 / epoch for epoch in range(1, 8)])
    assert sorted(
        list(thin.get_xdata()) for thin in lines(axes, 0.9) if len(thin.get_xdata()) > 1
    ) == [[7, 8, 9], [7, 8, 9, 10, 11, 12]]
    assert ends["wn"] == (7, pytest.approx(20 / 7))


def test_a_single_run_in_progress_is_its_own_mean(tmp_path: Path) -> None:
    (mean,) = lines(drawn(records(tmp_path, 7))[0])
    assert list(mean.get_xdata()) == list(range(1, 8))


@pytest.mark.parametrize("name", ["figure1", "figure1_test", "figure1_time", "norm_growth_cifar"])
def test_figure1_shows_and_says_how_far_each_arm_has_come(
    name: str, tmp_path: Path, theirs: Paper
) -> None:
    far = {("wn", 0): 31, ("bn", 0): 12, ("bn", 1): 24}
    runs = [run(c, so_far=far[key]) for c in BF16 if (key := (c["norm"]["name"], c["seed"])) in far]
    found = load(write(tmp_path / "results", runs))
    figure = FIGURES[name]
    assert figure.used(found) == ["cifar_table1_bf16"]
    said = figure.caption(found)
    assert "wn: 31 of 200 epochs, 1 seed in progress" in said
    assert "bn: 24 and 12 of 200 epochs, 2 seeds in progress" in said
    assert "So far 0 of 15 planned runs" in said
    assert figure.lacks(found)[0].startswith("cifar_table1_bf16 has 0 of 15 runs")
    drawing = figure.drawing(found, theirs)
    assert "n = 1 to 2 seeds, 3 runs in progress" in drawing.get_suptitle()
    (wn,) = [
        line
        for line in drawing.axes[0].lines
        if line.get_color() == COLOUR and line.get_linestyle() == "-"
        if len(line.get_xdata()) > 1
    ]
    assert len(wn.get_xdata()) == 31


def test_figure1_names_the_papers_curves_where_it_has_some(tmp_path: Path, theirs: Paper) -> None:
    for so_far, named in ((2, False), (31, True)):
        runs = [run(BF16[0], so_far=so_far)]
        found = load(write(tmp_path / str(so_far), runs))
        texts = FIGURES["figure1"].drawing(found, theirs).axes[0].texts
        assert ("- - the paper's" in {text.get_text() for text in texts}) == named


def test_figure1_names_an_arm_where_the_longer_curve_ends(tmp_path: Path, theirs: Paper) -> None:
    """31 epochs of ours stand beside 46 of the paper's."""
    (config,) = (c for c in BF16 if c["norm"]["name"] == "wn" and c["seed"] == 0)
    found = load(write(tmp_path, [run(config, so_far=31)]))
    axes = FIGURES["figure1"].drawing(found, theirs).axes[0]
    (name,) = (text for text in axes.texts if text.get_color() == COLOUR)
    assert isinstance(name, Annotation)
    assert name.xy[0] == 46


def test_other_figures_wait_until_runs_have_finished(tmp_path: Path) -> None:
    found = load(write(tmp_path / "results", [run(c, so_far=5) for c in configs("mnist_arms")]))
    assert FIGURES["mnist_arms_errors"].used(found) == []


def test_the_first_epochs_in_bf16_stand_beside_those_in_float32(
    tmp_path: Path, theirs: Paper
) -> None:
    wide = [run(c) for c in configs("cifar_first_epochs")]
    narrow = [run(c, so_far=31) for c in BF16 if c["seed"] == 0 and c["norm"]["name"] == "bn"]
    figure = FIGURES["first_epochs"]
    train, test, beside = figure.drawing(load(write(tmp_path / "both", wide + narrow)), theirs).axes
    for axes in (train, test):
        (hollow,) = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
        assert list(hollow.get_xdata()) == list(range(1, 13))
    papers = theirs.training_error("bn")
    ours = {int(c["epoch"]): float(c[TRAIN]) for c in narrow[0].curve}
    (hollow,) = [line for line in beside.lines if line.get_markerfacecolor() == "white"]
    assert list(hollow.get_xdata()) == list(range(8, 13))
    assert hollow.get_ydata() == pytest.approx([ours[e] - papers[e] for e in range(8, 13)])
    only = load(write(tmp_path / "only", wide))
    assert figure.used(only) == ["cifar_first_epochs"]
    assert len(figure.drawing(only, theirs).axes) == 3


def test_the_authors_runs_are_rings_beside_ours() -> None:
    """One for each run and epoch, and their number in the figure."""
    theirs = paper.load(RESULTS / "paper")
    assert set(theirs.authors_code["arm"]) == {"wn", "bn", "wn_mean_only_bn"}
    own = select(load(RESULTS), "cifar_small")
    drawing = FIGURES["cifar_small_errors"].draw(own, theirs, "")
    for axes in drawing.axes[:2]:
        rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
        assert sum(len(line.get_xdata()) for line in rings) == len(theirs.authors_code)
    runs = len(theirs.authors_code.drop_duplicates(["arm", "seed"]))
    assert f"rings: authors' code ({runs})" in [t.get_text() for t in drawing.axes[1].texts]
