"""The data-dependent initialisation: the paper's eq. 5 and 6.

All raise ValueError for tensors that are not float64 or of other shapes than their docstring says.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wnrepro.equations.batch_norm import moments
from wnrepro.equations.checks import check
from wnrepro.equations.weight_norm import unit, weight


def initial_t(x: Tensor, v: Tensor) -> Tensor:
    """t = v·x/‖v‖: the pre-activation with g = 1 and b = 0.

    x: (batch, inputs). v: (units, inputs). Returns (batch, units). ValueError for a v = 0.

    Source: paper eq. 5, left.
    """
    check(x=(x, "batch inputs"), v=(v, "units inputs"))
    return x @ weight(v, torch.ones_like(v[:, 0])).T


def initial_g_b(t: Tensor) -> tuple[Tensor, Tensor]:
    """g = 1/σ[t] and b = −μ[t]/σ[t], with which w·x + b = (t − μ[t])/σ[t] has mean 0, variance 1.

    t: of eq. 5, (batch, units). σ is the biased one, without ε. Returns g and b, (units) each.
    Raises ValueError for a unit whose t is constant over the batch, so for any batch of 1.

    Source: paper eq. 6.
    """
    mu, sigma = moments(t)
    if (sigma == 0).any():
        raise ValueError(
            f"unit {int((sigma == 0).nonzero()[0])} is constant over the batch: σ[t] = 0"
        )
    return 1 / sigma, -mu / sigma


def initial_layers(
    x: Tensor, vs: Sequence[Tensor], phi: Callable[[Tensor], Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """(g, b) of every layer of a network, each fed with y = φ((t − μ[t])/σ[t]) of the one below.

    x: the batch, (batch, inputs). vs: the layers' v, (units, inputs) each. phi: φ, elementwise.

    Source: paper eq. 5 and 6, section 3.
    """
    layers = []
    for v in vs:
        g, b = initial_g_b(initial_t(x, v))
        layers.append((g, b))
        x = unit(x, weight(v, g), b, phi)
    return layers
