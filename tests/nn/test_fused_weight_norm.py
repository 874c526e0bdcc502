"""The fast paths of `weight_norm` against the formula they stand for, and when they are taken."""

import gc
import importlib
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from wnrepro.nn import WeightNormConv2d, WeightNormLinear, weight_norm

module = importlib.import_module("wnrepro.nn.weight_norm")  # the function has the module's name
# Torch's own, the first time forward-mode AD is used in a process.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
SHAPES = [(7, 5), (3, 1), (1, 9), (4, 3, 2), (6, 5, 3, 3), (6, 5, 1, 1), (4, 3, 2, 3, 2)]


@pytest.fixture(params=["by the kernel", "_Fused"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a CPU takes, and what a GPU does, which a CPU takes where a norm is 0."""
    if request.param == "_Fused":
        monkeypatch.setattr(module, "_by_kernel", lambda v, g: None)
    return request.param


def formula(v: Tensor, g: Tensor) -> Tensor:
    """Eq. 2 for ‖v‖ > 0."""
    return v * (
        g.view(-1, *(1,) * (v.ndim - 1))
        / v.flatten(1).norm(dim=1).view(len(v), *(1,) * (v.ndim - 1))
    )


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layouts(t: Tensor) -> list[Tensor]:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    others = [t.contiguous(memory_format=formats[t.ndim])] if t.ndim in formats else []
    return [t, t.flip(0).flip(0).transpose(0, 1).contiguous().transpose(0, 1), *others]


def taken(w: Tensor, names: tuple[str, ...] = ("_Fused", "WeightNorm")) -> bool:
    """Whether w comes from one of the two: by its node, or the one before a view."""
    assert w.grad_fn is not None
    nodes = [w.grad_fn, *(node for node, _ in w.grad_fn.next_functions if node)]
    return any(type(node).__name__.startswith(names) for node in nodes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradients_in_every_layout(shape, dtype):
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    for v in layouts(draw(shape, dtype=dtype)):
        for upstream in [
            *layouts(draw(shape, 2, dtype)),
            draw(shape[:1], 3, dtype).view(-1, *(1,) * (len(shape) - 1)).expand(shape),
        ]:
            g = draw((2 * shape[0],), 1, dtype)[::2]  # with gaps in memory
            inputs = [
                v.clone(memory_format=torch.preserve_format).requires_grad_(),
                g.requires_grad_(),
            ]
            w = weight_norm(*inputs)
            expected = formula(*inputs)
            torch.testing.assert_close(w, expected, rtol=tolerance, atol=tolerance)
            assert w.stride() == v.stride() or min(shape) == 1
            ours = torch.autograd.grad(w, inputs, upstream)
            theirs = torch.autograd.grad(expected, inputs, upstream)
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_taken_for_the_weights_of_layers(path: str):
    names = ("_Fused",) if path == "_Fused" else ("WeightNorm",)
    assert taken(WeightNormLinear(5, 3).weight, names)
    assert taken(WeightNormConv2d(5, 3, 3).weight, names)
    assert taken(WeightNormConv2d(5, 3, 3).to(memory_format=torch.channels_last).weight, names)


@pytest.mark.parametrize(
    ("v", "dim"),
    [
        (draw((3, 4)), 1),
        (draw((3, 4)), None),
        (draw((3, 4)), (0, 1)),
        (draw((3, 4)).to(torch.bfloat16), 0),
        (draw((4, 3)).t(), 0),
        (torch.empty(3, 4, device="meta"), 0),
    ],
)  # fmt: skip
def test_not_taken_where_there_is_no_kernel(v, dim):
    v = v.requires_grad_()
    g = (
        torch.ones_like(v.detach())
        if dim == (0, 1)
        else torch.ones([] if dim is None else v.shape[dim], dtype=v.dtype, device=v.device)
    )
    w = weight_norm(v, g, dim)
    assert w.shape == v.shape
    assert not taken(w)


def test_second_derivatives_through_the_fused_forward_pass():
    v, g, upstream = draw((3, 4)).requires_grad_(), draw((3,), 1).requires_grad_(), draw((3, 4), 2)
    assert taken(weight_norm(v, g))
    assert torch.autograd.gradgradcheck(weight_norm, (v, g))
    grads = []
    for function in (weight_norm, formula):
        (grad_v,) = torch.autograd.grad(function(v, g).pow(3).sum(), v, create_graph=True)
        grads.append(torch.autograd.grad((grad_v * upstream).sum(), (v, g)))
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)


LAYOUTS = {
    "plain": lambda v, g: (v, g),
    "channels last": lambda v, g: (v.to(memory_format=torch.channels_last), g),
    "g by unit": lambda v, g: (v, g.flatten()),
    "g with gaps": lambda v, g: (v, torch.stack([g, g], -1)[..., 0]),
    "a zero row": lambda v, g: (v.index_fill(0, torch.tensor([1]), 0), g),
}


def test_the_weight_may_be_changed_in_place():
    for v in layouts(draw((4, 3, 2, 2))):
        for zero in (False, True):
            v = v.index_fill(0, torch.tensor([1]), 0) if zero else v.clone()
            g = draw((4,), 1).requires_grad_()
            gradients = [
                torch.autograd.grad(w.sum(), g)[0]
                for w in (weight_norm(v, g).mul_(2), 2 * weight_norm(v, g))
            ]
            torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("learns", [(True, True), (True, False), (False, True)])
def test_one_graph_gives_every_derivative_in_any_order(layout: str, learns: tuple[bool, bool]):
    """Also where a transformation begins only after w was computed."""
    v, g = LAYOUTS[layout](draw((4, 3, 2, 2)), draw((4, 1, 1, 1), 1))
    v, g = v.requires_grad_(learns[0]), g.requires_grad_(learns[1])
    inputs = [each for each in (v, g) if each.requires_grad]
    upstream = draw((3, *v.shape), 2)
    column = g.view(4, 1, 1, 1)
    length = v.square().sum((1, 2, 3), True)
    expected_w = column * v / length.masked_fill(length == 0, 1).sqrt()
    w = weight_norm(v, g)

    def gradients(w: Tensor, grad_w: Tensor, **options: Any) -> tuple[Tensor, ...]:
        return torch.autograd.grad(w, inputs, grad_w, retain_graph=True, **options)

    def second(w: Tensor) -> tuple[Tensor, ...]:
        with_graph = gradients(w, upstream[0], create_graph=True)
        total = torch.stack([each.sin().sum() for each in (*with_graph, *inputs)]).sum()
        return torch.autograd.grad(
            total, inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )

    expected = gradients(expected_w, upstream[0])
    for _ in range(2):
        torch.testing.assert_close(gradients(w, upstream[0]), expected)
        torch.testing.assert_close(second(w), second(expected_w))
        batched = gradients(w, upstream, is_grads_batched=True)
        for k in range(3):
            one = tuple(each[k] for each in batched)
            torch.testing.assert_close(one, gradients(expected_w, upstream[k]))
        with forward_ad.dual_level():
            dual = gradients(w, forward_ad.make_dual(upstream[0], upstream[1]))
            tangents = tuple(forward_ad.unpack_dual(each).tangent for each in dual)
        torch.testing.assert_close(tangents, gradients(expected_w, upstream[1]))


def test_several_threads_take_second_derivatives_of_one_graph():
    v, g = draw((64, 512)).requires_grad_(), (draw((64,), 1).abs() + 0.5).requires_grad_()
    w = weight_norm(v, g)
    upstream = [draw((64, 512), seed).requires_grad_() for seed in range(8)]

    def first(each: Tensor) -> Tensor:
        return torch.autograd.grad(w, v, each, retain_graph=True, create_graph=True)[0]

    alone = [first(each).detach() for each in upstream]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            for its, theirs in zip(pool.map(first, upstream), alone, strict=True):
                assert torch.equal(its, theirs)


def test_a_weight_that_is_dropped_keeps_nothing():
    v = draw((4, 3)).requires_grad_()
    direction = v * 1
    kept = weakref.ref(direction)
    w = weight_norm(direction, draw((4,), 1))
    gc.disable()  # what is in a cycle would stay until the collector comes
    try:
        torch.autograd.grad(w.sum(), v, create_graph=True)
        del w, direction
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("row", [[0.0, 0.0], [1e-200, 0.0]])
def test_a_row_whose_squares_vanish_beside_one_that_has_a_norm(row):
    v = torch.tensor([[3.0, 4.0], row], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([2.0, 5.0], dtype=torch.float64, requires_grad=True)
    w = weight_norm(v, g)
    assert taken(w)
    torch.testing.assert_close(w.detach(), torch.tensor([[1.2, 1.6], [5 * row[0], 0]]).double())
    grad_v, grad_g = torch.autograd.grad(w, (v, g), torch.ones(2, 2, dtype=torch.float64))
    # (2/5)·(1 − 1.4·3/5, 1 − 1.4·4/5) by eq. 3; and there w = g·v, ‖v‖ counting as the constant 1
    expected = torch.tensor([[0.064, -0.048], [5.0, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(grad_v, expected)
    torch.testing.assert_close(grad_g, torch.tensor([1.4, row[0]], dtype=torch.float64))


def test_nan_and_inf_pass_through():
    v = torch.tensor([[float("nan"), 1.0], [3.0, 4.0]])
    w = weight_norm(v, torch.ones(2))
    assert w[0].isnan().all()
    torch.testing.assert_close(w[1], torch.tensor([0.6, 0.8]))


def test_only_one_of_v_and_g_learns():
    for learns in (0, 1):
        inputs = [draw((3, 4)), draw((3,), 1)]
        inputs[learns].requires_grad_()
        weight_norm(*inputs).sum().backward()
        assert inputs[learns].grad is not None
        assert inputs[1 - learns].grad is None


def test_a_changed_v_is_noticed_in_the_backward_pass():
    v = nn.Parameter(draw((3, 4)))
    w = weight_norm(v, draw((3,), 1))
    with torch.no_grad():
        v.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w.sum().backward()
