"""Weight norm against torch's fused op, forward and backward, over the shapes of the paper's net.

The usual way is `torch._weight_norm(v, g, 0)`, what `torch.nn.utils.parametrizations.weight_norm`
calls. A timing is w from (v, g) and the gradients of both from that of w, eager, in float32. v is
contiguous, but for the layers' own v, which is channels-last as in the network.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.testing import assert_close

from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import compare
from wnrepro.nn import WeightNormConv2d, WeightNormLinear
from wnrepro.nn.weight_norm import weight_norm as ours

GOAL = Goal(1.3)

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


def weight_norm(setting: Setting) -> Iterator[Measurement]:
    shapes = setting.pick(SHAPES, {(96, 3, 3, 3): 1, (10, 192): 1})
    layers = [_times(setting, shape) for shape, n in shapes.items() for _ in range(n)]
    network = ", all layers of the CIFAR network"
    yield from _rows(np.sum(layers, 0), network, "the layers' own weight, all of them")
    shape = setting.pick(LINEAR, (64, 64))
    size = "×".join(map(str, shape))
    yield from _rows(_times(setting, shape), f" {size}", f"the layer's own weight {size}")


def _rows(times: np.ndarray, of: str, layer: str) -> Iterator[Measurement]:
    function, own, usual = 1e6 * times
    yield Measurement(f"weight_norm{of}", "µs", function, usual, GOAL)
    yield Measurement(layer, "µs", own, usual, GOAL)


def _times(setting: Setting, shape: tuple[int, ...]) -> np.ndarray:
    """Seconds, (3, repeats), of our function, of a layer's weight, of torch's op."""
    v = torch.randn(shape, device=setting.device, requires_grad=True)
    g = torch.rand(shape[0], *(1,) * (len(shape) - 1), device=setting.device) + 0.5
    g.requires_grad_()
    layer = _layer(v, g)
    upstream = torch.randn_like(v)
    by_layer = upstream.to(memory_format=torch.channels_last) if v.ndim == 4 else upstream
    ways = [
        _both_ways(ours, v, g, upstream),
        _both_ways(lambda v, g: layer.weight, layer.v, layer.g, by_layer),
        _both_ways(lambda v, g: torch._weight_norm(v, g, 0), v, g, upstream),
    ]
    first, *others = [way() for way in ways]
    for gradients in others:
        for one, its in zip(first, gradients, strict=True):
            assert_close(one.flatten(), its.flatten(), rtol=1e-4, atol=1e-4)
    return compare(setting, *ways)


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


def _both_ways(
    weight: Weight, v: Tensor, g: Tensor, upstream: Tensor
) -> Callable[[], Sequence[Tensor]]:
    return lambda: torch.autograd.grad(weight(v, g), (v, g), upstream)
