"""Batch norm = weight norm for one layer on whitened inputs (paper section 2.2), and only there."""

import pytest
import torch
from comparison import assert_close, draw
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wnrepro.equations import batch_norm_and_weight_norm, moments

seeds = st.integers(0, 2**31)


def whitened(batch: int, inputs: int, seed: int) -> Tensor:
    """Mean 0 and xᵀx/N = I to rounding: √N times an orthonormal basis orthogonal to 1."""
    ones = torch.ones(batch, 1, dtype=torch.float64)
    basis, _ = torch.linalg.qr(torch.cat([ones, draw(batch, inputs, seed=seed)], 1))
    return batch**0.5 * basis[:, 1:]


@given(
    inputs=st.integers(1, 6),
    more=st.integers(1, 8),
    units=st.integers(1, 4),
    seed=seeds,
    scale=st.sampled_from([1e-100, 1.0, 1e100]),
)
def test_on_whitened_inputs_they_are_equal(inputs, more, units, seed, scale):
    x = whitened(inputs + more, inputs, seed)
    v, g, b = scale * draw(units, inputs, seed=1), draw(units, seed=2), draw(units, seed=3)
    mu, sigma = moments(x @ v.T)
    assert_close(mu, torch.zeros_like(mu), scale=v)
    assert_close(sigma, v.norm(dim=1))
    by_batch_norm, by_weight_norm = batch_norm_and_weight_norm(x, v, g, b)
    assert_close(by_batch_norm, by_weight_norm)
    # and both are what they are called
    v = v / scale
    theirs = F.batch_norm(x @ v.T, None, None, g, b, training=True, eps=1e-300)
    assert_close(by_batch_norm, theirs)
    assert_close(by_weight_norm, F.linear(x, torch._weight_norm(v, g[:, None], 0), b))


def test_the_smallest_case_worked_by_hand():
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    v, g, b = (torch.tensor(n, dtype=torch.float64) for n in ([[-7.0]], [3.0], [0.5]))
    for y in batch_norm_and_weight_norm(x, v, g, b):
        assert y.tolist() == [[-2.5], [3.5]]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + torch.eye(3, dtype=torch.float64)[0],  # a mean
        lambda x: x * torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64),  # a variance
        lambda x: x + 0.5 * x.flip(1),  # a correlation
    ],
)
def test_on_other_inputs_they_are_not(change):
    x = change(whitened(10, 3, seed=0))
    v, g, b = draw(2, 3, seed=1), torch.ones(2, dtype=torch.float64), draw(2, seed=3)
    by_batch_norm, by_weight_norm = batch_norm_and_weight_norm(x, v, g, b)
    assert (by_batch_norm - by_weight_norm).abs().amax(0).min() > 0.05


@pytest.mark.parametrize(
    ("x", "v", "message"),
    [
        (whitened(5, 3, 0), torch.zeros(2, 3, dtype=torch.float64), "constant over the batch"),
        (whitened(5, 3, 0)[:1], draw(2, 3), "constant over the batch"),
        (whitened(5, 3, 0), draw(2, 4), r"v must have shape \(units, inputs=3\)"),
        (whitened(5, 3, 0).float(), draw(2, 3), "x must be float64"),
    ],
)
def test_what_is_refused(x, v, message):
    with pytest.raises(ValueError, match=message) as raised:
        batch_norm_and_weight_norm(x, v, draw(2), draw(2))
    assert "\n" not in str(raised.value)
