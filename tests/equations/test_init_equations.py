"""The data-dependent initialisation (eq. 5, 6) and mean-only batch norm (eq. 7, 8)."""

import pytest
import torch
from comparison import assert_close, differences, draw
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from wnrepro.equations import (
    initial_g_b,
    initial_layers,
    initial_t,
    mean_only_batch_norm,
    mean_only_batch_norm_gradient,
    unit,
    weight,
)

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)


def leaky(t):
    return F.leaky_relu(t, 0.1)


def linear(t):
    return t


@given(batch=st.integers(3, 9), inputs=sizes, units=sizes, seed=seeds)
@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_eq_5_and_6_give_mean_0_and_variance_1(scale, batch, inputs, units, seed):
    x, v = draw(batch, inputs, seed=seed) + 1, scale * draw(units, inputs, seed=seed + 1)
    x[0] += 5  # so that no t is nearly constant
    t = initial_t(x, v)
    assert_close(t, F.linear(x, F.normalize(v / scale, dim=1)), scale=x)
    g, b = initial_g_b(t)
    y = unit(x, weight(v, g), b, linear)
    var, mean = torch.var_mean(y, 0, correction=0)
    # t and b cancel in y: their size, not its own, sets the rounding
    size = 1 + (g * t).abs().max()
    assert_close(mean, torch.zeros_like(mean), scale=size)
    assert_close(var, torch.ones_like(var), scale=size)
    standard = F.batch_norm(t, None, None, training=True, eps=1e-300)
    assert_close(y, standard, scale=size)


def test_eq_5_and_6_worked_by_hand():
    x = torch.tensor([[5.0], [1.0]], dtype=torch.float64)
    t = initial_t(x, torch.tensor([[-8.0]], dtype=torch.float64))
    assert t.tolist() == [[-5], [-1]]
    g, b = initial_g_b(t)
    assert (g.tolist(), b.tolist()) == ([1 / 2], [3 / 2])


@given(batch=st.integers(8, 12), seed=seeds)
def test_every_layer_is_fed_with_the_normalised_output_of_the_one_below(batch, seed):
    x = draw(batch, 3, seed=seed)
    vs = [draw(4, 3, seed=seed + 1), draw(5, 4, seed=seed + 2), draw(2, 5, seed=seed + 3)]
    layers = initial_layers(x, vs, leaky)
    assert len(layers) == 3
    for v, (g, b) in zip(vs, layers, strict=True):
        t = F.linear(x, F.normalize(v, dim=1))
        std, mean = torch.std_mean(t, 0, correction=0)
        assert_close(g, 1 / std)
        assert_close(b, -mean / std)
        x = leaky((t - mean) / std)


@given(batch=sizes, units=sizes, seed=seeds, scale=st.sampled_from([1e-200, 1.0, 1e200]))
def test_eq_7_and_8_by_autograd_and_by_differences(batch, units, seed, scale):
    t, b = draw(batch, units, seed=seed), draw(units, seed=seed + 1)
    upstream = draw(batch, units, seed=seed + 2)
    shifted = t.requires_grad_() - t.mean(0, keepdim=True) + b
    (by_autograd,) = torch.autograd.grad(shifted, t, upstream)
    t = t.detach()
    ours = mean_only_batch_norm(scale * t, scale * b)
    assert_close(ours, scale * shifted.detach(), scale=10 * scale)
    assert_close(ours.mean(0), scale * b, scale=10 * scale)
    gradient = mean_only_batch_norm_gradient(upstream)
    assert_close(gradient, by_autograd, scale=upstream)
    assert_close(mean_only_batch_norm_gradient(scale * upstream), scale * gradient, scale=scale)
    # A linear function: differences are exact but for rounding, so a step of 1 does.
    jacobian = differences(lambda t: mean_only_batch_norm(t, b), t, 1.0)
    assert_close(gradient, torch.einsum("nc,ncmk->mk", upstream, jacobian), scale=10.0)


def test_eq_7_and_8_worked_by_hand_and_with_a_batch_of_one():
    t = torch.tensor([[1.0, 0.0], [5.0, -6.0]], dtype=torch.float64)
    b = torch.tensor([10.0, 20.0], dtype=torch.float64)
    assert mean_only_batch_norm(t, b).tolist() == [[8, 23], [12, 17]]
    assert mean_only_batch_norm_gradient(t).tolist() == [[-2, 3], [2, -3]]
    assert mean_only_batch_norm(t[:1], b).tolist() == [[10, 20]]
    assert mean_only_batch_norm_gradient(t[:1]).tolist() == [[0, 0]]
    # at test time the running mean takes the place of the batch's
    assert mean_only_batch_norm(t[1:], b, b / 10).tolist() == [[14, 12]]


T, B = draw(4, 3), draw(3, seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: initial_t(T, draw(2, 4)), r"v must have shape \(units, inputs=3\), got \(2, 4\)"),
        (lambda: initial_t(T, 0 * draw(2, 3)), "v has norm 0"),
        (lambda: initial_t(T.float(), T), "x must be float64"),
        (lambda: initial_g_b(T[:1]), r"unit 0 is constant over the batch: σ\[t\] = 0"),
        (lambda: initial_g_b(T[:0]), "empty batch"),
        (lambda: initial_g_b(B), "must have shape"),
        (lambda: initial_layers(T, [T, T], leaky), "v must have shape"),
        (lambda: mean_only_batch_norm(T, B[:2]), r"b must have shape \(units=3\), got \(2,\)"),
        (lambda: mean_only_batch_norm(T, B, B[:2]), r"mu must have shape \(units=3\)"),
        (lambda: mean_only_batch_norm(T, B.int()), "b must be float64, got int32"),
        (lambda: mean_only_batch_norm(T[:0], B), "t has an empty batch"),
        (lambda: mean_only_batch_norm(T[:0], B, B), "t has an empty batch"),
        (lambda: mean_only_batch_norm_gradient(T[:0]), "gradient has an empty batch"),
        (lambda: mean_only_batch_norm_gradient(B), "gradient must have shape"),
        (lambda: mean_only_batch_norm_gradient(T.float()), "gradient must be float64"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
