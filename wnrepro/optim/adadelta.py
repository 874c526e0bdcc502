"""What the course notes call Adadelta."""

import torch

from wnrepro.optim.foreach import ForeachOptimizer, Parameters


class Adadelta(ForeachOptimizer):
    """The notes' "Adadelta": RMSprop with ε inside the root.

        G ← γ·G + (1 − γ)·∇²
        p ← p − lr·∇/√(G + ε)

    Source: course notes. It is not `torch.optim.Adadelta` (Zeiler 2012), which multiplies by a
    moving root mean square of its own past steps; it is `torch.optim.RMSprop(alpha=γ)` but for the
    place of ε, which torch adds to √G. There is no bias correction: the first step is lr/√(1 − γ)
    in every element with |∇| ≫ √ε.

    lr: learning rate, at least 0. gamma: γ, decay of the average, in [0, 1). eps: ε, at least 0
    (in units of the squared gradient). With ε = 0 an element whose gradients were all 0 becomes
    NaN. Raises ValueError for values outside these ranges and RuntimeError for a sparse gradient.
    """

    state_names = ("g2",)

    def __init__(
        self, params: Parameters, lr: float = 1e-3, gamma: float = 0.9, eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr=lr, gamma=gamma, eps=eps)

    def _update(self, group, t, params, gradients, *state) -> None:
        (g2,), gamma = state, group["gamma"]
        torch._foreach_mul_(g2, gamma)
        torch._foreach_addcmul_(g2, gradients, gradients, 1 - gamma)
        root = torch._foreach_add(g2, group["eps"])
        torch._foreach_sqrt_(root)
        torch._foreach_addcdiv_(params, gradients, root, -float(group["lr"]))
