"""Batch norm forwards and backwards, Jacobian by Jacobian, and what leaving ε out of it does."""

import pytest
import torch
from comparison import assert_close, differences, draw
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from wnrepro.equations import (
    batch_norm,
    batch_norm_gradient_b,
    batch_norm_gradient_g,
    batch_norm_gradient_z,
    dmu_dz,
    dsigma_dz,
    dstandardised_dz,
    moments,
    standardised,
)

batches = st.integers(2, 7)
channels = st.integers(1, 4)
seeds = st.integers(0, 2**31)
scales = st.sampled_from([1e-100, 1e-3, 1.0, 1e3, 1e100])
epsilons = st.sampled_from([0.0, 1e-8, 1e-3, 1.0])
NO_EPSILON = 1e-300
"""F.batch_norm refuses 0; added to a variance of ordinary size this is 0."""


def draw_z(batch: int, channels: int, seed: int) -> Tensor:
    """Random, with |Z̄| as large as the batch allows and σ of every channel at least 0.3."""
    z = draw(batch, channels, seed=seed)
    z = z - z.mean(0)
    z[0] += torch.copysign(1 + z[0].abs(), z[0])  # away from the mean of the others
    return z + draw(channels, seed=seed + 1)


def autograd_mu(z: Tensor) -> Tensor:
    return z.mean(0)


def autograd_sigma(z: Tensor) -> Tensor:
    return z.std(0, correction=0)


def autograd_standardised(z: Tensor, eps: float) -> Tensor:
    return (z - z.mean(0)) / (z.std(0, correction=0) + eps)


@given(batch=batches, channels=channels, seed=seeds, scale=scales)
def test_mu_and_sigma_are_torchs(batch, channels, seed, scale):
    z = draw_z(batch, channels, seed)
    var, mean = torch.var_mean(z, 0, correction=0)
    mu, sigma = moments(scale * z)
    assert_close(mu, scale * mean, scale=scale)
    assert_close(sigma, scale * var.sqrt())


def test_batch_norm_worked_by_hand():
    z = torch.tensor([[1.0, 0.0], [5.0, -6.0]], dtype=torch.float64)
    mu, sigma = moments(z)
    assert (mu.tolist(), sigma.tolist()) == ([3, -3], [2, 3])
    g, b = torch.tensor([[6.0, 8.0], [1.0, -1.0]], dtype=torch.float64)
    assert batch_norm(z, g, b, eps=1.0).tolist() == [[-3, 5], [5, -7]]
    assert standardised(z, eps=0.0).tolist() == [[-1, 1], [1, -1]]
    # (δ − 1/2)/3 − (±2)(±2)/(2·2·3²) = ±(1/6 − 1/9); ±(1/8 − 9/(2·3·4²))
    jacobian = dstandardised_dz(z, eps=1.0)
    for c, entry in ((0, 1 / 18), (1, 1 / 32)):
        signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
        assert_close(jacobian[:, c, :, c], signs * entry)


@given(batch=batches, channels=channels, seed=seeds, scale=scales, eps=epsilons)
def test_forward_is_torchs_with_the_epsilon_that_is_inside_its_root(
    batch, channels, seed, scale, eps
):
    z, g, b = draw_z(batch, channels, seed), draw(channels, seed=1), draw(channels, seed=2)
    y = batch_norm(scale * z, g, b, eps=scale * eps)
    for c in range(channels):
        # (σ + ε)² = σ² + (2σε + ε²)
        sigma = z[:, c].std(correction=0).item()
        inside = max(2 * sigma * eps + eps**2, NO_EPSILON)
        theirs = F.batch_norm(
            z[:, [c]], None, None, g[[c]], b[[c]], training=True, momentum=0.0, eps=inside
        )
        assert_close(y[:, [c]], theirs, scale=10.0)


@given(batch=batches, channels=channels, seed=seeds, eps=epsilons)
def test_the_jacobians_by_autograd_and_by_differences(batch, channels, seed, eps):
    z = draw_z(batch, channels, seed)
    for ours, function in (
        (dmu_dz(z), autograd_mu),
        (dsigma_dz(z), autograd_sigma),
        (dstandardised_dz(z, eps=eps), lambda z: autograd_standardised(z, eps)),
    ):
        by_autograd = jacobian(function, z)
        assert isinstance(by_autograd, Tensor)
        assert_close(ours, by_autograd, scale=1 / 0.3)
    for ours, function in (
        (dmu_dz(z), lambda z: moments(z)[0]),
        (dsigma_dz(z), lambda z: moments(z)[1]),
        (dstandardised_dz(z, eps=eps), lambda z: standardised(z, eps=eps)),
    ):
        # Looser: truncation h⁴·|5th derivative|, of order σ⁻⁵, and rounding 1e-16/h.
        assert_close(ours, differences(function, z, 1e-3), scale=1 / 0.3, tolerance=1e-7)


@given(batch=batches, channels=channels, seed=seeds, eps=epsilons, scale=scales)
def test_the_gradients_by_autograd_and_from_the_jacobian(batch, channels, seed, eps, scale):
    z = draw_z(batch, channels, seed)
    g, b = draw(channels, seed=seed + 2), draw(channels, seed=seed + 3)
    upstream = draw(batch, channels, seed=seed + 4)
    tensors = [t.requires_grad_() for t in (z, g, b)]
    by_autograd = torch.autograd.grad(g * autograd_standardised(z, eps) + b, tensors, upstream)
    z, g, b = (t.detach() for t in tensors)
    size = (g * upstream).abs().max() / 0.3  # the three terms of ∂L/∂Z cancel, wholly for N = 2
    gradient_z = batch_norm_gradient_z(z, g, upstream, eps=eps)
    assert_close(gradient_z, by_autograd[0], scale=size)
    assert_close(batch_norm_gradient_g(z, upstream, eps=eps), by_autograd[1], scale=10.0)
    assert_close(batch_norm_gradient_b(upstream), by_autograd[2], scale=10.0)
    contracted = torch.einsum("nc,ncmk->mk", g * upstream, dstandardised_dz(z, eps=eps))
    assert_close(gradient_z, contracted, scale=size)
    # The mean drops out, whatever ε. Z and ε in other units divide the gradient by them.
    assert_close(gradient_z.sum(0), torch.zeros(channels, dtype=torch.float64), scale=size)
    in_units = batch_norm_gradient_z(scale * z, g, upstream, eps=scale * eps)
    assert_close(in_units * scale, gradient_z, scale=size)


@given(batch=batches, channels=channels, seed=seeds)
def test_without_epsilon_forward_and_backward_are_torchs(batch, channels, seed):
    z = draw_z(batch, channels, seed).requires_grad_()
    g = draw(channels, seed=2).requires_grad_()
    b = draw(channels, seed=3).requires_grad_()
    upstream = draw(batch, channels, seed=4)
    y = F.batch_norm(z, None, None, g, b, training=True, eps=NO_EPSILON)
    theirs = torch.autograd.grad(y, (z, g, b), upstream)
    z, g, b = z.detach(), g.detach(), b.detach()
    assert_close(batch_norm(z, g, b, eps=0.0), y.detach(), scale=10.0)
    size = (g * upstream).abs().max() / 0.3
    assert_close(batch_norm_gradient_z(z, g, upstream, eps=0.0), theirs[0], scale=size)
    assert_close(batch_norm_gradient_g(z, upstream, eps=0.0), theirs[1], scale=10.0)
    assert_close(batch_norm_gradient_b(upstream), theirs[2], scale=10.0)


def parts(z: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(r, a, d): upstream = its mean + a d + r, with d = (Z − μ)/σ and r orthogonal to 1 and d."""
    d = autograd_standardised(z, 0.0)
    a = (upstream * d).mean(0)
    return upstream - upstream.mean(0) - a * d, a, d


@given(
    batch=st.integers(2, 9),
    channels=channels,
    seed=seeds,
    ratio=st.sampled_from([1e-5, 1e-3, 0.1, 1.0]),
)
def test_exactly_what_the_notes_lose_by_leaving_epsilon_out(batch, channels, seed, ratio):
    z, g = draw_z(batch, channels, seed), draw(channels, seed=2)
    upstream = draw(batch, channels, seed=seed + 1)
    sigma = autograd_sigma(z)
    eps = ratio * sigma.max().item()
    r, a, d = parts(z, upstream)
    exact = batch_norm_gradient_z(z, g, upstream, eps=eps)
    notes = batch_norm_gradient_z(z, g, upstream, eps=0.0)
    size = (g * upstream / sigma).abs().max()
    pull = a * d * eps / (sigma + eps) ** 2
    assert_close(exact, g * (r / (sigma + eps) + pull), scale=size)
    assert_close(notes, g * r / sigma, scale=size)
    lost = g * (r * eps / (sigma * (sigma + eps)) - pull)
    assert_close(notes - exact, lost, scale=size)


@pytest.mark.parametrize(
    ("sigma", "expected"), [(1.0, 1.0200e-5), (1e-2, 1.0200e-3), (1e-4, 0.10164), (1e-5, 1.0)]
)
def test_how_large_the_difference_is_for_a_usual_epsilon(sigma: float, expected: float):
    """‖notes − exact‖/‖exact‖ for ε = 1e-5, a batch of 64, random Z of that σ, random ∂L/∂Y."""
    z, upstream = draw(64, 1, seed=0), draw(64, 1, seed=1)
    z = sigma * (z - z.mean(0)) / autograd_sigma(z)
    one = torch.ones(1, dtype=torch.float64)
    exact = batch_norm_gradient_z(z, one, upstream, eps=1e-5)
    notes = batch_norm_gradient_z(z, one, upstream, eps=0.0)
    assert ((notes - exact).norm() / exact.norm()).item() == pytest.approx(expected, rel=1e-3)


def test_of_a_batch_of_two_the_notes_gradient_is_nothing_and_epsilon_is_all_of_it():
    # Z̄ = ±1 whatever Z is, but for ε
    z = torch.tensor([[1.0], [5.0]], dtype=torch.float64)
    upstream = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    assert batch_norm_gradient_z(z, one, upstream, eps=0.0).tolist() == [[0], [0]]
    exact = batch_norm_gradient_z(z, one, upstream, eps=1.0)
    expected = 0.5 * 1 / 3**2  # a ε/(σ + ε)²
    assert_close(exact[:, 0], torch.tensor([-expected, expected], dtype=torch.float64))


@given(channels=channels, seed=seeds, eps=st.sampled_from([1e-8, 1.0]))
def test_of_a_batch_of_one_the_output_is_b_and_its_gradients_are_zero(channels, seed, eps):
    z, g, b = (draw(*s, seed=seed) for s in ((1, channels), (channels,), (channels,)))
    y = batch_norm(z, g, b, eps=eps)
    assert torch.equal(y, b[None])
    jacobian = dstandardised_dz(z, eps=eps)
    assert_close(jacobian, differences(lambda z: standardised(z, eps=eps), z, 0.1), scale=0.0)
    assert (dsigma_dz(z) == differences(lambda z: moments(z)[1], z, 0.1)).all()
    assert (batch_norm_gradient_z(z, g, torch.ones_like(z), eps=eps) == 0).all()
    assert (batch_norm_gradient_g(z, torch.ones_like(z), eps=eps) == 0).all()


@given(batch=batches, value=st.floats(-1e3, 1e3), eps=st.sampled_from([1e-3, 1.0]))
def test_a_constant_channel_has_the_derivatives_of_the_line_through_it(batch, value, eps):
    """There Z̄ = (Z − μ)/ε to first order. (Autograd gives NaN: √ has no derivative at 0.)"""
    z = torch.full((batch, 1), value, dtype=torch.float64)
    assert moments(z)[1].item() == 0  # and not the rounding error of μ
    assert (standardised(z, eps=eps) == 0).all()
    expected = torch.eye(batch, dtype=torch.float64) - 1 / batch
    assert_close(dstandardised_dz(z, eps=eps)[:, 0, :, 0], expected / eps)
    upstream, one = draw(batch, 1), torch.ones(1, dtype=torch.float64)
    gradient = batch_norm_gradient_z(z, one, upstream, eps=eps)
    assert_close(gradient, (upstream - upstream.mean(0)) / eps, scale=upstream / eps)
    assert (dsigma_dz(z) == 0).all()
    # Looser: |h| enters the denominator, an error of order h/ε. At 0, where z ± h has no rounding.
    numeric = differences(lambda z: standardised(z, eps=eps), 0 * z, 1e-9 * eps)
    assert_close(numeric[:, 0, :, 0], expected / eps, tolerance=1e-7)


Z = draw_z(4, 3, seed=0)
C = draw(3, seed=1)
CONSTANT = Z * torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batch_norm(CONSTANT, C, C, eps=0.0), "channel 1 of z is constant"),
        (lambda: batch_norm(Z[:1], C, C, eps=0.0), "channel 0 of z is constant"),
        (lambda: standardised(CONSTANT, eps=0.0), "constant"),
        (lambda: dstandardised_dz(CONSTANT, eps=0.0), "constant"),
        (lambda: batch_norm_gradient_z(CONSTANT, C, Z, eps=0.0), "constant"),
        (lambda: batch_norm_gradient_g(CONSTANT, Z, eps=0.0), "constant"),
        (lambda: batch_norm(Z, C, C, eps=-1e-5), "eps must be at least 0, got -1e-05"),
        (lambda: batch_norm(1e-160 * Z, C, C, eps=1.0), "the norm of z − μ must lie between"),
        (lambda: moments(1e160 * Z), "the norm of z − μ must lie between"),
        (lambda: moments(Z[:0]), "empty batch"),
        (lambda: dmu_dz(Z[:0]), "z has an empty batch"),
        (lambda: dsigma_dz(Z[:0]), "z has an empty batch"),
        (lambda: batch_norm_gradient_b(Z[:0]), "gradient has an empty batch"),
        (lambda: dmu_dz(Z[0]), r"z must have shape \(batch, channels\), got \(3,\)"),
        (lambda: dsigma_dz(Z[0]), "z must have shape"),
        (lambda: dsigma_dz(Z[0, 0]), r"z must have shape \(batch, channels\), got \(\)"),
        (lambda: moments(Z.float()), "z must be float64, got float32"),
        (lambda: batch_norm(Z, C.long(), C, eps=0.0), "g must be float64, got int64"),
        (lambda: batch_norm(Z, C[:2], C, eps=0.0), r"g must have shape \(channels=3\), got \(2,\)"),
        (lambda: batch_norm(Z, C, C[:1], eps=0.0), r"b must have shape \(channels=3\)"),
        (lambda: batch_norm_gradient_z(Z, C, Z[:1], eps=0.0), "gradient must have shape"),
        (lambda: batch_norm_gradient_g(Z, C, eps=0.0), "gradient must have shape"),
        (lambda: batch_norm_gradient_b(C), "gradient must have shape"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
