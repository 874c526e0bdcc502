"""Whitened inputs: for one layer batch norm and weight norm are the same function (sec. 2.2)."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wnrepro.data import load
from wnrepro.intervals import t_interval
from wnrepro.mechanisms import figures
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.figures import CASES
from wnrepro.nn.weight_norm import weight_norm

NAME = "whitening"
SAME = 1e-6
DIFFERENT = 1e-2
N_CLASSES = 10
PRECISIONS = (("float32", 0.0), ("float64", 0.0), ("float64", 1e-6))
"""Each with batch norm's ε."""


def parts(smoke: bool) -> list[Part]:
    steps, seeds = (20, 2) if smoke else (1000, 5)
    return [
        {
            "data": data,
            "batch": batch,
            "precision": precision,
            "eps": eps,
            "seed": seed,
            "steps": steps,
            "learning_rate": 0.3,
            "v_std": 0.05,
        }
        for data, batch in CASES
        for precision, eps in PRECISIONS
        for seed in range(seeds)
    ]


def whitened(images: Tensor) -> Tensor:
    """Centred and rotated such that the covariance is the identity; constant directions left out.

    images: (N, d). Returns (N, r), r the rank. PCA and not ZCA whitening: what a layer can compute
    does not depend on the rotation, and only so constant pixels can be dropped.
    """
    centred = images - images.mean(0)
    _, s, axes = torch.linalg.svd(centred, full_matrices=False)
    kept = s > 1e-10 * s[0]
    return centred @ axes[kept].T / s[kept] * len(images) ** 0.5


def normalised(arm: str, x: Tensor, v: Tensor, g: Tensor, b: Tensor, eps: float) -> Tensor:
    """One layer without a nonlinearity, (N, units); batch norm with the statistics of x itself."""
    if arm == "wn":
        return x @ weight_norm(v, g).T + b
    t = x @ v.T
    variance, mean = torch.var_mean(t, 0, correction=0)
    return g * (t - mean) / (variance + eps).sqrt() + b


def measure(part: Part) -> dict[str, list[Row]]:
    """Two layers from one start, one per arm, trained on the same batches: how far apart.

    Softmax regression by one normalised layer with g = 1 and b = 0 at the start.
    """
    dtype = torch.float64 if part["precision"] == "float64" else torch.float32
    train = load("digits").train
    x = train.images.flatten(1).double()
    x = (whitened(x) if part["data"] == "whitened" else x).to(dtype)
    seed = torch.Generator().manual_seed(int(part["seed"]))
    start = float(part["v_std"]) * torch.randn(N_CLASSES, x.shape[1], generator=seed).to(dtype)
    one, zero = torch.ones(N_CLASSES, dtype=dtype), torch.zeros(N_CLASSES, dtype=dtype)
    layers = {
        arm: [each.clone().requires_grad_() for each in (start, one, zero)] for arm in ("wn", "bn")
    }
    key: Row = {name: part[name] for name in ("data", "batch", "precision", "eps", "seed")}
    rate, eps, steps = float(part["learning_rate"]), float(part["eps"]), int(part["steps"])
    rows: list[Row] = []
    for step, batch in enumerate(_batches(str(part["batch"]), len(x), steps, seed)):
        outputs, losses = {}, {}
        for arm, layer in layers.items():
            logits = normalised(arm, x[batch], *layer, eps)
            loss = cross_entropy(logits, train.labels[batch])
            for p, gradient in zip(layer, torch.autograd.grad(loss, layer), strict=True):
                p.detach().sub_(rate * gradient)
            outputs[arm], losses[arm] = logits.detach().double(), loss.item()
        if step & (step - 1) == 0 or step == steps - 1:
            difference = (outputs["wn"] - outputs["bn"]).abs().max() / outputs["wn"].abs().max()
            rows.append(
                {
                    **key,
                    "steps_done": step,
                    "output_difference_relative": difference.item(),
                    "wn_loss_nats": losses["wn"],
                    "bn_loss_nats": losses["bn"],
                }
            )
    return {NAME: rows}


def _batches(batch: str, n: int, steps: int, seed: torch.Generator) -> Iterator[Tensor]:
    for _ in range(steps):
        yield torch.arange(n) if batch == "all" else torch.randperm(n, generator=seed)[: int(batch)]


def verdict(data: Data) -> Verdict:
    rows = data[NAME].assign(batch=data[NAME].batch.astype(str))
    seeds = rows.seed.nunique()
    n = f"{seeds} seeds"
    chosen = (rows.precision == "float32") & (rows.eps == 0) & (rows.batch == "all")
    start = rows[chosen & (rows.steps_done == 0)]
    white = float(start[start.data == "whitened"].output_difference_relative.max())
    raw = t_interval(np.log10(start[start.data == "raw"].output_difference_relative))
    outcome = decide(
        seeds,
        reproduced=white < SAME and raw.low > math.log10(DIFFERENT),
        not_reproduced=white >= SAME or raw.high < math.log10(DIFFERENT),
    )
    findings = [
        Finding.maximum(
            "whitened, all images, at the start: largest difference of the outputs, relative",
            *(f"{white:.1e}", n),
        ),
        Finding.of_logarithm("not whitened, all images, at the start: the same", raw, ".2g"),
    ]
    for precision, eps in PRECISIONS:
        own = rows[(rows.precision == precision) & (rows.eps == eps)]
        for (which, batch), title in CASES.items():
            case = own[(own.data == which) & (own.batch == batch)]
            findings.append(
                Finding.maximum(
                    f"{title}, {precision}, ε = {eps:g}: largest difference, at any step shown, "
                    f"of {case.steps_done.max() + 1}",
                    *(f"{case.output_difference_relative.max():.1e}", n),
                )
            )
    because = (
        f"At the start the outputs differ by {white:.0e} of the largest on whitened inputs and by "
        f"{10**raw.estimate:.2g} on the same inputs not whitened (n = {seeds} seeds, float32)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


EXPERIMENT = Experiment.of(NAME, parts, measure, verdict, figures.whitening)
