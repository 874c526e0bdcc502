"""weight_norm(v, g) is the paper's eq. 2, and its derivatives are right, of every kind."""

from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrizations

from wnrepro.nn.weight_norm import norm, split, weight_norm

# Torch's own, the first time forward-mode AD is used in a process.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

jvp: Any = torch.func.jvp  # its stub does not tell has_aux apart
DIMS = [0, 1, -1, None, (0, 1), (0, 2), (-1, 0), (0, 1, 2)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def summed(ndim: int, dim: int | tuple[int, ...] | None) -> list[int]:
    kept = () if dim is None else (dim,) if isinstance(dim, int) else dim
    return [axis for axis in range(ndim) if axis not in {k % ndim for k in kept}]


def v_and_g(dim: int | tuple[int, ...] | None, shape: tuple[int, ...] = (4, 3, 5)):
    axes = summed(len(shape), dim)
    v = draw(*shape)
    g = draw(*(1 if axis in axes else size for axis, size in enumerate(shape)), seed=1)
    return v, g, axes


def eq2(v: Tensor, g: Tensor, axes: list[int]) -> Tensor:
    squares = v * v
    for axis in axes:
        squares = squares.sum(axis, keepdim=True)
    return g * v / squares**0.5


@st.composite
def shapes_and_dims(draw_from: st.DrawFn):
    shape = tuple(draw_from(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    axes = [sub for k in range(len(shape) + 1) for sub in combinations(range(len(shape)), k)]
    kept = draw_from(st.sampled_from(axes))
    signs = [draw_from(st.booleans()) for _ in kept]
    named = [a - len(shape) if s else a for a, s in zip(kept, signs, strict=True)]
    dim = tuple(draw_from(st.permutations(named)))
    if len(dim) == 1 and draw_from(st.booleans()):
        return shape, kept, dim[0]
    return shape, kept, dim if dim or draw_from(st.booleans()) else None


@settings(deadline=None, max_examples=150)
@given(shapes_and_dims(), st.booleans())
def test_equals_eq_2_for_every_shape_dim_and_layout_of_g(case, short: bool):
    shape, kept, dim = case
    axes = [axis for axis in range(len(shape)) if axis not in kept]
    v = draw(*shape)
    g = draw(*(1 if axis in axes else size for axis, size in enumerate(shape)), seed=1)
    given_g = g.reshape([shape[axis] for axis in kept]) if short else g
    w = weight_norm(v, given_g, dim)
    assert w.shape == v.shape
    torch.testing.assert_close(w, eq2(v, g, axes))
    # ‖w‖ = |g|, whatever v is
    torch.testing.assert_close(norm(w, dim), g.abs().reshape([shape[axis] for axis in kept]))


@pytest.mark.parametrize("dim", DIMS)
def test_gradients_are_eq_3_and_eq_4(dim):
    v, g, axes = v_and_g(dim)
    upstream = draw(*v.shape, seed=2)
    grad_v, grad_g = torch.autograd.grad(
        weight_norm(v.requires_grad_(), g.requires_grad_(), dim), (v, g), upstream
    )

    def over(t: Tensor) -> Tensor:
        return t.sum(axes, keepdim=True) if axes else t

    with torch.no_grad():
        length = over(v**2) ** 0.5
        eq3_g = over(upstream * v) / length
        eq3_v = g / length * upstream - g * eq3_g / length**2 * v
        w = g * v / length
        eq4_v = g / length * (upstream - w * over(w * upstream) / over(w * w))
    torch.testing.assert_close(grad_g, eq3_g)
    torch.testing.assert_close(grad_v, eq3_v)
    torch.testing.assert_close(grad_v, eq4_v)
    torch.testing.assert_close(over(grad_v * v.detach()), torch.zeros_like(g))  # ∇_v ⟂ v


@pytest.mark.parametrize("dim", DIMS)
def test_first_second_and_forward_derivatives_against_finite_differences(dim):
    v, g, _ = v_and_g(dim, (3, 2, 4))
    inputs = (v.requires_grad_(), g.requires_grad_())
    assert gradcheck(
        lambda v, g: weight_norm(v, g, dim),
        inputs,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert gradgradcheck(
        lambda v, g: weight_norm(v, g, dim),
        inputs,
        check_fwd_over_rev=True,
        check_rev_over_rev=True,
    )


def test_jvp_is_the_directional_derivative():
    v, g, _ = v_and_g(0)
    dv, dg = draw(*v.shape, seed=3), draw(*g.shape, seed=4)
    w, dw = jvp(weight_norm, (v, g), (dv, dg))
    torch.testing.assert_close(w, weight_norm(v, g))
    h = 1e-6
    central = weight_norm(v + h * dv, g + h * dg) - weight_norm(v - h * dv, g - h * dg)
    torch.testing.assert_close(dw, central / (2 * h), rtol=1e-7, atol=1e-8)


def test_vmap_over_v_over_g_and_over_gradients():
    v, g = draw(6, 4, 3), draw(6, 4, seed=1)
    one_by_one = torch.stack([weight_norm(*pair) for pair in zip(v, g, strict=True)])
    torch.testing.assert_close(torch.func.vmap(weight_norm)(v, g), one_by_one)
    over_v = torch.func.vmap(weight_norm, (0, None))(v, g[0])
    torch.testing.assert_close(over_v, torch.stack([weight_norm(row, g[0]) for row in v]))
    over_g = torch.func.vmap(weight_norm, (None, 0))(v[0], g)
    torch.testing.assert_close(over_g, torch.stack([weight_norm(v[0], row) for row in g]))

    def loss(v: Tensor, g: Tensor) -> Tensor:
        return weight_norm(v, g).sin().sum()

    gradient = torch.func.grad(loss, (0, 1))
    per_sample = torch.func.vmap(gradient)(v, g)
    for i in range(6):
        torch.testing.assert_close((per_sample[0][i], per_sample[1][i]), gradient(v[i], g[i]))


def test_hessians_agree_with_each_other_and_are_symmetric():
    v, g = draw(2, 3), draw(2, seed=1)

    def loss(v: Tensor) -> Tensor:
        return weight_norm(v, g).sin().sum()

    by_hessian = torch.func.hessian(loss)(v).reshape(6, 6)
    by_reverse = torch.func.jacrev(torch.func.jacrev(loss))(v).reshape(6, 6)
    by_formula = torch.autograd.functional.hessian(lambda v: eq2(v, g[:, None], [1]).sin().sum(), v)
    assert isinstance(by_formula, Tensor)
    torch.testing.assert_close(by_hessian, by_hessian.T)
    torch.testing.assert_close(by_hessian, by_reverse)
    torch.testing.assert_close(by_hessian, by_formula.reshape(6, 6))


@pytest.mark.parametrize("dim", [0, 2])
def test_agrees_with_torch_where_torch_is_right(dim: int):
    v, g, _ = v_and_g(dim)
    theirs = parametrizations._WeightNorm(dim)(g, v)
    torch.testing.assert_close(weight_norm(v, g, dim), theirs)


@pytest.mark.parametrize("dim", [0, 1, (0, 1)])
def test_zero_slice_gives_zero_weight_and_finite_derivatives(dim):
    shape = (3, 2, 4)
    axes = summed(3, dim)
    v, g, _ = v_and_g(dim, shape)
    zero = torch.zeros(g.shape, dtype=torch.bool).index_fill(
        0 if 0 not in axes else 1, torch.tensor([1]), True
    )
    v = v.masked_fill(zero, 0).requires_grad_()
    g.requires_grad_()
    upstream = draw(*shape, seed=2).requires_grad_()
    w = weight_norm(v, g, dim)
    assert (w[zero.expand(shape)] == 0).all()
    assert (w[~zero.expand(shape)] != 0).all()

    grad_v, grad_g = torch.autograd.grad(w, (v, g), upstream, create_graph=True)
    assert (grad_g[zero] == 0).all()
    torch.testing.assert_close(grad_v[zero.expand(shape)], (g * upstream)[zero.expand(shape)])
    second = torch.autograd.grad(
        grad_v.sin().sum() + grad_g.sin().sum(), (v, g, upstream), create_graph=True
    )
    third = torch.autograd.grad(torch.stack([t.sin().sum() for t in second]).sum(), (v, g))
    for derivative in (grad_v, grad_g, *second, *third):
        assert derivative.isfinite().all()

    def loss(v: Tensor, g: Tensor) -> Tensor:
        return weight_norm(v, g, dim).sin().sum()

    _, tangent = jvp(loss, (v, g), (torch.ones_like(v), torch.ones_like(g)))
    assert tangent.isfinite()
    for row in torch.func.hessian(loss, (0, 1))(v.detach(), g.detach()):
        for block in row:
            assert block.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "memory_format"),
    [((6, 4, 3, 3), torch.channels_last), ((6, 4, 3, 3, 3), torch.channels_last_3d)],
)
def test_memory_format_of_v_is_kept(shape, memory_format):
    v = draw(*shape).to(memory_format=memory_format)
    g = draw(6, seed=1)
    w = weight_norm(v, g)
    assert w.stride() == v.stride()
    assert not w.is_contiguous()
    torch.testing.assert_close(w, weight_norm(v.contiguous(), g))
    assert split(v)[0].stride() == v.stride()


@pytest.mark.parametrize("shape", [(6, 1, 3, 3), (6, 4, 1, 1), (6, 1, 1, 1)])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("zero", [False, True])
def test_so_is_one_that_torch_calls_contiguous_too(shape, memory_format, zero: bool):
    """Of one input channel or one place. A convolution's output takes it from its weight."""
    v = draw(*shape).to(memory_format=memory_format).requires_grad_()
    if zero:
        v.data[0] = 0
    w = weight_norm(v, draw(6, seed=1))
    assert w.stride() == v.stride()
    (gradient,) = torch.autograd.grad(w.square().sum(), v)
    assert gradient.stride() == v.stride()


@settings(deadline=None, max_examples=150)
@given(shapes_and_dims(), st.lists(st.integers(1, 4), max_size=6))
def test_every_other_shape_of_g_is_refused_by_name(case, wrong: list[int]):
    shape, kept, dim = case
    short = tuple(shape[axis] for axis in kept)
    long = tuple(size if axis in kept else 1 for axis, size in enumerate(shape))
    v, g = draw(*shape), draw(*wrong)
    if tuple(wrong) in (short, long):
        assert weight_norm(v, g, dim).shape == v.shape
        return
    with pytest.raises(ValueError, match="g must have shape") as error:
        weight_norm(v, g, dim)
    message = str(error.value)
    assert "\n" not in message
    assert all(str(s) in message for s in (short, long, shape, tuple(wrong)))


@pytest.mark.parametrize(
    ("dim", "error", "named"),
    [
        (3, IndexError, "axis 3 of a tensor with 3 axes"),
        (-4, IndexError, "axis -4"),
        ((0, 5), IndexError, "axis 5"),
        ((0, 0), ValueError, "an axis twice"),
        ((0, -3), ValueError, "an axis twice"),
        (0.0, TypeError, "got 0.0"),
        ("0", TypeError, "got '0'"),
        ((0, None), TypeError, "None"),
    ],
)
@pytest.mark.parametrize("function", [lambda v, dim: weight_norm(v, v, dim), norm, split])
def test_a_wrong_dim_is_refused(function, dim, error, named):
    with pytest.raises(error, match=named) as raised:
        function(draw(2, 3, 4), dim)
    assert "\n" not in str(raised.value)


def test_a_scalar_has_no_axis_to_keep():
    v, g = torch.tensor(-3.0), torch.tensor(2.0)
    assert weight_norm(v, g, None) == -2
    with pytest.raises(IndexError):
        weight_norm(v, g, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(dtype: torch.dtype):
    # A sum of 4096 squares loses its tail in either of the two dtypes; 300² overflows float16.
    v = (300 * draw(2, 4096)).to(dtype)
    g = torch.tensor([0.5, 7.0], dtype=dtype)
    w = weight_norm(v, g)
    assert w.dtype == dtype
    exact = eq2(v.double(), g.double()[:, None], [1])
    torch.testing.assert_close(w.double(), exact, rtol=1.1 * torch.finfo(dtype).eps, atol=1e-6)
    grad_v, grad_g = torch.autograd.grad(
        weight_norm(v.requires_grad_(), g.requires_grad_()).sum(), (v, g)
    )
    assert grad_v.dtype == grad_g.dtype == dtype
    assert grad_v.isfinite().all()
    assert grad_g.isfinite().all()


@pytest.mark.parametrize("scale", ["g", "norm", "large"])
@pytest.mark.parametrize("shape", [(1, 2), (3, 1), (8, 4), (64, 256), (2, 4096), (4, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_w_and_both_gradients_once(dtype: torch.dtype, shape, scale: str):
    """Against float64, element by element, also where the terms of a gradient cancel."""
    info = torch.finfo(dtype)
    large = {torch.float16: 1e4, torch.bfloat16: 1e15}[dtype]
    for dim in DIMS if len(shape) == 3 else (0, -1, None, (0, 1)):
        v, g, axes = v_and_g(dim, shape)
        v = (v * (large if scale == "large" else 1)).to(dtype)
        g = norm(v, dim).view(g.shape) if scale == "norm" else g.to(dtype)
        upstream = draw(*shape, seed=2).to(dtype)
        results = []
        for kind in (dtype, torch.float64):
            inputs = [each.to(kind, copy=True).requires_grad_() for each in (v, g)]
            w = weight_norm(*inputs, dim) if kind == dtype else eq2(*inputs, axes)
            gradients = torch.autograd.grad(w, inputs, upstream.to(kind))
            results.append([each.detach().double() for each in (w, *gradients)])
        w = results[1][0]
        grad_w = upstream.double().norm()  # of a gradient, the sizes of the terms that cancel
        terms = (w.abs().max(), (w / v.double()).abs().max() * grad_w, grad_w)
        for ours, exact, size in zip(*results, terms, strict=True):
            rounding = info.eps / 2 * exact.abs() + info.tiny * info.eps
            assert ((ours - exact).abs() <= 1.01 * rounding + 1e-6 * size).all(), dim


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_under_transformations(dtype: torch.dtype):
    v, g = draw(5, 4, 3).to(dtype), draw(5, 4, seed=1).to(dtype)
    g[0] = norm(v[0])
    one_by_one = torch.stack([weight_norm(*pair) for pair in zip(v, g, strict=True)])
    assert torch.equal(torch.func.vmap(weight_norm)(v, g), one_by_one)
    assert torch.equal(one_by_one[0], v[0])
    compiled = torch.compile(weight_norm, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(v[1], g[1]), one_by_one[1])
    _, tangent = jvp(weight_norm, (v[1], g[1]), (torch.zeros_like(v[1]), g[1]))
    torch.testing.assert_close(tangent, one_by_one[1])


def test_w_has_the_dtype_of_v_whatever_that_of_g():
    v, g = draw(3, 4), draw(3, seed=1)
    for dtype_v in (torch.float64, torch.float32, torch.bfloat16):
        for dtype_g in (torch.float64, torch.float32, torch.bfloat16):
            assert weight_norm(v.to(dtype_v), g.to(dtype_g)).dtype == dtype_v


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_the_length_of_v_does_not_matter(factor: float):
    v, g, _ = v_and_g(0)
    torch.testing.assert_close(weight_norm(factor * v, g), weight_norm(v, g))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", DIMS)
def test_split_is_undone_bit_for_bit(dtype: torch.dtype, dim):
    w = draw(7, 6, 5).to(dtype)
    v, g = split(w, dim)
    assert torch.equal(weight_norm(v, g, dim), w)
    assert torch.equal(v, w)
    assert torch.equal(g, norm(w, dim))
    assert v.dtype == g.dtype == dtype
    assert v.data_ptr() != w.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("exponent", [0.55, 0.75, 0.97, -0.55, -0.75, -0.97])
def test_split_of_a_weight_whose_squares_leave_the_range(dtype: torch.dtype, exponent: float):
    limit = torch.finfo(dtype).max if exponent > 0 else 1 / torch.finfo(dtype).tiny
    w = draw(3, 16).to(dtype)
    w[1] *= limit**exponent
    v, g = split(w)
    assert g.isfinite().all()
    assert torch.equal(weight_norm(v, g), w)


def test_split_gives_a_zero_slice_a_direction_to_learn_from():
    w = draw(3, 4)
    w[1] = 0
    v, g = split(w)
    assert torch.equal(weight_norm(v, g), w)
    assert torch.equal(v[1], torch.full((4,), 0.5, dtype=torch.float64))
    assert g[1] == 0
    grad_g = torch.autograd.grad(weight_norm(v, g.requires_grad_()).sum(), g)[0]
    assert grad_g[1] == 2


def test_an_empty_weight():
    v, g = split(torch.empty(0, 3))
    assert weight_norm(v, g).shape == (0, 3)
    v, g = split(torch.empty(3, 0))
    assert weight_norm(v, g).shape == (3, 0)
    assert torch.equal(g, torch.zeros(3))


def test_compiles_as_one_graph():
    v, g = draw(4, 3, 2), draw(4, seed=1)
    compiled = torch.compile(weight_norm, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(v, g), weight_norm(v, g))
    torch.testing.assert_close(compiled(v, draw(2), (-1,)), weight_norm(v, draw(2), -1))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.float8_e4m3fn])
def test_what_is_no_real_floating_point_is_refused(dtype: torch.dtype):
    v = torch.ones(3, 2).to(dtype)
    with pytest.raises(TypeError, match="real floating-point"):
        weight_norm(v, torch.ones(3).to(dtype))


def test_a_number_for_g_is_refused():
    with pytest.raises(TypeError, match="g must be a tensor, not float"):
        weight_norm(draw(3, 2), 1.0)


def test_it_can_be_traced():
    v, g = draw(3, 2).float(), draw(3).float()
    traced = make_fx(lambda v, g: weight_norm(v, g))(v, g)
    torch.testing.assert_close(traced(v + 1, g), weight_norm(v + 1, g))
