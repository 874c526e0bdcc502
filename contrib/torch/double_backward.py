"""torch's `_weight_norm` has a wrong second derivative; torch alone shows it, and what mends it.

python double_backward.py
"""

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError


def backward_as_in_torch(
    grad_w: Tensor, v: Tensor, g: Tensor, norms: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """(∇_v, ∇_g) of w = g·v/‖v‖ as torch has it when a graph of it is wanted.

        ∇_g = Σ ∇_w·v/‖v‖        ∇_v = (g/‖v‖)(∇_w − v Σ ∇_w·v/‖v‖²)

    grad_w, v: of one shape. g, norms: 1 but along `dim`, the first or last axis. Right in value.
    norms is what the forward pass saved, and autograd does not know that it depends on v.
    """
    axes = [axis for axis in range(v.ndim) if axis != dim % v.ndim]
    inner = (grad_w * v).sum(axes, keepdim=True)
    return g / norms * (grad_w - v * (inner / norms**2)), inner / norms


def backward_mended(
    grad_w: Tensor, v: Tensor, g: Tensor, norms: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """The same with ‖v‖ computed from v again, so that it is part of the graph."""
    return backward_as_in_torch(grad_w, v, g, torch.norm_except_dim(v, 2, dim), dim)


def main() -> None:
    # w = 3 v/‖v‖ at v = (1, 2, 2), whose length is 3
    v = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([[3.0]], dtype=torch.float64, requires_grad=True)
    for name, w in (
        ("torch._weight_norm(v, g, 0)", torch._weight_norm(v, g, 0)),
        ("v * (g / v.norm())", v * (g / v.norm())),
    ):
        (gradient,) = torch.autograd.grad(w[0, 0], v, create_graph=True)
        rows = [torch.autograd.grad(one, v, retain_graph=True)[0][0] for one in gradient[0]]
        print(f"{name}\n  first derivative of w[0, 0] by v: {gradient[0].tolist()}")
        print(f"  second: {torch.stack(rows).tolist()}")
    print("first derivative:", gradcheck(torch._weight_norm, (v, g)))
    try:
        print("second derivative:", gradgradcheck(torch._weight_norm, (v, g)))
    except GradcheckError as error:
        print("second derivative:", str(error).splitlines()[0])


if __name__ == "__main__":
    main()
