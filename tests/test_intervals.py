"""The intervals, against numbers from elsewhere."""

import itertools

import numpy as np
import pytest
from scipy import stats

from wnrepro.intervals import (
    bootstrap_interval,
    paired_difference,
    t_interval,
    welch_difference,
    wilson_interval,
)


def test_t_interval_of_a_worked_example():
    # mean 2, s = 1, n = 3: 2 ± 4.302653/√3, of Student's table with 2 degrees of freedom
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2
    assert interval.low == pytest.approx(2 - 4.302653 / np.sqrt(3))
    assert interval.high == pytest.approx(2 + 4.302653 / np.sqrt(3))
    assert interval.n == 3
    assert "95 % t" in interval.text()


def test_one_value_says_nothing():
    interval = t_interval([3.0])
    assert (interval.low, interval.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf], [[1.0]]])
def test_what_is_not_finite_has_no_interval(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


def test_t_interval_covers_the_mean_in_19_of_20_cases():
    draws = np.random.default_rng(1).normal(size=(2000, 5))
    hits = sum(each.low <= 0 <= each.high for each in map(t_interval, draws))
    assert 0.935 < hits / 2000 < 0.965


def test_wilson_interval_of_a_worked_example():
    interval = wilson_interval(0, 5)
    assert interval.low == pytest.approx(0, abs=1e-15)
    assert interval.high == pytest.approx(0.4345, abs=1e-4)  # z²/(n + z²)
    with pytest.raises(ValueError, match="fraction"):
        wilson_interval(6, 5)


def test_welchs_interval_is_scipys():
    a, b = np.array([27.5, 21.0, 19.0, 23.6, 17.0]), np.array([27.1, 22.0, 20.8])
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    found = welch_difference(a, b)
    expected = (a.mean() - b.mean(), theirs.low, theirs.high)
    assert (found.estimate, found.low, found.high) == pytest.approx(expected)
    assert (found.n, found.name) == (3, "95 % Welch interval")


def test_welchs_interval_of_one_value_is_infinite_and_of_equal_ones_a_point():
    assert (welch_difference([1.0], [2.0, 3.0]).low, welch_difference([1], [2]).high) == (
        -np.inf,
        np.inf,
    )
    found = welch_difference([2.0, 2.0], [1.0, 1.0])
    assert (found.low, found.high) == (1, 1)


VALUES = [8.4, 8.1, 8.9, 8.3]


def test_bootstrap_interval_is_that_of_all_resamples():
    # Of 4 values there are 4⁴ resamples: the exact distribution that 10,000 draws approach.
    means = np.sort([np.mean(drawn) for drawn in itertools.product(VALUES, repeat=4)])
    interval = bootstrap_interval(VALUES)
    assert interval.estimate == pytest.approx(8.425)
    for quantile, bound in ((0.025, interval.low), (0.975, interval.high)):
        # The bound is a mean that resamples have, and near the quantile among them.
        assert np.min(np.abs(means - bound)) < 1e-9
        assert (means <= bound + 1e-9).mean() > quantile - 0.015
        assert (means >= bound - 1e-9).mean() > 1 - quantile - 0.015
    assert interval.name == "95 % bootstrap interval over seeds"
    assert interval.n == 4


def test_bootstrap_interval_is_seeded_and_knows_no_order():
    one = bootstrap_interval(np.random.default_rng(2).normal(size=30), seed=1)
    assert one == bootstrap_interval(np.random.default_rng(2).normal(size=30), seed=1)
    assert one != bootstrap_interval(np.random.default_rng(2).normal(size=30), seed=2)
    assert bootstrap_interval(VALUES) == bootstrap_interval(VALUES[::-1])
    assert (bootstrap_interval([3.0]).low, bootstrap_interval([3.0]).high) == (3.0, 3.0)


def test_bootstrap_interval_of_three_values_is_their_range_and_holds_the_mean_in_three_of_four():
    draws = np.random.default_rng(3).normal(size=(400, 3))
    intervals = [bootstrap_interval(each) for each in draws]
    for each, interval in zip(draws, intervals, strict=True):
        assert (interval.low, interval.high) == pytest.approx((each.min(), each.max()))
    assert 0.69 < np.mean([interval.contains(0) for interval in intervals]) < 0.81


def test_paired_difference_is_the_t_interval_of_the_differences_at_common_seeds():
    ours = {0: 8.0, 2: 9.0, 1: 10.0, 7: 99.0}
    theirs = {1: 9.0, 2: 7.0, 0: 5.0, 8: -99.0}
    interval = paired_difference(ours, theirs)
    by_hand = t_interval([3.0, 1.0, 2.0])
    assert (interval.estimate, interval.n) == (2, 3)
    assert (interval.low, interval.high) == pytest.approx((by_hand.low, by_hand.high))
    assert "paired" in interval.name


def test_paired_difference_is_that_of_scipys_paired_test():
    rng = np.random.default_rng(4)
    ours, theirs = rng.normal(size=5), rng.normal(size=5)
    reference = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    interval = paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high))


def test_no_difference_without_common_seeds_or_of_what_diverged():
    with pytest.raises(ValueError, match="no seed in common"):
        paired_difference({0: 1.0}, {1: 1.0})
    with pytest.raises(ValueError, match="finite"):
        paired_difference({0: np.nan}, {0: 1.0})
    assert paired_difference({0: np.nan, 1: 3.0}, {1: 1.0, 2: np.nan}).estimate == 2
