"""The Hessian of a loss, of one function written in w and in (v, g)."""

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, leaky_relu

from wnrepro.arms import ARMS
from wnrepro.drawing import label
from wnrepro.mechanisms.experiment import Finding, Row
from wnrepro.mechanisms.training import units
from wnrepro.models.convpool_cnn_c import SLOPE
from wnrepro.nn.weight_norm import weight_norm
from wnrepro.statistics import t_interval

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
    v, g, b = ([each.detach().double() for each in kind] for kind in _parameters(layers))
    w = [weight_norm(vs, gs) for vs, gs in zip(v, g, strict=True)]
    x, x_labels = images.flatten(1).double(), labels
    rows: list[Row] = []
    for written, tensors, weigh in (
        ("w", (*w, *b), None),
        ("v_g", (*v, *g, *b), weight_norm),
        ("v_g_torch", (*v, *g, *b), torchs_weight_norm),
    ):
        loss, start = _flat(tensors, len(layers), weigh, x, x_labels)
        matrix = hessian(loss, start)
        error = product_error(loss, start)
        found = torch.linalg.eigvalsh((matrix + matrix.T) / 2).abs().sort(descending=True).values
        asymmetry = ((matrix - matrix.T).norm() / matrix.norm()).item()
        rows += [
            {
                "written_in": written,
                "rank": rank,
                "eigenvalue_abs": value,
                "eigenvalue_abs_mean": found.mean().item(),
                "parameters": len(start),
                "product_error_relative": error,
                "asymmetry_relative": asymmetry,
            }
            for rank, value in enumerate(found[:SHOWN].tolist(), 1)
        ]
    return rows


def torchs_weight_norm(v: Tensor, g: Tensor) -> Tensor:
    """What torch.nn.utils.parametrizations.weight_norm computes with, for dim 0."""
    return torch._weight_norm(v, g[:, None], 0)


def hessian(loss: Loss, at: Tensor) -> Tensor:
    """All second derivatives, (n, n), as Hessian–vector products with the unit vectors."""
    point = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point, create_graph=True)
    rows = [
        torch.autograd.grad(gradient[k], point, retain_graph=True)[0] for k in range(len(point))
    ]
    return torch.stack(rows)


def product_error(loss: Loss, at: Tensor) -> float:
    """‖Hu − finite difference of the gradient along u‖/‖finite difference‖, u random."""
    point = at.clone().requires_grad_()
    u = torch.randn(len(at), generator=torch.Generator().manual_seed(0), dtype=at.dtype)
    u = u / u.norm()
    (gradient,) = torch.autograd.grad(loss(point), point, create_graph=True)
    (product,) = torch.autograd.grad(gradient, point, u)
    h = STEP * at.norm().item()
    ends = []
    for sign in (1, -1):
        end = (at + sign * h * u).requires_grad_()
        ends.append(torch.autograd.grad(loss(end), end)[0])
    expected = (ends[0] - ends[1]) / (2 * h)
    return ((product - expected).norm() / expected.norm()).item()


def _parameters(layers: Sequence[nn.Module]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    return [u.v for u in layers], [u.g for u in layers], [u.b for u in layers]


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


_TITLES = {
    "w": "w",
    "v_g": "(v, g), by wnrepro.nn",
    "v_g_torch": "(v, g), by torch's weight norm",
}


def findings(rows: pd.DataFrame) -> list[Finding]:
    """Of the Hessian after training: its largest eigenvalue, and how wrong a product is."""
    last = rows[(rows.epoch == rows.epoch.max()) & (rows["rank"] == 1)]
    found = []
    for written, title in _TITLES.items():
        own = last[last.written_in == written]
        if own.empty:
            continue
        top = t_interval(own.eigenvalue_abs)
        found.append(
            Finding.of_interval(
                f"Hessian in {title}, after training: largest absolute eigenvalue", top, ".3g"
            )
        )
        shape = t_interval(own.eigenvalue_abs / own.eigenvalue_abs_mean)
        found.append(
            Finding.of_interval(
                f"Hessian in {title}, after training: largest over mean absolute eigenvalue",
                shape,
                ".3g",
            )
        )
        found.append(
            Finding(
                f"Hessian–vector product in {title}: largest relative error against differences "
                "of gradients; asymmetry of the matrix",
                f"{own.product_error_relative.max():.1e}; {own.asymmetry_relative.max():.1e}",
                "none: maxima",
                f"{top.n} seeds",
            )
        )
    return found


def draw(axes: Axes, rows: pd.DataFrame) -> None:
    """Absolute eigenvalues after training, of the right Hessians."""
    last = rows[rows.epoch == rows.epoch.max()]
    for written, arm in (("w", "plain"), ("v_g", "wn")):
        middle = last[last.written_in == written].groupby("rank").eigenvalue_abs.median()
        marked = {"marker": ARMS[arm].marker, "markevery": 0.2}
        axes.plot(middle.index, middle, color=ARMS[arm].colour, **marked)
        at = len(middle) // 3
        label(
            axes, middle.index[at], middle.iloc[at], f"in {_TITLES[written].split(', by')[0]}",
            ARMS[arm].colour, xytext=(2, 9),
        )  # fmt: skip
    axes.set(title="Hessian, after training", xlabel="rank", yscale="log")
    axes.set_ylabel("|eigenvalue| (nats)")
