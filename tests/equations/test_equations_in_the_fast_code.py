"""The layers and the optimiser that train are the equations, forwards and backwards, to 1e-10."""

import pytest
import torch
from comparison import assert_close, draw
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from wnrepro import equations
from wnrepro.nn import (
    BatchNorm,
    MeanOnlyBatchNorm1d,
    MeanOnlyBatchNorm2d,
    WeightNormConv2d,
    WeightNormLinear,
    data_dependent_init,
    weight_norm,
)
from wnrepro.optim import Adam

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)


@given(units=sizes, inputs=sizes, seed=seeds)
def test_weight_norm_is_eq_2_and_its_gradients_are_eq_3_and_4(units, inputs, seed):
    v, g = draw(units, inputs, seed=seed), draw(units, seed=seed + 1)
    upstream = draw(units, inputs, seed=seed + 2)
    w = weight_norm(v.requires_grad_(), g.requires_grad_())
    by_v, by_g = torch.autograd.grad(w, (v, g), upstream)
    v, g = v.detach(), g.detach()
    assert_close(w.detach(), equations.weight(v, g))
    assert_close(by_g, equations.gradient_g(v, upstream), scale=upstream)
    terms = (g / v.norm(dim=1))[:, None] * upstream
    assert_close(by_v, equations.gradient_v(v, g, upstream), scale=terms)
    assert_close(by_v, equations.gradient_v_projected(v, g, upstream), scale=terms)


def test_the_weight_of_a_convolution_is_eq_2_of_its_flattened_kernels():
    layer = WeightNormConv2d(3, 4, 2).double()
    flat = equations.weight(layer.v.detach().flatten(1), layer.g.detach())
    assert_close(layer.weight.detach().flatten(1), flat)


@given(batch=st.integers(2, 7), channels=sizes, seed=seeds)
def test_mean_only_batch_norm_is_eq_7_and_8(batch, channels, seed):
    t, upstream = draw(batch, channels, seed=seed), draw(batch, channels, seed=seed + 1)
    layer = MeanOnlyBatchNorm1d(channels).double()
    assert layer.bias is not None
    nn.init.normal_(layer.bias)
    b = layer.bias.detach()
    out = layer(t.requires_grad_())
    (by_autograd,) = torch.autograd.grad(out, t, upstream)
    t = t.detach()
    assert_close(out.detach(), equations.mean_only_batch_norm(t, b), scale=10.0)
    expected = equations.mean_only_batch_norm_gradient(upstream)
    assert_close(by_autograd, expected, scale=upstream)
    running = equations.running_average(torch.zeros_like(b), t.mean(0), 0.9)
    assert_close(layer.running_mean, running, scale=t)
    at_test = equations.mean_only_batch_norm(t, b, running)
    assert_close(layer.eval()(t).detach(), at_test, scale=10.0)


def test_mean_only_batch_norm_of_images_takes_every_place_for_an_example():
    images = draw(3, 2, 4, 5)
    out = MeanOnlyBatchNorm2d(2).double()(images).detach()
    rows = images.permute(0, 2, 3, 1).reshape(-1, 2)
    expected = equations.mean_only_batch_norm(rows, torch.zeros(2, dtype=torch.float64))
    assert_close(out.permute(0, 2, 3, 1).reshape(-1, 2), expected)


@given(batch=st.integers(3, 9), seed=seeds, eps=st.sampled_from([1e-6, 0.1]))
def test_batch_norm_is_the_notes_with_its_epsilon_taken_out_of_the_root(batch, seed, eps):
    z, upstream = draw(batch, 1, seed=seed), draw(batch, 1, seed=seed + 1)
    z[0] += 3  # σ of ordinary size
    layer = BatchNorm(1, eps=eps).double()
    nn.init.constant_(layer.g, 2.0)
    nn.init.constant_(layer.bias, -1.0)
    g, b = layer.g.detach(), layer.bias.detach()
    out = layer(z.requires_grad_())
    (by_autograd,) = torch.autograd.grad(out, z, upstream)
    z = z.detach()
    sigma = equations.moments(z)[1].item()
    outside = (sigma**2 + eps) ** 0.5 - sigma
    assert_close(out.detach(), equations.batch_norm(z, g, b, eps=outside), scale=10.0)
    # Backwards that ε outside is no constant, it falls with σ: the pull along d = (Z − μ)/σ is
    # a(S² − σ²)/S³ and not a(S − σ)/S², with S = √(σ² + ε) = σ + outside and a = mean(d ∂L/∂Y).
    s, d = sigma + outside, equations.standardised(z, eps=0.0)
    pull = g * (upstream * d).mean(0) * d * (s - sigma) * sigma / s**3
    expected = equations.batch_norm_gradient_z(z, g, upstream, eps=outside) + pull
    assert_close(by_autograd, expected, scale=g * upstream / sigma)
    without = BatchNorm(1, eps=1e-300).double()(z.requires_grad_())
    (theirs,) = torch.autograd.grad(without, z, upstream)
    ours = equations.batch_norm_gradient_z(z.detach(), g / g, upstream, eps=0.0)
    assert_close(theirs, ours, scale=upstream / sigma)


@pytest.mark.parametrize("seed", range(3))
def test_data_dependent_init_is_eq_5_and_6_layer_by_layer(seed: int):
    torch.manual_seed(seed)
    model = nn.Sequential(
        WeightNormLinear(3, 6), nn.ReLU(), WeightNormLinear(6, 4), nn.ReLU(), WeightNormLinear(4, 2)
    ).double()
    linear = [m for m in model if isinstance(m, WeightNormLinear)]
    for layer in linear:
        nn.init.ones_(layer.g)
        nn.init.zeros_(layer.bias)
    x = draw(50, 3, seed=seed)
    vs = [layer.v.detach().clone() for layer in linear]
    data_dependent_init(model, x)
    for layer, (g, b) in zip(linear, equations.initial_layers(x, vs, F.relu), strict=True):
        assert_close(layer.g.detach(), g)
        assert_close(layer.bias.detach(), b, scale=1 + b.abs().max())


@given(seed=seeds, eps=st.sampled_from([1e-8, 1.0]), lr=st.floats(1e-4, 1.0))
def test_adam_is_its_equation_also_where_beta1_changes(seed, eps, lr):
    w = draw(2, 3, seed=seed)
    m = s = torch.zeros_like(w)
    p = nn.Parameter(w.clone())
    optimizer = Adam([p], lr, (0.9, 0.999), eps)
    for t in range(1, 7):
        beta1 = 0.9 if t <= 3 else 0.5
        optimizer.param_groups[0]["betas"] = (beta1, 0.999)
        p.grad = draw(2, 3, seed=seed + t)
        w, m, s = equations.adam(w, p.grad, m, s, t, lr=lr, beta1=beta1, beta2=0.999, eps=eps)
        optimizer.step()
        assert_close(p.detach(), w, scale=1 + w.abs().max())
