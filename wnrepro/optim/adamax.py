"""The authors' Adamax, with which the paper trains its VAE and its DQN."""

import torch

from wnrepro.optim.foreach import ForeachOptimizer, Parameters


class Adamax(ForeachOptimizer):
    """Adamax (Kingma & Ba 2015, sec. 7.1) without bias correction, as the authors have it.

        m ← β1·m + (1 − β1)·∇
        u ← max(β2·u, |∇|), elementwise
        p ← p − lr·m/(u + ε)

    Source: the authors' code. `torch.optim.Adamax` divides m by 1 − β1ᵗ and has ε elsewhere,
    u ← max(β2·u, |∇| + ε). Its first step is lr, this one's lr·(1 − β1); after a hundred steps
    with β1 = 0.9 the two rules are within 3e-5 of each other, but for ε.

    lr: learning rate, at least 0. betas: decays of m and of u, each in [0, 1). eps: ε, at least 0
    (in units of the gradient). With ε = 0 an element whose gradients were all 0 becomes NaN.
    Raises ValueError for values outside these ranges and RuntimeError for a sparse gradient.
    """

    state_names = ("m", "u")

    def __init__(
        self,
        params: Parameters,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)

    def _update(self, group, t, params, gradients, *state) -> None:
        (m, u), (beta1, beta2) = state, group["betas"]
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(u, beta2)
        torch._foreach_maximum_(u, torch._foreach_abs(gradients))
        denominator = torch._foreach_add(u, group["eps"])
        torch._foreach_addcdiv_(params, m, denominator, -float(group["lr"]))
