"""Momentum in the notes' two forms; without momentum, plain gradient descent."""

import torch

from wnrepro.optim.foreach import ForeachOptimizer, Parameters


class Momentum(ForeachOptimizer):
    """Momentum, the learning rate inside the sum; with γ = 0 plain gradient descent.

        V ← γ·V + lr·∇
        p ← p − V

    Source: course notes. V is in units of p, so a learning rate that changes acts on new gradients
    only. `torch.optim.SGD(momentum=γ)` multiplies the whole sum by the rate in force: the same
    while the rate is constant. γ = 0 is p ← p − lr·∇, to the last bit.

    lr: learning rate, at least 0. gamma: γ, decay of the sum, in [0, 1); while gradients stay as
    they are, steps grow to lr·∇/(1 − γ). Raises ValueError for values outside these ranges and
    RuntimeError for a sparse gradient.
    """

    state_names = ("v",)

    def __init__(self, params: Parameters, lr: float = 1e-2, gamma: float = 0.9) -> None:
        super().__init__(params, lr=lr, gamma=gamma)

    def _update(self, group, t, params, gradients, *state) -> None:
        (v,) = state
        torch._foreach_mul_(v, group["gamma"])
        torch._foreach_add_(v, gradients, alpha=float(group["lr"]))
        torch._foreach_sub_(params, v)


class AveragedMomentum(ForeachOptimizer):
    """Momentum as a moving average of the gradient, the learning rate outside.

        M ← γ·M + (1 − γ)·∇
        p ← p − lr·M

    Source: course notes. While the rate is constant these are the steps of `Momentum` with the
    rate lr·(1 − γ). A rate that changes acts on all of M at once, as in Adam, and M is in units of
    the gradient.

    lr: learning rate, at least 0. gamma: γ, decay of the average, in [0, 1). Raises ValueError for
    values outside these ranges and RuntimeError for a sparse gradient.
    """

    state_names = ("m",)

    def __init__(self, params: Parameters, lr: float = 1e-1, gamma: float = 0.9) -> None:
        super().__init__(params, lr=lr, gamma=gamma)

    def _update(self, group, t, params, gradients, *state) -> None:
        (m,) = state
        torch._foreach_lerp_(m, gradients, 1 - group["gamma"])
        torch._foreach_add_(params, m, alpha=-float(group["lr"]))
