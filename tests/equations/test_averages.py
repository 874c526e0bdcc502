"""Running averages: what constant and growing decays make of C_t = γ_t C_{t−1} + (1 − γ_t) c_t."""

import pytest
import torch
from comparison import assert_close, draw
from hypothesis import given
from hypothesis import strategies as st

from wnrepro.equations import (
    bias_corrected_decay,
    exponential_average,
    plain_mean_decay,
    running_average,
)

shapes = st.lists(st.integers(1, 4), max_size=3)
decays = st.floats(0, 0.999)


@given(shape=shapes, steps=st.integers(1, 12), gamma=decays, seed=st.integers(0, 2**31))
def test_a_constant_decay_gives_the_exponential_sum(shape, steps, gamma, seed):
    c = draw(steps, *shape, seed=seed)
    average = torch.zeros_like(c[0])
    for new in c:
        average = running_average(average, new, gamma)
    assert_close(average, exponential_average(c, gamma), scale=c)
    weights = (1 - gamma) * torch.tensor(gamma, dtype=torch.float64) ** torch.arange(steps).flip(0)
    by_product = torch.tensordot(weights, c, 1)
    assert_close(average, by_product, scale=c)


def test_the_exponential_sum_worked_by_hand():
    c = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert exponential_average(c, 0.5).item() == 1 / 8 + 2 / 4 + 3 / 2
    assert exponential_average(c, 0.0).item() == 3  # 0⁰ = 1: the last one alone


@given(steps=st.integers(1, 40), gamma=decays)
def test_the_weights_of_the_exponential_sum_add_up_to_one_minus_gamma_to_the_T(steps, gamma):
    ones = torch.ones(steps, dtype=torch.float64)
    expected = torch.tensor(1 - gamma**steps, dtype=torch.float64)
    assert_close(exponential_average(ones, gamma), expected, scale=1.0)


@given(shape=shapes, steps=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_the_decay_of_the_plain_mean_gives_it_at_every_step_wherever_it_starts(shape, steps, seed):
    c = draw(steps, *shape, seed=seed)
    average = 1e3 * draw(*shape, seed=seed + 1)
    for t in range(1, steps + 1):
        average = running_average(average, c[t - 1], plain_mean_decay(t))
        assert_close(average, c[:t].mean(0), scale=c)


@given(shape=shapes, steps=st.integers(1, 12), beta=decays, seed=st.integers(0, 2**31))
def test_adams_corrected_average_is_a_moving_average_with_its_own_decay(shape, steps, beta, seed):
    c = draw(steps, *shape, seed=seed)
    corrected = 1e3 * draw(*shape, seed=seed + 1)  # γ_1 = 0: where it starts is forgotten
    for t in range(1, steps + 1):
        corrected = running_average(corrected, c[t - 1], bias_corrected_decay(t, beta))
        assert_close(corrected, exponential_average(c[:t], beta) / (1 - beta**t), scale=c)


@given(t=st.integers(1, 1000), beta=decays)
def test_the_corrected_decay_is_one_minus_one_over_the_geometric_sum(t, beta):
    geometric = sum(beta**k for k in range(t))
    assert bias_corrected_decay(t, beta) == pytest.approx(1 - 1 / geometric, rel=0, abs=1e-10)


@pytest.mark.parametrize("t", [1, 2, 10, 100])
def test_the_corrected_decay_goes_from_zero_to_beta_and_for_beta_near_one_is_the_plain_means(t):
    assert bias_corrected_decay(1, 0.9) == 0
    assert bias_corrected_decay(2, 0.5) == pytest.approx(1 / 3, rel=1e-14)
    assert bias_corrected_decay(1000, 0.9) == 0.9
    # no closer: the two differ by (1 − β)(t − 1)/(2t) to first order
    near_one = bias_corrected_decay(t, 1 - 1e-6)
    assert near_one == pytest.approx(plain_mean_decay(t) - 1e-6 * (t - 1) / (2 * t), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: running_average(draw(2), draw(3), 0.5), "new must have the shape of average"),
        (lambda: running_average(draw(2).float(), draw(2), 0.5), "average must be float64, got fl"),
        (lambda: running_average(draw(2), draw(2).long(), 0.5), "new must be float64, got int64"),
        (lambda: running_average(draw(2), draw(2), 1.0), r"gamma must lie in \[0, 1\), got 1.0"),
        (lambda: running_average(draw(2), draw(2), float("nan")), "gamma"),
        (lambda: exponential_average(draw(), 0.5), "axis of steps"),
        (lambda: exponential_average(draw(2), -0.1), "gamma"),
        (lambda: plain_mean_decay(0), "counts steps from 1, got 0"),
        (lambda: bias_corrected_decay(0, 0.9), "counts steps from 1"),
        (lambda: bias_corrected_decay(1, 1.0), "beta must lie"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
