"""Adam with ε inside the root, as the authors' released code has it."""

import torch
from torch import Tensor

from wnrepro.optim.foreach import ForeachOptimizer, Parameters


class Adam(ForeachOptimizer):
    """Adam (Kingma & Ba 2015), with ε inside the root and β1 free to change between steps.

        m ← β1·m + (1 − β1)·∇              m̂ = m/(1 − β1ᵗ)
        s ← β2·s + (1 − β2)·(∇² + ε)       ŝ = s/(1 − β2ᵗ)
        p ← p − lr·m̂/√ŝ

    The authors' √(ŝ + ε), with s an average of ∇² alone, is the same number: the average of a
    constant, corrected for its start, is that constant.

    Source: the authors' code, `lasagne/nn.py`, adam_updates; the course notes. `torch.optim.Adam`
    adds ε outside the root: with ε = 1e-8 its denominator falls to 1e-8 where the gradient
    vanishes, this one never below 1e-4, so the two are different optimisers at small gradients.

    The bias correction uses the β1 in force at the step, also after β1 was changed
    (`group["betas"]`), as the authors' does.

    lr: learning rate, at least 0. betas: decays of the two averages, each in [0, 1). eps: ε, at
    least 0 (in units of the squared gradient). t counts steps from 1; parameters whose gradient
    is None are left alone and their t does not advance. An ε or β2 that changes between steps
    enters the average from there on. Raises ValueError for values outside these ranges and
    RuntimeError for a sparse gradient.

    In float16 ε = 1e-8 is 0 and a gradient of 0 gives NaN: keep parameters in float32.
    """

    state_names = ("m", "s")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)

    def _update(self, group, t, params, gradients, *state) -> None:
        (m, s), (beta1, beta2), lr = state, group["betas"], float(group["lr"])
        if beta2 > 0 and not torch.compiler.is_compiling() and _have_kernel(params, gradients, m):
            # torch's fused kernel has its ε outside the root; ours goes into s before it.
            torch._foreach_add_(s, group["eps"] * (1 - beta2) / beta2)
            settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": 0.0, "weight_decay": 0.0}
            # filled there, since copying a number to a GPU waits for it
            steps = [torch.full((), float(t), device=params[0].device)] * len(params)
            torch._fused_adam_(
                params, gradients, m, s, [], steps, amsgrad=False, maximize=False, **settings
            )
            return
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(s, beta2)
        torch._foreach_add_(s, group["eps"] * (1 - beta2))
        torch._foreach_addcmul_(s, gradients, gradients, 1 - beta2)
        root = torch._foreach_sqrt(s)
        step_size = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        torch._foreach_addcdiv_(params, m, root, -step_size)


def _have_kernel(params: list[Tensor], gradients: list[Tensor], states: list[Tensor]) -> bool:
    """Whether the fused kernel takes these: float32, on one device, in one order in memory.

    A state has no gaps in memory, so where the strides are equal the others have none either. And
    a gradient is where its parameter is: torch takes no other.
    """
    device, kinds = params[0].device, (Tensor, torch.nn.Parameter)
    if device.type not in ("cpu", "cuda"):
        return False
    for p, g, m in zip(params, gradients, states, strict=True):
        if not p.dtype is g.dtype is torch.float32 or p.device != device or type(p) not in kinds:
            return False
        if p.stride() == g.stride() == m.stride():
            continue
        if not _strides(p) == _strides(g) == _strides(m):
            return False
    return True


def _strides(t: Tensor) -> list[int]:
    """But for axes of size 1, where any stride says the same."""
    return [stride for stride, size in zip(t.stride(), t.shape, strict=True) if size > 1]
