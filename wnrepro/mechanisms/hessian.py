"""The Hessian of a loss, of one function written in w and in (v, g)."""

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian as hessian_of
from torch.autograd.functional import vhp
from torch.nn.functional import cross_entropy, leaky_relu

from wnrepro.intervals import t_interval
from wnrepro.mechanisms.experiment import Finding, Row
from wnrepro.mechanisms.training import units
from wnrepro.models.convpool_cnn_c import SLOPE
from wnrepro.nn.weight_norm import weight_norm

Loss = Callable[[Tensor], Tensor]
STEP = 1e-8
"""Of the finite differences, relative to the length of the parameters: so short that hardly a
pre-activation passes the kink of the leaky ReLU, where the gradient jumps."""
SHOWN = 64


def compare(model: nn.Module, images: Tensor, labels: Tensor) -> list[Row]:
    """The Hessian's eigenvalues in w and in (v, g), and how wrong a Hessian–vector product is.

    model: an MLP of arm wn. The third way is (v, g) through torch's own weight norm, whose
    gradients are right and whose second derivatives are not.
    """
    layers = list(units(model).values())
    v, g, b = ([getattr(u, name).detach().double() for u in layers] for name in ("v", "g", "b"))
    w = [weight_norm(vs, gs) for vs, gs in zip(v, g, strict=True)]
    x = images.flatten(1).double()
    rows: list[Row] = []
    for written, tensors, weigh in (
        ("w", (*w, *b), None),
        ("v_g", (*v, *g, *b), weight_norm),
        ("v_g_torch", (*v, *g, *b), lambda v, g: torch._weight_norm(v, g[:, None], 0)),
    ):
        loss, start = _flat(tensors, len(layers), weigh, x, labels)
        matrix = hessian_of(loss, start)
        assert isinstance(matrix, Tensor)
        found = torch.linalg.eigvalsh((matrix + matrix.T) / 2).abs().sort(descending=True).values
        shared = {
            "eigenvalue_abs_mean": found.mean().item(),
            "parameters": len(start),
            "product_error_relative": product_error(loss, start),
            "asymmetry_relative": ((matrix - matrix.T).norm() / matrix.norm()).item(),
        }
        rows += [
            {"written_in": written, "rank": rank, "eigenvalue_abs": value, **shared}
            for rank, value in enumerate(found[:SHOWN].tolist(), 1)
        ]
    return rows


def product_error(loss: Loss, at: Tensor) -> float:
    """‖Hu − finite difference of the gradient along u‖/‖finite difference‖, u random."""
    u = torch.randn(len(at), generator=torch.Generator().manual_seed(0), dtype=at.dtype)
    u = u / u.norm()
    product = vhp(loss, at, u)[1]
    assert isinstance(product, Tensor)
    h = STEP * at.norm().item()
    up, down = (torch.func.grad(loss)(at + sign * h * u) for sign in (1, -1))
    expected = (up - down) / (2 * h)
    return ((product - expected).norm() / expected.norm()).item()


def _flat(
    tensors: Sequence[Tensor],
    depth: int,
    weigh: Callable[[Tensor, Tensor], Tensor] | None,
    x: Tensor,
    labels: Tensor,
) -> tuple[Loss, Tensor]:
    """The loss as a function of one long vector, and the vector. weigh: (v, g) → w."""
    shapes = [tensor.shape for tensor in tensors]
    sizes = [tensor.numel() for tensor in tensors]

    def loss(vector: Tensor) -> Tensor:
        pieces = [p.view(s) for p, s in zip(vector.split(sizes), shapes, strict=True)]
        weights, b = pieces[:depth], pieces[-depth:]
        if weigh is not None:
            weights = [weigh(v, g) for v, g in zip(weights, pieces[depth:-depth], strict=True)]
        h = x
        for k, (weight, shift) in enumerate(zip(weights, b, strict=True)):
            h = h @ weight.T + shift
            if k < depth - 1:
                h = leaky_relu(h, SLOPE)
        return cross_entropy(h, labels)

    return loss, torch.cat([tensor.flatten() for tensor in tensors])


def findings(rows: pd.DataFrame) -> list[Finding]:
    """Of the Hessian after training: its largest eigenvalue, and how wrong a product is."""
    last = rows[(rows.epoch == rows.epoch.max()) & (rows["rank"] == 1)]
    found = []
    for written, title in (
        ("w", "w"),
        ("v_g", "(v, g), by wnrepro.nn"),
        ("v_g_torch", "(v, g), by torch's weight norm"),
    ):
        own = last[last.written_in == written]
        if own.empty:
            continue
        for what, values in (
            ("largest absolute eigenvalue", own.eigenvalue_abs),
            ("largest over mean absolute eigenvalue", own.eigenvalue_abs / own.eigenvalue_abs_mean),
        ):
            name = f"Hessian in {title}, after training: {what}"
            found.append(Finding.of_interval(name, t_interval(values), ".3g"))
        found.append(
            Finding(
                f"Hessian–vector product in {title}: largest relative error against differences "
                "of gradients; asymmetry of the matrix",
                f"{own.product_error_relative.max():.1e}; {own.asymmetry_relative.max():.1e}",
                *("none: maxima", f"{len(own)} seeds"),
            )
        )
    return found
