"""Each answer of docs/explained.md, in float64 or by sympy; the page: test_explained_page.py."""

import runpy
from itertools import pairwise
from pathlib import Path

import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, unfold

from wnrepro.equations import (
    adadelta,
    adam,
    batch_norm,
    gradient_covariance,
    gradient_g,
    gradient_v,
    initial_g_b,
    moments,
    norm_growth,
    projection,
    standardised,
    weight,
)
from wnrepro.nn import WeightNormConv2d, convert, data_dependent_init

ROOT = Path(__file__).resolve().parents[1]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def whitened(batch: int, inputs: int) -> Tensor:
    """Mean 0 and covariance I over the batch."""
    x = torch.cat([torch.ones(batch, 1, dtype=torch.float64), draw(batch, inputs)], 1)
    return batch**0.5 * torch.linalg.qr(x)[0][:, 1:]


V, G, GRADIENT_W = draw(3, 5), draw(3, seed=1), draw(3, 5, seed=2)


# What is g?


def test_g_is_the_length_of_w_and_free() -> None:
    v, g = 7 * V, G.requires_grad_()
    w = weight(v, g)
    close(w.norm(dim=1), g.detach().abs())  # and not 1
    for layer in (WeightNormConv2d(2, 3, 3), convert(nn.Linear(5, 3))):
        assert {"v", "g", "bias"} == {name for name, _ in layer.named_parameters()}
    (by_g,) = torch.autograd.grad(w, g, GRADIENT_W)
    close(by_g, gradient_g(v, GRADIENT_W))
    assert (by_g.abs() > 0.1).all()  # g is trained


# L2


def test_an_l2_penalty_on_v_leaves_w_alone() -> None:
    for shrunk in (0.5, 1e-3):
        close(weight(shrunk * V, G.detach()), weight(V, G.detach()))
    # on w it is one on g
    w = weight(V, G.detach())
    close(w.square().sum(), G.detach().square().sum())
    # and the loss itself has no penalty: its gradient by v has no part along v, where one by
    # λ/2 ‖v‖² lies whole
    gradient = gradient_v(V, G.detach(), GRADIENT_W)
    close((gradient * V).sum(1), torch.zeros(3, dtype=torch.float64))


# Is g another learning rate?


def test_what_g_and_v_scale_of_the_step_of_w() -> None:
    v, g, rate = V[:1], G[:1].detach(), 1e-7
    gradient_w = GRADIENT_W[:1]
    stepped = weight(v - rate * gradient_v(v, g, gradient_w), g - rate * gradient_g(v, gradient_w))
    m = projection(v[0])
    along = torch.eye(5, dtype=torch.float64) - m
    law = ((g / v.norm()) ** 2 * m + along) @ gradient_w[0]
    close((weight(v, g) - stepped)[0] / rate, law, 1e-5)  # to first order in the rate
    # so twice the ‖v‖ quarters the turn and leaves the step of the length
    close(gradient_g(2 * v, gradient_w), gradient_g(v, gradient_w))
    close(gradient_v(2 * v, g, gradient_w), gradient_v(v, g, gradient_w) / 2)


def test_with_adam_g_scales_no_step_of_v() -> None:
    state = torch.zeros_like(V), torch.zeros_like(V)
    rate = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 0.0}
    one, ten = (
        adam(V, gradient_v(V, scale * G.detach(), GRADIENT_W), *state, 1, **rate)[0]
        for scale in (1, 10)
    )
    close(one, ten)
    close((one - V).abs(), torch.full_like(V, 0.1))


# Noise


def test_only_the_length_of_the_projected_gradient_makes_v_grow() -> None:
    """One entry or all: how the gradient is spread over the dimensions has no part in it."""
    v = torch.tensor([[1.0, 0, 0, 0, 0]], dtype=torch.float64)
    spread = torch.tensor([[0.0, 1, 1, 1, 1]], dtype=torch.float64)
    single = torch.tensor([[0.0, 2, 0, 0, 0]], dtype=torch.float64)
    close(norm_growth(v, spread), norm_growth(v, single))


def test_noise_and_rate_are_two_dials_of_the_norm() -> None:
    norms = runpy.run_path(str(ROOT / "scripts" / "explained.py"))["norms"]
    rates = torch.tensor([0.1, 0.1, 0.1, 0.03, 0.3], dtype=torch.float64)
    noises = torch.tensor([0.0, 0.3, 1.0, 0.3, 0.3], dtype=torch.float64)
    length = norms(rates, noises, steps=600)
    assert (length.diff(dim=0) >= -1e-12).all()  # it never falls
    still, base, noisier, slower, faster = length[-1]
    assert still < 1.1
    assert length[-1, 0] - length[300, 0] < 1e-6  # at the minimum nothing is left to grow by
    assert slower < base < min(noisier, faster)
    # ‖v‖⁴ ≈ 1 + 2 η² σ² g² (k − 1) t, with g = 1 and k = 20
    law = (1 + 2 * (rates * noises) ** 2 * 19 * 600) ** 0.25
    close(length[-1, 1:], law[1:], 0.1)


# From equation 3 to equation 4


def test_equation_3_becomes_equation_4_line_by_line() -> None:
    k = 3
    v = sympy.Matrix(sympy.symbols("v1:4", real=True))
    d = sympy.Matrix(sympy.symbols("d1:4", real=True))  # ∇_w L
    g = sympy.Symbol("g", real=True, nonzero=True)
    n = sympy.sqrt(v.dot(v))
    w = v * (g / n)
    gradient_g = d.dot(v) / n
    lines = [
        sympy.Matrix([sympy.diff(d.dot(w), x) for x in v]),  # the chain rule: L has the gradient d
        g / n * d - g * gradient_g / n**2 * v,  # eq. 3
        g / n * d - g / n**3 * d.dot(v) * v,  # ∇_g put in
        g / n * d - g / n**3 * v * (v.T * d),  # a number times v is v times a number
        g / n * (sympy.eye(k) - v * v.T / n**2) * d,  # g/‖v‖ and d taken out
        g / n * (sympy.eye(k) - w * w.T / w.dot(w)) * d,  # vvᵀ/‖v‖² = wwᵀ/‖w‖²: eq. 4
    ]
    for line, following in pairwise(lines):
        assert sympy.simplify(line - following) == sympy.zeros(k, 1)
    assert sympy.simplify(w.dot(w) - g**2) == 0


# Projection or reflection?


def test_m_is_a_projection_of_rank_k_minus_1_and_no_reflection() -> None:
    w = V[0]
    one, m = torch.eye(5, dtype=torch.float64), projection(w)
    reflection = one - 2 * torch.outer(w, w) / w.dot(w)
    close(m @ m, m)
    assert torch.linalg.matrix_rank(m) == 4
    close(m @ w, torch.zeros_like(w))
    close(reflection @ reflection, one)
    assert torch.linalg.matrix_rank(reflection) == 5
    close(reflection @ w, -w)
    close(m, (one + reflection) / 2)
    x = V[1]
    assert (m @ x).norm() < 0.999 * x.norm()
    close((reflection @ x).norm(), x.norm())


# What decreases?


def test_the_factor_before_the_gradient_falls_and_g_need_not() -> None:
    v, g = V[:1], G[:1].detach()
    gradient = gradient_v(v, g, GRADIENT_W[:1])
    close((gradient * v).sum(1), torch.zeros(1, dtype=torch.float64))  # ⟂
    for rate in (0.01, 1.0, 100.0, 1e4):
        step = -rate * gradient
        c = step.norm() / v.norm()
        after = v + step
        close(after.norm(dim=1), norm_growth(v, step))
        close(g / after.norm(), g / v.norm() / (1 + c**2) ** 0.5)
        # the next step's c, if M_w ∇_w is as long as it was: at most one half, at any rate
        again = draw(1, 5, seed=3)
        again = again - (again * after).sum() / after.square().sum() * after
        again = again / again.norm() * (projection(v[0]) @ GRADIENT_W[0]).norm()
        next_c = rate * gradient_v(after, g, again).norm() / after.norm()
        close(next_c, c / (1 + c**2))
        assert next_c <= 0.5
    grows = g - 0.1 * gradient_g(v, -weight(v, g.abs()))
    assert (grows > g).all()  # g goes where its own gradient says


# Is batch norm the general case?


def test_batch_norm_measures_v_by_the_inputs_covariance() -> None:
    x = draw(50, 5) @ draw(5, 5, seed=1) + 3
    mean, covariance = x.mean(0), torch.cov(x.T, correction=0)
    v, g, b = V, G.detach(), draw(3, seed=4)
    length = ((v @ covariance) * v).sum(1).sqrt()
    close(batch_norm(x @ v.T, g, b, eps=0.0), g / length * ((x - mean) @ v.T) + b)
    close(torch.cov(whitened(50, 5).T, correction=0), torch.eye(5, dtype=torch.float64))
    x = whitened(50, 5)
    close(batch_norm(x @ v.T, g, b, eps=0.0), x @ weight(v, g).T + b)


def sigma_over_length(x: Tensor, v: Tensor, padding: int) -> Tensor:
    """σ[t]/‖v‖ of a convolution's units, over (N, H, W): 1 where batch norm is weight norm."""
    t = conv2d(x, v, padding=padding).movedim(1, -1).flatten(0, -2)
    return moments(t)[1] / v.flatten(1).norm(dim=1)


def test_for_a_convolution_whitened_channels_are_not_enough() -> None:
    n, channels, side = 400, 2, 5
    v = draw(4, channels, 3, 3, seed=1)
    one = torch.ones(4, dtype=torch.float64)
    # every pixel white beside every other: then each patch is white, and they are equal
    white = whitened(n, channels * side**2).view(n, channels, side, side)
    close(sigma_over_length(white, v, padding=0), one)
    # a border of zeros takes variance away
    assert (sigma_over_length(white, v, padding=1) < 0.95).all()
    # channels white at each pixel, but neighbours alike, as in images
    smooth = conv2d(
        draw(n, channels, side + 4, side + 4), torch.ones(2, 1, 5, 5).double(), groups=2
    )
    rows = smooth.movedim(1, -1).reshape(-1, channels)
    rows = rows - rows.mean(0)
    factor = torch.linalg.cholesky(torch.linalg.inv(rows.T @ rows / len(rows)))
    images = (rows @ factor).view(n, side, side, channels).movedim(-1, 1)
    by_pixel = images.movedim(1, -1).reshape(-1, channels)
    close(torch.cov(by_pixel.T, correction=0), torch.eye(channels, dtype=torch.float64))
    assert ((sigma_over_length(images, v, padding=0) - 1).abs() > 0.1).any()
    patches = unfold(images, 3).movedim(1, -1).flatten(0, 1)
    covariance = torch.cov(patches.T, correction=0)
    assert (covariance - torch.eye(len(covariance), dtype=torch.float64)).abs().max() > 0.5


# The init


def four_layers() -> nn.Sequential:
    torch.manual_seed(0)
    sizes = (2, 6, 6, 6, 6)
    layers = [
        layer
        for ins, outs in pairwise(sizes)
        for layer in (WeightNormConv2d(ins, outs, 3, padding=1), nn.LeakyReLU(0.1))
    ]
    return nn.Sequential(*layers).double()


def test_the_init_goes_layer_by_layer_with_statistics_over_images_and_places() -> None:
    model, x = four_layers(), 3 * draw(8, 2, 7, 7) + 2
    data_dependent_init(model, x)
    by_hand = x
    for layer in model:
        if isinstance(layer, WeightNormConv2d):
            assert layer.bias is not None
            direction = layer.v / layer.v.flatten(1).norm(dim=1)[:, None, None, None]
            t = conv2d(by_hand, direction, padding=1)
            g, b = initial_g_b(t.movedim(1, -1).flatten(0, -2).detach())
            close(layer.g.detach(), g)
            close(layer.bias.detach(), b)
            by_hand = g[:, None, None] * t + b[:, None, None]
            var, mean = torch.var_mean(by_hand, (0, 2, 3), correction=0)
            close(mean, torch.zeros_like(mean), 1e-9)
            close(var, torch.ones_like(var), 1e-9)
        else:
            by_hand = layer(by_hand)
    close(model(x), by_hand, 1e-9)


def test_all_layers_at_once_from_one_pass_would_be_wrong() -> None:
    """Each layer's statistics taken with the layers below still at g = 1, b = 0."""
    model, x = four_layers(), 3 * draw(8, 2, 7, 7) + 2
    layers = [layer for layer in model if isinstance(layer, WeightNormConv2d)]
    found, h = [], x
    with torch.no_grad():
        for layer in layers:
            layer.g.fill_(1)
            layer.bias.zero_()  # type: ignore[union-attr]
        for layer in model:
            h = layer(h)
            if isinstance(layer, WeightNormConv2d):
                found.append(initial_g_b(h.movedim(1, -1).flatten(0, -2)))
        for layer, (g, b) in zip(layers, found, strict=True):
            layer.g.copy_(g)
            layer.bias.copy_(b)  # type: ignore[union-attr]
        var, mean = torch.var_mean(model[:-1](x), (0, 2, 3), correction=0)
    assert mean.abs().max() > 0.3 or (var - 1).abs().max() > 0.3


# Conditioning


def test_taking_w_out_helps_where_w_is_the_dominant_eigenvector_alone() -> None:
    c = torch.diag(torch.tensor([100.0, 3, 2, 1], dtype=torch.float64))
    one = torch.tensor(1.0, dtype=torch.float64)
    first, other = (torch.eye(4, dtype=torch.float64)[k] for k in (0, 3))
    # all but the 0 of the direction of w itself
    close(torch.linalg.eigvalsh(gradient_covariance(first, one, c))[1:], c.diag().flip(0)[:-1])
    assert torch.linalg.eigvalsh(gradient_covariance(other, one, c))[-1] > 99.9


# Optimisers and batch norm of the notes


def test_where_epsilon_stands() -> None:
    w, zero = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    tiny = torch.tensor([1e-8], dtype=torch.float64)
    ours = -adam(w, tiny, zero, zero, 1, lr=1.0, beta1=0.9, beta2=0.999, eps=1e-8)[0].item()
    p = w.clone().requires_grad_()
    p.grad = tiny
    torch.optim.Adam([p], lr=1.0, eps=1e-8).step()
    assert ours == pytest.approx(1e-4, rel=1e-6)  # 1e-8/√(1e-16 + 1e-8)
    assert -p.item() == pytest.approx(0.5, rel=1e-6)  # 1e-8/(1e-8 + 1e-8)
    # batch norm: σ + ε in the notes, √(σ² + ε) in the authors' code and in torch
    z = 1e-6 * draw(20, 1)
    sigma = moments(z)[1]
    close(standardised(z, eps=1e-5), (z - z.mean(0)) / (sigma + 1e-5))
    theirs = torch.nn.functional.batch_norm(z, None, None, training=True, eps=1e-5)
    close(theirs, (z - z.mean(0)) / (sigma**2 + 1e-5).sqrt())
    assert standardised(z, eps=1e-5).abs().max() > 100 * theirs.abs().max()


def test_the_notes_adadelta_is_rmsprop() -> None:
    w, gradient, lr, decay = draw(6), draw(6, seed=1), 0.1, 0.9
    ours = adadelta(w, gradient, torch.zeros_like(w), lr=lr, gamma=decay, eps=1e-12)[0]
    for optimiser, same in (
        (lambda p: torch.optim.RMSprop(p, lr=lr, alpha=decay, eps=1e-12), True),
        (lambda p: torch.optim.Adadelta(p, lr=lr, rho=decay, eps=1e-12), False),
    ):
        p = w.clone().requires_grad_()
        p.grad = gradient.clone()
        optimiser([p]).step()
        assert ((p.detach() - ours).abs().max() < 1e-9) == same
