"""Axes of errors, the marks on lines, and what names them."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from wnrepro.analysis.canvas import begin, fit, log_errors, log_rates, marks, name_lines, ticks
from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.tasks import TASKS


def test_ticks_are_few_round_and_inside() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        low = 10 ** rng.uniform(-3, 1.5)
        high = low * 10 ** rng.uniform(0.03, 4)
        found = ticks(low, high)
        assert 2 <= len(found) <= 8, (low, high, found)
        assert all(low <= tick <= high for tick in found)
        assert found == sorted(set(found))
        assert all(len(f"{tick:g}".strip("0.").replace(".", "")) <= 3 for tick in found)


@pytest.mark.parametrize(
    "values", [[], [math.nan], [0.0], [0.0, 0.0], [8.4], [0.003], [1e-3, 90.0]]
)
def test_any_errors_can_be_shown(values: list[float]) -> None:
    axes = Figure().subplots()
    axes.plot(values)
    log_errors(axes)
    low, high = axes.get_ylim()
    assert 0 <= low < high <= 100
    assert all(low <= value <= high for value in values if math.isfinite(value))
    assert (low == 0) == any(value <= 0.01 for value in values)


@pytest.mark.parametrize("last", [20, 300])
def test_a_bound_is_shown_from_a_third_of_the_epochs_on(last: int) -> None:
    axes = Figure().subplots()
    epochs = np.arange(1, last + 1)
    bound = 90 + 200 / epochs
    axes.plot(epochs, bound)
    axes.fill_between(epochs, bound - 3, bound + 5)
    axes.plot(0, 1, "x", transform=axes.transAxes)  # no value, as of a run that broke down
    fit(axes, TASKS["vae"])
    low, high = axes.get_ylim()
    assert (low, high) == pytest.approx((bound[-1] - 3, 95 + 600 / last), rel=0.1)
    assert low < bound[-1] - 3
    assert bound[(last + 2) // 3 - 1] + 5 <= high < bound[0]


@pytest.mark.parametrize("values", [[], [math.nan], [97.0], [97.0, 97.0], [-3.0, -5.0]])
def test_any_bound_can_be_shown(values: list[float]) -> None:
    axes = Figure().subplots()
    axes.plot(range(1, len(values) + 1), values)
    fit(axes, TASKS["vae"])
    low, high = axes.get_ylim()
    assert all(low <= value <= high for value in values if math.isfinite(value))


@pytest.mark.parametrize("rates", [[0.003], [0.001, 0.003], [1e-5, 0.1, 10.0], []])
def test_all_rates_are_inside(rates: list[float]) -> None:
    axes = Figure().subplots()
    log_rates(axes, rates)
    low, high = axes.get_xlim()
    assert all(low < rate < high for rate in rates)
    assert len(axes.get_xticks()) >= 1


def test_errors_near_the_lower_edge_have_a_number_beside_them() -> None:
    # The test errors of the comparison of learning rates: most of them lie below 3 %.
    assert ticks(1.12, 75.0)[0] <= 2


def test_a_short_axis_has_marks_between_its_numbers() -> None:
    axes = Figure().subplots()
    axes.plot([1.2, 60.0])
    log_errors(axes)
    assert {3, 4, 6, 7, 8, 9, 30, 40} <= set(axes.yaxis.get_minorticklocs())


@pytest.mark.parametrize("count", [1, 2, 5, 30, 200])
def test_a_line_has_its_marker_at_its_end_and_where_other_arms_have_none(count: int) -> None:
    places = {arm: marks(arm, count) for arm in ARMS}
    for found in places.values():
        assert found[-1] == count - 1
        assert found == sorted(set(found))
        assert found[0] >= 0
    if count >= 30:  # fewer points than that, or 200 for more arms, are too few for all
        apart = ARMS if count >= 200 else PAPER_ARMS
        for one, other in itertools.combinations([places[arm] for arm in apart], 2):
            assert set(one) & set(other) == {count - 1}


def test_names_stand_at_the_edge_or_where_a_line_ends_before_it() -> None:
    _, (axes,) = begin("a title; n = 1 seed", 1)
    axes.set(xlim=(0, 10), ylim=(0, 1))
    name_lines(axes, {"wn": (math.inf, 0.5), "bn": (math.inf, math.inf), "plain": (4, 0.2)})
    places = {text.get_text(): text.xy for text in axes.texts}
    assert places == {"WN": (10, 0.5), "BN": (10, 1), "plain": (4, 0.2)}
    assert len(axes.collections) == 2  # a marker beside each at the edge
