"""Weight norm against torch's fused op, forward and backward, over the shapes of the paper's net.

The usual way is `torch._weight_norm(v, g, 0)`, what `torch.nn.utils.parametrizations.weight_norm`
calls. A timing is w from (v, g) and the gradients of both from that of w, eager or compiled. In
float32; v contiguous, but for the layers' own v, which is channels-last as in the network.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.testing import assert_close

from wnrepro.benchmarks.row import Goal, Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import Series, compare
from wnrepro.nn import WeightNormConv2d, WeightNormLinear
from wnrepro.nn.weight_norm import weight_norm as ours

EAGER, COMPILED = Goal(1.3), Goal(1.0)

SHAPES = {
    (96, 3, 3, 3): 1,
    (96, 96, 3, 3): 2,
    (192, 96, 3, 3): 1,
    (192, 192, 3, 3): 3,
    (192, 192, 1, 1): 2,
    (10, 192): 1,
}
"""Of the paper's CIFAR-10 network, and how many layers have it."""

LINEAR = (4096, 4096)

Weight = Callable[[Tensor, Tensor], Tensor]


def weight_norm(setting: Setting) -> Iterator[Row]:
    shapes = setting.pick(SHAPES, {(96, 3, 3, 3): 1, (10, 192): 1})
    net: list[list[Series]] = []
    for shape, count in shapes.items():
        times = _eager(setting, shape)
        net += [times] * count
        yield _row(_name("weight_norm", shape), times[0], times[2])
    function, layer, usual = (_sums([times[k] for times in net]) for k in range(3))
    yield _row("weight_norm, all layers of the CIFAR network", function, usual, EAGER)
    yield _row("the layers' own weight, all of them", layer, usual, EAGER)
    linear = setting.pick(LINEAR, (64, 64))
    function, layer, usual = _eager(setting, linear)
    yield _row(_name("weight_norm", linear), function, usual, EAGER)
    yield _row(_name("the layer's own weight", linear), layer, usual, EAGER)
    yield from _compiled(setting, "all layers of the CIFAR network", shapes)
    yield from _compiled(setting, _size(linear), {linear: 1})


def _eager(setting: Setting, shape: tuple[int, ...]) -> list[Series]:
    """Seconds of our function, of a layer's weight, of torch's op."""
    v, g = _parameters(setting, shape)
    layer = _layer(v, g)
    upstream = torch.randn_like(v)
    by_layer = upstream.to(memory_format=torch.channels_last) if v.ndim == 4 else upstream
    ways = [
        _both_ways(ours, v, g, upstream),
        _both_ways(lambda v, g: layer.weight, layer.v, layer.g, by_layer),
        _both_ways(_torchs, v, g, upstream),
    ]
    _check_equal([way() for way in ways])
    return compare(setting, *ways)


def _compiled(setting: Setting, name: str, shapes: dict[tuple[int, ...], int]) -> Iterator[Row]:
    """All layers in one graph, as in a compiled network; torch's op eager and compiled."""
    title = f"weight_norm compiled, {name}"
    if not setting.gpu and not (shutil.which("c++") or shutil.which("g++")):
        yield Row(title, goal=COMPILED, note="needs a C++ compiler")
        return
    pairs = [_parameters(setting, shape) for shape, n in shapes.items() for _ in range(n)]
    upstream = [torch.randn_like(v) for v, _ in pairs]
    leaves = [each for pair in pairs for each in pair]

    def all_by(weight: Weight) -> Callable[[], list[Tensor]]:
        return lambda: [weight(v, g) for v, g in pairs]

    def way(forward: Callable[[], list[Tensor]]) -> Callable[[], Sequence[Tensor]]:
        return lambda: torch.autograd.grad(forward(), leaves, upstream)

    torch._dynamo.reset()
    compiled = torch.compile(all_by(ours), fullgraph=True, dynamic=False)
    torchs_compiled = torch.compile(all_by(_torchs), fullgraph=True, dynamic=False)
    ways = [way(compiled), way(all_by(_torchs)), way(torchs_compiled)]
    _check_equal([each() for each in ways])
    mine, eager, theirs = compare(setting, *ways)
    yield _row(title, mine, eager, COMPILED, note="torch's op eager")
    yield _row(f"{title}, both", mine, theirs, note="torch's op compiled too")


def _parameters(setting: Setting, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    v = torch.randn(shape, device=setting.device)
    g = torch.rand(shape[0], *(1,) * (len(shape) - 1), device=setting.device) + 0.5
    return v.requires_grad_(), g.requires_grad_()


def _layer(v: Tensor, g: Tensor) -> WeightNormConv2d | WeightNormLinear:
    """A layer of the network with this v and g."""
    if v.ndim == 4:
        layer = WeightNormConv2d(v.shape[1], v.shape[0], (v.shape[2], v.shape[3]), device=v.device)
        layer = layer.to(memory_format=torch.channels_last)
    else:
        layer = WeightNormLinear(v.shape[1], v.shape[0], device=v.device)
    with torch.no_grad():
        layer.v.copy_(v)
        layer.g.copy_(g.flatten())
    return layer


def _torchs(v: Tensor, g: Tensor) -> Tensor:
    return torch._weight_norm(v, g, 0)


def _both_ways(
    weight: Weight, v: Tensor, g: Tensor, upstream: Tensor
) -> Callable[[], Sequence[Tensor]]:
    return lambda: torch.autograd.grad(weight(v, g), (v, g), upstream)


def _check_equal(gradients: Sequence[Sequence[Tensor]]) -> None:
    for other in gradients[1:]:
        for one, its in zip(gradients[0], other, strict=True):
            assert_close(one.flatten(), its.flatten(), rtol=1e-4, atol=1e-4)


def _row(
    name: str,
    mine: Sequence[float],
    usual: Sequence[float],
    goal: Goal | None = None,
    note: str = "",
) -> Row:
    def microseconds(series: Sequence[float]) -> list[float]:
        return [1e6 * each for each in series]

    return Row(name, "µs", microseconds(mine), microseconds(usual), goal, note)


def _sums(series: Sequence[Series]) -> list[float]:
    """Per repeat, over the layers."""
    return [sum(each) for each in zip(*series, strict=True)]


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _name(what: str, shape: tuple[int, ...]) -> str:
    return f"{what} {_size(shape)}"
