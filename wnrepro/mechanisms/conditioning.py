"""Conditioning: the covariance of the gradient with respect to w and to v (paper, section 2.1)."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from wnrepro.equations import gradient_covariance
from wnrepro.intervals import t_interval
from wnrepro.mechanisms import figures, hessian
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import stops, training, training_part, units
from wnrepro.nn.weight_norm import weight_norm

NAME = "conditioning"
CLOSE = 0.5
"""|cos| between w and the dominant eigenvector of C above which w counts as close to it."""
EIGENVALUES_SHOWN = 32


def parts(smoke: bool) -> list[Part]:
    seeds, epochs, measured_at = (2, 1, "0 1") if smoke else (5, 20, "0 1 2 5 10 20")
    width, hessian_width = (16, 4) if smoke else (64, 12)
    return [
        training_part(
            *("wn", "adam", 0.003, seed, epochs, units_, depth),
            kind=kind,
            measured_at=measured_at,
        )
        for kind, units_, depth in (("covariance", width, 2), ("hessian", hessian_width, 1))
        for seed in range(seeds)
    ]


def measure(part: Part) -> dict[str, list[Row]]:
    """One training; what is asked for (`kind`) at several points of it."""
    run = training(part)
    train, last = run.dataset.train, int(part["epochs"])
    rows: list[Row] = []
    spectra: list[Row] = []
    for epoch in stops(run, part):
        place: Row = {"seed": part["seed"], "epoch": epoch}
        if part["kind"] == "covariance":
            for layer, v, g, c in covariances(run.model, train.images, train.labels):
                row, spectrum = eigenvalues_of(v, g, c)
                rows.append({**place, "layer": layer, **row})
                if epoch == last:
                    spectra += [{**place, "layer": layer, **each} for each in spectrum]
        elif epoch in (0, last):
            found = hessian.compare(run.model, train.images, train.labels)
            rows += [{**place, **each} for each in found]
    if part["kind"] == "covariance":
        return {NAME: rows, f"{NAME}_spectra": spectra}
    return {f"{NAME}_hessians": rows}


def covariances(
    model: nn.Module, images: Tensor, labels: Tensor
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """v, g and C of every unit of each layer but the first, in float64.

    The gradient of one image's loss with respect to a unit's w is δ·x, δ that with respect to its
    pre-activation and x the layer's input. C is the covariance of these over the training set.
    v: (units, inputs). g: (units). C: (units, inputs, inputs). The first layer is left out: pixels
    that are always 0 make its C singular.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    layers = units(model)
    handles = []
    for name, unit in layers.items():

        def keep(_: nn.Module, args: tuple[Tensor], t: Tensor, name: str = name) -> None:
            inputs[name], outputs[name] = args[0].detach(), t

        handles.append(unit.linear.register_forward_hook(keep))
    # The sum and not the mean: each row of the gradient is then that of one image's own loss.
    loss = nn.functional.cross_entropy(model(images), labels, reduction="sum")
    for handle in handles:
        handle.remove()
    deltas = torch.autograd.grad(loss, list(outputs.values()))
    for (name, unit), delta in list(zip(layers.items(), deltas, strict=True))[1:]:
        x, d = inputs[name].double(), delta.double()
        mean = d.T @ x / len(x)
        second = torch.einsum("nu,ni,nj->uij", d.square(), x, x) / len(x)
        assert unit.g is not None
        v, g = unit.v.detach().double(), unit.g.detach().double()
        yield name, v, g, second - mean[:, :, None] * mean[:, None, :]


def covariance_of_v(v: Tensor, g: Tensor, c: Tensor) -> Tensor:
    """D of every unit, from what `covariances` gives."""
    return torch.stack([gradient_covariance(*unit) for unit in zip(v, g, c, strict=True)])


def eigenvalues_of(v: Tensor, g: Tensor, c: Tensor) -> tuple[Row, list[Row]]:
    """Medians over units, and the median spectra."""
    eigenvalues, vectors = torch.linalg.eigh(c)  # ascending
    cosine = torch.cosine_similarity(vectors[:, :, -1], weight_norm(v, g)).abs()
    # D has one eigenvalue 0, of w itself, where v cannot move: it says nothing about conditioning.
    projected = torch.linalg.eigvalsh(covariance_of_v(v, g, c))[:, 1:]
    before, after = (each[:, -1] / each.mean(1) for each in (eigenvalues, projected))
    n = v.shape[1]
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
    seeds, chance = rows.seed.nunique(), rows.cosine_of_chance.mean()
    trained = rows[rows.epoch > 0].groupby("seed")
    cosine = t_interval(trained.cosine_median.mean())
    ratio = t_interval(trained.d_over_c_median.mean())
    at_start = t_interval(rows[rows.epoch == 0].groupby("seed").cosine_median.mean())
    conditions = [t_interval(trained[f"{each}_condition_number_median"].median()) for each in "cd"]
    findings = [
        Finding.of_interval(
            "|cos| between w and the dominant eigenvector of C while training, median of units",
            *(cosine, ".3f", f" (chance: {chance:.3f})"),
        ),
        Finding.of_interval("the same before training", at_start, ".3f"),
        Finding.of_interval(
            "largest eigenvalue over the mean one: D's divided by C's, median of units",
            *(ratio, ".3f"),
        ),
        Finding.of_interval(
            "condition number of C, median of units and points", conditions[0], ".2g"
        ),
        Finding.of_interval(
            "condition number of D without the direction of w, median of units and points",
            *(conditions[1], ".2g"),
        ),
        *hessian.findings(data[f"{NAME}_hessians"]),
    ]
    outcome = decide(
        seeds,
        reproduced=cosine.low > CLOSE and ratio.high < 1,
        not_reproduced=cosine.high < CLOSE or ratio.low > 1,
    )
    because = (
        f"While training the |cos| between w and C's dominant eigenvector is {cosine.estimate:.2f} "
        f"(chance {chance:.2f}), and projecting w out makes the largest "
        f"eigenvalue over the mean {ratio.estimate:.2f} times what it was (n = {seeds} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


EXPERIMENT = Experiment.of(NAME, parts, measure, verdict, figures.conditioning, version=2)
