"""The intervals, against numbers from elsewhere."""

import numpy as np
import pytest

from wnrepro.mechanisms.statistics import (
    t_interval,
    t_quantile,
    wilson_interval,
)


def test_t_interval_of_a_worked_example():
    # mean 2, s = 1, n = 3: 2 ± 4.303/√3
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2
    assert interval.low == pytest.approx(2 - 4.303 / np.sqrt(3))
    assert interval.high == pytest.approx(2 + 4.303 / np.sqrt(3))
    assert interval.n == 3
    assert "95 % t" in interval.text()


def test_t_quantile_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for degrees in (1, 2, 5, 30, 31, 60, 1000):
        assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-3)


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
