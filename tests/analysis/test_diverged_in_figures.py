"""Runs that diverged do not vanish from a figure, nor do arms of which every run did."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example import configs, run, write
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnrepro import drawing
from wnrepro.analysis.exhibits import FIGURES
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import load
from wnrepro.arms import ARMS
from wnrepro.runs.tables import CollectedRun

Drawn = Callable[[str, list[CollectedRun]], Figure]


@pytest.fixture
def drawn(tmp_path: Path, theirs: Paper) -> Drawn:
    def draw(name: str, runs: list[CollectedRun]) -> Figure:
        records = load(write(tmp_path / "results", runs))
        with style.context(["default", drawing._STYLE]):
            figure = FIGURES[name].drawing(records, theirs)
            figure.draw_without_rendering()
        return figure

    return draw


def crosses(axes: Axes, arm: str) -> list[Line2D]:
    colour = ARMS[arm].colour
    return [line for line in axes.lines if (line.get_marker(), line.get_color()) == ("x", colour)]


def names(axes: Axes) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.xy for text in axes.texts}  # type: ignore[attr-defined]


def arm_of(config: dict) -> str:
    return config["norm"]["name"]


def test_an_arm_that_always_diverges_is_named_at_its_last_cross(drawn: Drawn) -> None:
    runs = [run(c, diverged=arm_of(c) == "wn") for c in configs("mnist_arms")]
    figure = drawn("mnist_arms_errors", runs)
    ends: list[Any] = []
    for axes in figure.axes:
        ends = [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses(axes, "wn")]
        assert len(ends) == 5
        low, high = axes.get_ylim()
        assert all(low < y < high for _, y in ends)
    assert names(figure.axes[1])["WN"] in ends
    assert set(names(figure.axes[1])) == {ARMS[arm_of(c)].short for c in configs("mnist_arms")}


def test_an_arm_that_diverges_at_once_is_named_too(drawn: Drawn) -> None:
    runs = [run(c, diverged=arm_of(c) == "bn") for c in configs("mnist_arms")]
    for each in runs:
        for cells in (each.row, *each.curve) if each.row["status"] == "diverged" else ():
            cells |= {"train_error_percent": "nan", "test_error_percent": "nan"}
    axes = drawn("mnist_arms_errors", runs).axes[1]
    assert names(axes)["BN"][0] == 0
    assert len(crosses(axes, "bn")) == 1


def test_an_arm_that_diverges_at_every_rate_is_named(drawn: Drawn) -> None:
    runs = [run(c, diverged=arm_of(c) == "wn") for c in configs("mnist_lr_robustness")]
    axes = drawn("learning_rates", runs).axes[-1]
    assert names(axes)["WN"][1] == axes.get_ylim()[1]


def test_the_explanation_of_crosses_is_not_where_crosses_are(drawn: Drawn) -> None:
    # At the lowest rates, too, where the explanation once stood.
    figure = drawn(
        "learning_rates", [run(c, diverged=True) for c in configs("mnist_lr_robustness")]
    )
    for axes in (figure.axes[0], figure.axes[-1]):
        assert "diverged" in axes.get_xlabel()
        words = axes.xaxis.label.get_window_extent()
        drawn_crosses = [line for arm in ARMS for line in crosses(axes, arm)]
        assert drawn_crosses
        assert not any(line.get_window_extent().overlaps(words) for line in drawn_crosses)


def test_an_optimiser_with_which_an_arm_diverges_has_a_cross(drawn: Drawn) -> None:
    def lost(config: dict) -> bool:
        return arm_of(config) == "wn" and config["optim"]["name"] == "adam"

    runs = [run(c, diverged=lost(c)) for c in configs("mnist_optimizers")]
    for axes in drawn("optimisers", runs).axes:
        found = crosses(axes, "wn")
        assert found
        assert len({line.get_xdata()[0] for line in found}) == 1
        assert all(line.get_ydata()[0] > 1 for line in found)
        assert not crosses(axes, "bn")
        assert "diverged" in axes.get_xlabel()
        assert all(math.isfinite(limit) for limit in axes.get_ylim())
