"""Conditioning: the covariance of the gradient with respect to w and to v (paper, section 2.1)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wnrepro.mechanisms import hessian
from wnrepro.mechanisms.conditioning_figure import draw
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import training, units
from wnrepro.statistics import t_interval

NAME = "conditioning"
CLOSE = 0.5
"""|cos| between w and the dominant eigenvector of C above which w counts as close to it."""
EIGENVALUES_SHOWN = 32


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    epochs: int = 20
    measured_at: tuple[int, ...] = (0, 1, 2, 5, 10, 20)
    width: int = 64
    hessian_width: int = 12


FULL = Settings()
SMOKE = Settings(seeds=2, epochs=1, measured_at=(0, 1), width=16, hessian_width=4)


def parts(smoke: bool) -> list[Part]:
    settings = SMOKE if smoke else FULL
    shared = {
        "arm": "wn",
        "optimiser": "adam",
        "learning_rate": 0.003,
        "epochs": settings.epochs,
        "measured_at": " ".join(map(str, settings.measured_at)),
        "batch_size": 100,
    }
    return [
        {**shared, "kind": kind, "seed": seed, "width": width, "depth": depth}
        for kind, width, depth in (
            ("covariance", settings.width, 2),
            ("hessian", settings.hessian_width, 1),
        )
        for seed in range(settings.seeds)
    ]


def measure(part: Part) -> dict[str, list[Row]]:
    """One training; what is asked for (`kind`) at several points of it."""
    run = training(part)
    train = run.dataset.train
    points = [int(epoch) for epoch in str(part["measured_at"]).split()]
    key: Row = {"seed": part["seed"]}
    tables: dict[str, list[Row]] = {}

    def look(epoch: int) -> None:
        if epoch not in points:
            return
        if part["kind"] == "covariance":
            for layer, c, w, v_norm in covariances(run.model, train.images, train.labels):
                row, spectrum = _conditioning(c, w, v_norm)
                place: Row = {**key, "epoch": epoch, "layer": layer}
                tables.setdefault(NAME, []).append({**place, **row})
                if epoch == points[-1]:
                    rows = ({**place, **each} for each in spectrum)
                    tables.setdefault(f"{NAME}_spectra", []).extend(rows)
        elif epoch in (points[0], points[-1]):
            found = hessian.compare(run.model, train.images, train.labels)
            tables.setdefault(f"{NAME}_hessians", []).extend(
                {**key, "epoch": epoch, **each} for each in found
            )

    look(0)
    for metrics in run.epochs():
        look(metrics.epoch)
    return tables


def covariances(
    model: nn.Module, images: Tensor, labels: Tensor
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """C of every unit of each layer but the first, with w and ‖v‖.

    The gradient of one image's loss with respect to a unit's w is δ·x, δ that with respect to its
    pre-activation and x the layer's input; C is the covariance of these over the training set,
    (units, inputs, inputs) in float64. w: (units, inputs). ‖v‖: (units). The first layer is left
    out: pixels that are always 0 make its C singular.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    handles = []
    for name, unit in units(model).items():

        def keep(_: nn.Module, args: tuple[Tensor], t: Tensor, name: str = name) -> None:
            inputs[name], outputs[name] = args[0].detach(), t

        handles.append(unit.linear.register_forward_hook(keep))
    # The sum and not the mean: each row of the gradient is then that of one image's own loss.
    loss = nn.functional.cross_entropy(model(images), labels, reduction="sum")
    for handle in handles:
        handle.remove()
    deltas = torch.autograd.grad(loss, list(outputs.values()))
    for (name, unit), delta in list(zip(units(model).items(), deltas, strict=True))[1:]:
        x, d = inputs[name].double(), delta.double()
        mean = d.T @ x / len(x)
        second = torch.einsum("nu,ni,nj->uij", d.square(), x, x) / len(x)
        v, g = unit.v.detach().double(), unit.g
        assert g is not None
        v_norm = v.norm(dim=1)
        w = (g.detach().double() / v_norm)[:, None] * v
        yield name, second - mean[:, :, None] * mean[:, None, :], w, v_norm


def covariance_of_v(c: Tensor, w: Tensor, v_norm: Tensor) -> Tensor:
    """D = (g²/‖v‖²) M_w C M_w of every unit (paper, section 2.1). Shapes as in `covariances`."""
    direction = w / w.norm(dim=1, keepdim=True)
    m = torch.eye(w.shape[1], dtype=w.dtype) - direction[:, :, None] * direction[:, None, :]
    return (w.norm(dim=1) / v_norm).square()[:, None, None] * (m @ c @ m)


def _conditioning(c: Tensor, w: Tensor, v_norm: Tensor) -> tuple[Row, list[Row]]:
    """Medians over units, and the median spectra."""
    eigenvalues, vectors = torch.linalg.eigh(c)  # ascending
    dominant = vectors[:, :, -1]
    cosine = ((dominant * w).sum(1) / w.norm(dim=1)).abs()
    # D has one eigenvalue 0, of w itself, where v cannot move: it says nothing about conditioning.
    projected = torch.linalg.eigvalsh(covariance_of_v(c, w, v_norm))[:, 1:]
    before = eigenvalues[:, -1] / eigenvalues.mean(1)
    after = projected[:, -1] / projected.mean(1)
    n = w.shape[1]
    row: Row = {
        "inputs": n,
        "cosine_median": cosine.median().item(),
        "cosine_q90": cosine.quantile(0.9).item(),
        # E|cos| of a random direction in n dimensions, nearly
        "cosine_of_chance": math.sqrt(2 / (math.pi * n)),
        "c_largest_over_mean_median": before.median().item(),
        "d_largest_over_mean_median": after.median().item(),
        "d_over_c_median": (after / before).median().item(),
        "c_condition_number_median": _condition(eigenvalues).median().item(),
        "d_condition_number_median": _condition(projected).median().item(),
    }
    spectra: list[Row] = [
        {
            "rank": rank,
            "c_over_mean_median": _nth(eigenvalues, rank),
            "d_over_mean_median": _nth(projected, rank),
        }
        for rank in range(1, min(n, EIGENVALUES_SHOWN + 1))
    ]
    return row, spectra


def _condition(eigenvalues: Tensor) -> Tensor:
    """Largest over smallest; rounding bounds the smallest from below."""
    smallest = eigenvalues[:, 0].clamp(min=1e-15 * eigenvalues[:, -1].max().item())
    return eigenvalues[:, -1] / smallest


def _nth(eigenvalues: Tensor, rank: int) -> float:
    return (eigenvalues[:, -rank] / eigenvalues.mean(1)).median().item()


def verdict(data: Data) -> Verdict:
    rows = data[NAME]
    seeds = rows.seed.nunique()
    trained = rows[rows.epoch > 0].groupby("seed")
    cosine = t_interval(trained.cosine_median.mean())
    ratio = t_interval(trained.d_over_c_median.mean())
    at_start = t_interval(rows[rows.epoch == 0].groupby("seed").cosine_median.mean())
    findings = [
        Finding.of_interval(
            "|cos| between w and the dominant eigenvector of C while training, median of units",
            cosine,
            ".3f",
            f" (chance: {rows.cosine_of_chance.mean():.3f})",
        ),
        Finding.of_interval("the same before training", at_start, ".3f"),
        Finding.of_interval(
            "largest eigenvalue over the mean one: D's divided by C's, median of units",
            ratio,
            ".3f",
        ),
    ]
    for which in ("c", "d"):
        each = t_interval(trained[f"{which}_condition_number_median"].median())
        findings.append(
            Finding.of_interval(
                f"condition number of {which.upper()}"
                + (" without the direction of w" if which == "d" else "")
                + ", median of units and points",
                each,
                ".2g",
            )
        )
    findings += hessian.findings(data[f"{NAME}_hessians"])
    outcome = decide(
        seeds,
        reproduced=cosine.low > CLOSE and ratio.high < 1,
        not_reproduced=cosine.high < CLOSE or ratio.low > 1,
    )
    because = (
        f"While training the |cos| between w and C's dominant eigenvector is {cosine.estimate:.2f} "
        f"(chance {rows.cosine_of_chance.mean():.2f}), and projecting w out makes the largest "
        f"eigenvalue over the mean {ratio.estimate:.2f} times what it was (n = {seeds} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


def caption(data: Data) -> str:
    rows = data[NAME]
    return (
        "Gradient covariances of the units of a network with weight norm; medians over units and "
        f"over {rows.seed.nunique()} seeds. Upper left: how close w lies to the dominant "
        "eigenvector of C. Upper right and lower left: C, and D without the direction of w, in "
        "which its eigenvalue is 0. Lower right: absolute eigenvalues of the Hessian of the "
        "training loss, the same function written in w and in (v, g), a smaller network, medians "
        f"of {data[f'{NAME}_hessians'].seed.nunique()} seeds after training."
    )


EXPERIMENT = Experiment(
    name=NAME,
    title="Projecting w out of the gradient conditions it better",
    claim="""
The gradient with respect to v is that with respect to w, scaled and projected onto what is at
right angles to w. If C is the covariance of the gradient with respect to w, that with respect
to v has the covariance D. w is often close to a dominant eigenvector of C; then taking it out
brings D closer to the identity, and so speeds up training.""",
    source="Section 2.1, equation 4",
    equation=r"""
$$\nabla_v L = \frac{g}{\lVert v\rVert} M_w \nabla_w L, \qquad
M_w = I - \frac{ww^\top}{\lVert w\rVert^2}, \qquad
D = \frac{g^2}{\lVert v\rVert^2}\, M_w C M_w$$""",
    setup="""
A perceptron with weight norm, two hidden layers of 64 units (leaky ReLU), on the 1437 digits of
8×8 pixels, the paper's Adam with rate 0.003, batches of 100, 20 epochs, 5 seeds. C is the
covariance over the training images of the gradient of one image's loss, for every unit of the
second hidden and of the output layer, at six points of the training. Scale has no part in it:
compared is the largest eigenvalue over the mean. For the Hessian a network of 12 hidden units,
small enough for the whole matrix, in float64.""",
    expectation="""
By the paper the |cos| between w and C's dominant eigenvector is large, far above that of a
random direction, and D's largest eigenvalue over its mean is smaller than C's. It says "often",
without a number; above one half is what we take it to mean.""",
    reproduced_if="""
the |cos| while training (median of units, mean of layers and points) is above 0.5 and the ratio
of largest to mean eigenvalue is smaller for D than for C (intervals over seeds).""",
    not_reproduced_if="""
the |cos| is below 0.5, or the ratio larger for D than for C (whole interval).""",
    afterwards="""
While training w does turn towards C's dominant eigenvector, most of all in the output layer
(0.3), but far from it; and since the dominant eigenvalue is over 40 times the mean, taking out
a direction so far from it changes little. What the claim says of a w that *is* close holds
exactly (`wnrepro.equations`, `gradient_covariance`); here w is not. Nothing follows for
convolutional layers, nor for networks without the data-dependent init. torch's own weight norm
gets the products with the Hessian wrong by 6 %, and its matrix is not symmetric; as the errors
are spread over many directions, the largest eigenvalue hardly shows it.""",
    parts=parts,
    measure=measure,
    verdict=verdict,
    draw=draw,
    caption=caption,
    version=2,
)
