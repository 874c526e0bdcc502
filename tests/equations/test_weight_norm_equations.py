"""The paper's eq. 1 to 4, the projection M_w, the norm's growth and the gradients' covariance."""

import math
from collections.abc import Callable

import pytest
import torch
from comparison import assert_close, differences, draw
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wnrepro.equations import (
    gradient_covariance,
    gradient_g,
    gradient_v,
    gradient_v_projected,
    norm_growth,
    projection,
    unit,
    weight,
)

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)
scales = st.sampled_from([1e-100, 1e-3, 1.0, 1e3, 1e100])


def layer(units: int, inputs: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """v of any length, and g of either sign."""
    return scale * draw(units, inputs, seed=seed), draw(units, seed=seed + 1)


def torchs_weight(v: Tensor, g: Tensor) -> Tensor:
    return torch._weight_norm(v, g[:, None], 0)


@given(batch=sizes, units=sizes, inputs=sizes, seed=seeds)
@pytest.mark.parametrize("phi", [torch.relu, torch.tanh, lambda t: F.leaky_relu(t, 0.1)])
def test_eq_1_is_torchs_linear_and_the_nonlinearity(phi, batch, units, inputs, seed):
    x, w, b = draw(batch, inputs, seed=seed), draw(units, inputs, seed=1), draw(units, seed=2)
    assert_close(unit(x, w, b, phi), phi(F.linear(x, w, b)), scale=10.0)


def test_eq_1_and_2_worked_by_hand():
    v = torch.tensor([[3.0, 4.0], [0.0, -2.0]], dtype=torch.float64)
    g, b = torch.tensor([[10.0, 3.0], [1.0, -5.0]], dtype=torch.float64)
    w = weight(v, g)
    assert w.tolist() == [[6, 8], [0, -3]]
    x = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    assert unit(x, w, b, torch.relu).tolist() == [[0, 0]]
    assert unit(x, w, b, torch.negative).tolist() == [[1, 2]]


@given(units=sizes, inputs=sizes, seed=seeds, scale=scales)
def test_eq_2_is_torchs_and_has_the_norm_g_whatever_v_is(units, inputs, seed, scale):
    v, g = layer(units, inputs, seed, scale)
    w = weight(v, g)
    assert_close(w.norm(dim=1), g.abs())
    assert_close(w, weight(v / scale, g))
    assert_close(w, torchs_weight(v / scale, g))
    # of torch.nn.functional's own, an independent way to the direction
    assert_close(w, g[:, None] * F.normalize(v / scale, dim=1))


@given(units=sizes, inputs=sizes, seed=seeds, scale=scales)
def test_eq_3_and_4_are_the_gradients_by_autograd(units, inputs, seed, scale):
    v, g = layer(units, inputs, seed, scale)
    upstream = draw(units, inputs, seed=seed + 2)
    by_autograd_g, by_autograd_v = torch.autograd.grad(
        torchs_weight(v.requires_grad_(), g.requires_grad_()), (g, v), upstream
    )
    v, g = v.detach(), g.detach()
    # The two terms of ∇_v cancel wholly where there is one input: held against their own size.
    terms = (g / v.norm(dim=1))[:, None] * upstream
    assert_close(gradient_g(v, upstream), by_autograd_g, scale=upstream)
    for formula in (gradient_v, gradient_v_projected):
        gradient = formula(v, g, upstream)
        assert_close(gradient, by_autograd_v, scale=terms)
        for a, one, size in zip(gradient, v, terms, strict=True):
            assert abs(a @ one) <= 1e-10 * size.norm() * one.norm()  # ∇_v ⟂ v
        if inputs == 1:
            assert_close(gradient, torch.zeros_like(v), scale=terms)


@given(units=sizes, inputs=sizes, seed=seeds)
def test_eq_3_and_4_are_the_gradients_of_a_loss_by_autograd_and_by_differences(units, inputs, seed):
    v, g = layer(units, inputs, seed)
    v = v + v.sign()  # further from 0 than the differences below reach
    x, b, target = draw(7, inputs, seed=2), draw(units, seed=3), draw(7, units, seed=4)

    def loss(w: Tensor) -> Tensor:
        return (unit(x, w, b, torch.tanh) - target).square().mean()

    w = weight(v, g).requires_grad_()
    (gradient_w,) = torch.autograd.grad(loss(w), w)
    ours = gradient_g(v, gradient_w), gradient_v(v, g, gradient_w)
    g.requires_grad_()
    v.requires_grad_()
    direction = v / v.square().sum(1, keepdim=True).sqrt()
    theirs = torch.autograd.grad(loss(g[:, None] * direction), (g, v))
    assert_close(ours[0], theirs[0], scale=gradient_w)
    assert_close(ours[1], theirs[1], scale=gradient_w * g.abs().max())
    v, g = v.detach(), g.detach()
    # Looser: truncation h⁴·|5th derivative| and rounding 1e-16/h, both about 1e-12 at h = 1e-3.
    for gradient, numeric, size in (
        (ours[0], differences(lambda g: loss(weight(v, g)), g, 1e-3), 1.0),
        (ours[1], differences(lambda v: loss(weight(v, g)), v, 1e-3), 1 + g.abs().max()),
    ):
        assert_close(gradient, numeric, scale=size, tolerance=1e-8)


@given(units=sizes, inputs=sizes, seed=seeds)
def test_where_g_is_0_eq_3_and_4_still_are_the_gradients(units, inputs, seed):
    v, _ = layer(units, inputs, seed)
    g, upstream = torch.zeros(units, dtype=torch.float64), draw(units, inputs, seed=1)
    by_autograd = torch.autograd.grad(torchs_weight(v, g.requires_grad_()), g, upstream)[0]
    g = g.detach()
    assert_close(gradient_g(v, upstream), by_autograd, scale=upstream)
    assert (gradient_v(v, g, upstream) == 0).all()
    assert (gradient_v_projected(v, g, upstream) == 0).all()


@given(inputs=st.integers(1, 7), seed=seeds, scale=scales)
def test_the_projection(inputs, seed, scale):
    w = scale * draw(inputs, seed=seed)
    m = projection(w)
    assert torch.equal(m, m.T)
    assert_close(m @ m, m, scale=1.0)
    assert_close(m @ (w / scale), torch.zeros_like(w), scale=w / scale)
    trace = torch.tensor(float(inputs - 1), dtype=torch.float64)
    assert_close(m.trace(), trace, scale=1.0)
    # w is the first of an orthonormal basis; M_w keeps the others
    random = draw(inputs, inputs, seed=seed + 1)
    basis, _ = torch.linalg.qr(torch.cat([(w / scale)[:, None], random], 1))
    others = basis[:, 1:]
    assert_close(m @ others, others)
    assert_close(m, others @ others.T, scale=1.0)
    assert_close(m, projection(-2 * w / scale), scale=1.0)  # of the line alone


@given(units=sizes, inputs=sizes, seed=seeds, lr=st.floats(1e-3, 1e3))
def test_the_norm_grows_by_the_law_under_gradient_descent(units, inputs, seed, lr):
    v, g = layer(units, inputs, seed)
    # ‖v‖ ≥ 1, as lr/‖v‖ multiplies the rounding errors of a ∇_v that one input makes 0
    v = v + F.normalize(v, dim=1)
    target = draw(units, inputs, seed=2)
    p = torch.nn.Parameter(v.clone())
    optimizer = torch.optim.SGD([p], lr=lr)
    for _ in range(3):
        before = p.detach().clone()
        optimizer.zero_grad()
        (torchs_weight(p, g) - target).square().sum().backward()
        optimizer.step()
        after = p.detach()
        assert_close(after.norm(dim=1), norm_growth(before, after - before))
        assert (after.norm(dim=1) >= before.norm(dim=1) * (1 - 1e-10)).all()


def test_the_norms_growth_worked_by_hand():
    v = torch.tensor([[3.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    delta_v = torch.tensor([[0.0, 4.0], [-12.0, 0.0]], dtype=torch.float64)
    # 3, 4, 5 and 5, 12, 13
    assert norm_growth(v, delta_v).tolist() == pytest.approx([5, 13], rel=1e-15)


@pytest.mark.parametrize(
    "optimizer",
    [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.Adam(p, 0.1)],
)
def test_with_momentum_and_adam_the_law_misses_twice_the_inner_product(
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
):
    v, g = layer(4, 5, seed=0)
    target = draw(4, 5, seed=2)
    p = torch.nn.Parameter(v.clone())
    before, its = v, optimizer([p])
    for _ in range(3):
        before = p.detach().clone()
        its.zero_grad()
        (torchs_weight(p, g) - target).square().sum().backward()
        its.step()
    step = p.detach() - before
    norm, law = p.detach().norm(dim=1), norm_growth(before, step)
    assert ((norm - law).abs() > 1e-4).all()
    assert_close(norm**2 - law**2, 2 * (before * step).sum(1), scale=norm**2)


@given(inputs=st.integers(1, 5), seed=seeds, scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_D_is_the_covariance_of_the_gradients_of_v(inputs, seed, scale):
    v, g = layer(1, inputs, seed, scale)
    gradients_w = draw(20, inputs, seed=seed + 2)
    v.requires_grad_()
    gradients_v = torch.stack(
        [torch.autograd.grad(torchs_weight(v, g), v, one[None])[0][0] for one in gradients_w]
    )
    v = v.detach()
    c = torch.cov(gradients_w.T).reshape(inputs, inputs)
    d = gradient_covariance(v[0], g[0], c)
    expected = torch.cov(gradients_v.T).reshape(inputs, inputs)
    size = c * (g[0] / v.norm()) ** 2
    assert_close(d, expected, scale=size)
    assert_close(d @ v[0] / v.norm(), torch.zeros_like(v[0]), scale=size)


@given(inputs=st.integers(3, 6), seed=seeds)
def test_D_loses_the_dominant_eigenvalue_of_C_where_w_is_its_eigenvector(inputs, seed):
    basis, _ = torch.linalg.qr(draw(inputs, inputs, seed=seed))
    eigenvalues = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)[: inputs - 1]
    eigenvalues = torch.cat([eigenvalues, eigenvalues.new_tensor([1000.0])])
    c = basis @ eigenvalues.diag() @ basis.T
    v, g = 2 * basis[:, -1], torch.tensor(3.0, dtype=torch.float64)
    left = torch.linalg.eigvalsh(gradient_covariance(v, g, c))
    assert_close(left[:1], torch.zeros(1, dtype=torch.float64), scale=1000.0)
    assert_close(left[1:], 9 / 4 * eigenvalues[:-1], scale=1000.0)
    # so the condition number falls from 1000 to inputs − 1 on the space that is left
    assert left[-1] / left[1] < 5.0001 < 1000


@pytest.mark.parametrize(("of_v", "of_g"), [(1e-140, 1e100), (1e149, 1e160), (1e149, 1e-100)])
def test_far_from_1_the_results_that_float64_holds_are_right(of_v, of_g):
    """∇_v is of order g/‖v‖ and D of its square, whatever the squares of g and ‖v‖ are."""
    v, g = layer(2, 3, seed=0)
    upstream, c = draw(2, 3, seed=2), draw(3, 3, seed=3)
    expected = gradient_v(v, g, upstream)
    for formula in (gradient_v, gradient_v_projected):
        assert_close(formula(of_v * v, of_g * g, upstream) / (of_g / of_v), expected)
    if 1e-150 < of_g / of_v < 1e150:  # beyond D itself is out of range
        d = gradient_covariance(of_v * v[0], of_g * g[0], c) / (of_g / of_v) ** 2
        assert_close(d, gradient_covariance(v[0], g[0], c))


def test_the_norms_growth_where_the_step_is_far_longer_or_shorter_than_v():
    for length, step in ((1e-140, 1e100), (1.0, 1e149), (1e149, 1e-149), (1e-149, 1e-149)):
        v = torch.tensor([[length, 0.0]], dtype=torch.float64)
        delta_v = torch.tensor([[0.0, step]], dtype=torch.float64)
        assert norm_growth(v, delta_v).item() == pytest.approx(math.hypot(length, step), rel=1e-14)
        assert norm_growth(v, 0 * delta_v).item() == pytest.approx(length, rel=1e-14)


V, G = draw(2, 3), draw(2, seed=1)
NUMBER = draw(seed=2)
ZERO = V * torch.tensor([[1.0], [0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weight(ZERO, G), r"v has norm 0 and so no direction \(vector 1 of 2\)"),
        (lambda: gradient_g(ZERO, V), "norm 0"),
        (lambda: gradient_v(ZERO, G, V), "norm 0"),
        (lambda: gradient_v_projected(ZERO, G, V), "norm 0"),
        (lambda: projection(ZERO[1]), "w has norm 0"),
        (lambda: norm_growth(ZERO, V), "norm 0"),
        (lambda: gradient_covariance(ZERO[1], NUMBER, draw(3, 3)), "norm 0"),
        (lambda: weight(1e-160 * V, G), "the norm of v must lie between 1e-150 and 1e"),
        (lambda: weight(1e160 * V, G), "the norm of v must lie between"),
        (lambda: weight(V * float("nan"), G), "the norm of v must lie between"),
        (lambda: weight(V.float(), G), "v must be float64, got float32"),
        (lambda: weight(V, G.long()), "g must be float64, got int64"),
        (lambda: weight(V, G[:, None]), r"g must have shape \(units=2\), got \(2, 1\)"),
        (lambda: weight(V, draw(3)), r"g must have shape \(units=2\), got \(3,\)"),
        (lambda: weight(V[0], G), r"v must have shape \(units, inputs\), got \(3,\)"),
        (lambda: unit(draw(4, 2), V, G, torch.relu), r"w must have shape \(units, inputs=2\)"),
        (lambda: unit(draw(4, 3), V, NUMBER, torch.relu), r"b must have shape \(units=2\)"),
        (lambda: gradient_g(V, V[0]), "gradient_w must have shape"),
        (lambda: gradient_v(V, G, V.T), "gradient_w must have shape"),
        (lambda: gradient_v_projected(V, V, V), "g must have shape"),
        (lambda: projection(V), r"w must have shape \(inputs\), got \(2, 3\)"),
        (lambda: norm_growth(V, V[:1]), "delta_v must have the shape of v"),
        (lambda: norm_growth(V[0], V[0]), "v must have shape"),
        (lambda: norm_growth(V, 1e200 * V), "the norm of delta_v must lie between"),
        (lambda: norm_growth(V, V * float("nan")), "the norm of delta_v must lie between"),
        (lambda: gradient_covariance(V[0], G, draw(3, 3)), r"g must have shape \(\), got \(2,\)"),
        (lambda: gradient_covariance(V[0], NUMBER, draw(3, 2)), "c must have shape"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
