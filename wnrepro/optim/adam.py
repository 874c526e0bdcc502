"""Adam with ε inside the root, as the authors' released code has it."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class Adam(torch.optim.Optimizer):
    """Adam (Kingma & Ba 2015), with ε inside the root and β1 free to change between steps.

        m ← β1·m + (1 − β1)·∇            m̂ = m/(1 − β1ᵗ)
        s ← β2·s + (1 − β2)·∇²           ŝ = s/(1 − β2ᵗ)
        p ← p − lr·m̂/√(ŝ + ε)

    Source: the authors' code, `lasagne/nn.py`, adam_updates. `torch.optim.Adam` adds ε outside
    the root: with ε = 1e-8 its denominator falls to 1e-8 where the gradient vanishes, this one
    never below 1e-4, so the two are different optimisers at small gradients.

    The bias correction uses the β1 in force at the step, also after β1 was changed
    (`group["betas"]`), as the authors' does.

    lr: learning rate, at least 0. betas: decays of the two averages, each in [0, 1). eps: ε, at
    least 0 (in units of the squared gradient). t counts steps from 1; parameters whose gradient
    is None are left alone and their t does not advance. Raises ValueError for values outside
    these ranges and RuntimeError for a sparse gradient.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not lr >= 0:
            raise ValueError(f"the learning rate must be at least 0, not {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"each beta must lie in [0, 1), not {tuple(betas)}")
        if not eps >= 0:
            raise ValueError(f"eps must be at least 0, not {eps}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  # torch declares overloads
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_step: dict[int, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.is_sparse:
                    raise RuntimeError("Adam takes dense gradients only")
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                    state["s"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                state["step"] += 1
                by_step.setdefault(state["step"], []).append(p)
            for t, params in by_step.items():
                self._update(params, t, group["lr"], group["betas"], group["eps"])
        return loss

    def _update(
        self, params: list[Tensor], t: int, lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        beta1, beta2 = betas
        gradients = [p.grad for p in params if p.grad is not None]
        m = [self.state[p]["m"] for p in params]
        s = [self.state[p]["s"] for p in params]
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(s, beta2)
        torch._foreach_addcmul_(s, gradients, gradients, 1 - beta2)
        root = torch._foreach_div(s, 1 - beta2**t)
        torch._foreach_add_(root, eps)
        torch._foreach_sqrt_(root)
        torch._foreach_addcdiv_(params, m, root, -lr / (1 - beta1**t))
