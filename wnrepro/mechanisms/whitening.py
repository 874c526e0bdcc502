"""Whitened inputs: for one layer batch norm and weight norm are the same function (sec. 2.2)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy

from wnrepro.drawing import BLUE, BROWN, INK, PURPLE, RED, label, panels
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import digits
from wnrepro.nn.weight_norm import weight_norm
from wnrepro.statistics import t_interval

NAME = "whitening"
SAME = 1e-6
DIFFERENT = 1e-2
N_CLASSES = 10
CASES = {
    # (data, batch): (title, colour, marker)
    ("whitened", "all"): ("whitened, all images", BLUE, "o"),
    ("whitened", "100"): ("whitened, batches of 100", PURPLE, "v"),
    ("raw", "all"): ("not whitened, all images", RED, "^"),
    ("raw", "100"): ("not whitened, batches of 100", BROWN, "s"),
}


@dataclass(frozen=True)
class Settings:
    steps: int = 1000
    seeds: int = 5


FULL, SMOKE = Settings(), Settings(steps=20, seeds=2)


def parts(smoke: bool) -> list[Part]:
    settings = SMOKE if smoke else FULL
    return [
        {
            "data": data,
            "batch": batch,
            "precision": precision,
            "eps": eps,
            "seed": seed,
            "steps": settings.steps,
            "learning_rate": 0.3,
            "v_std": 0.05,
        }
        for data, batch in CASES
        for precision, eps in (("float32", 0.0), ("float64", 0.0), ("float64", 1e-6))
        for seed in range(settings.seeds)
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
    """Two layers from one start, one per arm, trained on the same batches: how far apart."""
    dtype = torch.float64 if part["precision"] == "float64" else torch.float32
    train = digits().train
    x = train.images.flatten(1).double()
    x = (whitened(x) if part["data"] == "whitened" else x).to(dtype)
    seed = torch.Generator().manual_seed(int(part["seed"]))
    start = float(part["v_std"]) * torch.randn(N_CLASSES, x.shape[1], generator=seed).to(dtype)
    layers = {arm: _Layer(arm, start, float(part["eps"])) for arm in ("wn", "bn")}
    rows: list[Row] = []
    for step, batch in enumerate(_batches(str(part["batch"]), len(x), int(part["steps"]), seed)):
        outputs, losses = {}, {}
        for arm, layer in layers.items():
            outputs[arm], losses[arm] = layer.step(
                x[batch], train.labels[batch], float(part["learning_rate"])
            )
        if step & (step - 1) == 0 or step == int(part["steps"]) - 1:
            difference = (outputs["wn"] - outputs["bn"]).abs().max() / outputs["wn"].abs().max()
            rows.append(
                {
                    **{key: part[key] for key in ("data", "batch", "precision", "eps", "seed")},
                    "steps_done": step,
                    "output_difference_relative": difference.item(),
                    "wn_loss_nats": losses["wn"],
                    "bn_loss_nats": losses["bn"],
                }
            )
    return {NAME: rows}


class _Layer:
    """Softmax regression by one normalised layer: v from the start given, g = 1, b = 0."""

    def __init__(self, arm: str, v: Tensor, eps: float) -> None:
        self.arm, self.eps = arm, eps
        self.v = v.clone().requires_grad_()
        self.g = torch.ones(len(v), dtype=v.dtype, requires_grad=True)
        self.b = torch.zeros(len(v), dtype=v.dtype, requires_grad=True)

    def step(self, x: Tensor, labels: Tensor, rate: float) -> tuple[Tensor, float]:
        """One step of gradient descent; outputs and loss before it."""
        outputs = normalised(self.arm, x, self.v, self.g, self.b, self.eps)
        loss = cross_entropy(outputs, labels)
        own = (self.v, self.g, self.b)
        with torch.no_grad():
            for p, gradient in zip(own, torch.autograd.grad(loss, own), strict=True):
                p.sub_(rate * gradient)
        return outputs.detach().double(), loss.item()


def _batches(batch: str, n: int, steps: int, seed: torch.Generator) -> Iterator[Tensor]:
    for _ in range(steps):
        yield torch.arange(n) if batch == "all" else torch.randperm(n, generator=seed)[: int(batch)]


def verdict(data: Data) -> Verdict:
    rows = data[NAME]
    seeds = rows.seed.nunique()
    single = rows[(rows.precision == "float32") & (rows.eps == 0)]
    full = single[single.batch.astype(str) == "all"]
    start = full[full.steps_done == 0]
    white = float(start[start.data == "whitened"].output_difference_relative.max())
    raw = t_interval(np.log10(start[start.data == "raw"].output_difference_relative))
    outcome = decide(
        seeds,
        reproduced=white < SAME and raw.low > math.log10(DIFFERENT),
        not_reproduced=white >= SAME or raw.high < math.log10(DIFFERENT),
    )
    findings = [
        Finding(
            "whitened, all images, at the start: largest difference of the outputs, relative",
            f"{white:.1e}",
            "none: a maximum",
            f"{seeds} seeds",
        ),
        Finding(
            "not whitened, all images, at the start: the same",
            f"{10**raw.estimate:.2g}",
            f"[{10**raw.low:.2g}, {10**raw.high:.2g}], {raw.name}, of the logarithm",
            f"{seeds} seeds",
        ),
    ]
    for precision, eps in (("float32", 0.0), ("float64", 0.0), ("float64", 1e-6)):
        own = rows[(rows.precision == precision) & (rows.eps == eps)]
        for (which, batch), (title, *_) in CASES.items():
            case = own[(own.data == which) & (own.batch.astype(str) == batch)]
            last = case[case.steps_done == case.steps_done.max()]
            findings.append(
                Finding(
                    f"{title}, {precision}, ε = {eps:g}: largest difference, at any step shown, "
                    f"of {last.steps_done.max() + 1}",
                    f"{case.output_difference_relative.max():.1e}",
                    "none: a maximum",
                    f"{seeds} seeds",
                )
            )
    because = (
        f"At the start the outputs differ by {white:.0e} of the largest on whitened inputs and by "
        f"{10**raw.estimate:.2g} on the same inputs not whitened (n = {seeds} seeds, float32)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


def draw(data: Data) -> Figure:
    figure, (left, right) = panels(2, 3.6, sharey=True)
    rows = data[NAME]
    for axes, precision in ((left, "float32"), (right, "float64")):
        own = rows[(rows.precision == precision) & (rows.eps == 0)]
        for k, ((which, batch), (_, colour, marker)) in enumerate(CASES.items()):
            case = own[(own.data == which) & (own.batch.astype(str) == batch)]
            # At every other point: those of two lines that lie upon one another alternate.
            _draw_line(axes, case, colour, marker=marker, markevery=(k % 2, 2))
        axes.set(xscale="symlog", yscale="log", title=precision, xlabel="steps of training")
        axes.set_xlim(left=0)
    with_eps = rows[(rows.eps > 0) & (rows.data == "whitened") & (rows.batch.astype(str) == "all")]
    ink = rcParams[INK]
    _draw_line(right, with_eps, ink)
    if len(with_eps):
        middle = with_eps.groupby("steps_done").output_difference_relative.median()
        label(
            right, middle.index[1], middle.iloc[1], "whitened, all images, ε = 1e-6", ink,
            xytext=(0, 9), fontsize=9,
        )  # fmt: skip
    left.set_ylabel("difference of outputs, batch norm\nagainst weight norm, relative")
    cases = CASES.values()
    lines = [left.plot([], [], color=colour, marker=marker)[0] for _, colour, marker in cases]
    names = [title for title, *_ in cases]
    figure.legend(lines, names, loc="outside upper left", ncols=2, fontsize=10)
    return figure


def _draw_line(axes: Axes, rows: pd.DataFrame, colour: str, **options: Any) -> None:
    # Exactly equal outputs have no place on a logarithmic axis.
    by_step = rows[rows.output_difference_relative > 0].groupby("steps_done")
    by_step = by_step.output_difference_relative
    middle = by_step.median()
    axes.plot(middle.index, middle, color=colour, **options)
    axes.fill_between(
        middle.index, by_step.min(), by_step.max(), color=colour, alpha=0.2, linewidth=0
    )


def caption(data: Data) -> str:
    seeds = data[NAME].seed.nunique()
    return (
        "Largest difference between the outputs of a layer with batch norm and one with weight "
        "norm that began alike and were trained on the same batches, relative to the largest "
        "output. ε = 0 in batch norm's denominator, but for the grey line. Lines: median, bands: "
        f"range of {seeds} seeds; steps 0, 1, 2, 4, … and the last are shown."
    )


EXPERIMENT = Experiment(
    name=NAME,
    title="On whitened inputs, batch norm is weight norm",
    claim="""
For a single layer whose inputs are whitened (mean 0, covariance the identity), the pre-
activation t = v·x has mean 0 and standard deviation ‖v‖. Dividing by the one is dividing by the
other: batch norm and weight norm are then the same.""",
    source="Section 2.2",
    equation=r"""
$$\mu[t] = 0,\quad \sigma[t] = \lVert v\rVert \quad\Longrightarrow\quad
g\,\frac{t-\mu[t]}{\sigma[t]} + b = \frac{g}{\lVert v\rVert}\,v\cdot x + b$$""",
    setup="""
One layer with ten outputs, softmax regression on the 1437 digits of 8×8 pixels, whitened in
float64 (constant directions left out) or not; v ~ N(0, 0.05²), g = 1, b = 0; 1000 steps of
gradient descent with rate 0.3 on all images at once, or on random batches of 100. Batch norm
uses the statistics of the images of the step, the biased standard deviation, and ε = 0; also ε
= 1e-6, the authors'. 5 seeds.""",
    expectation="""
With all images at once the two are one function of v, g and b, so they agree at the start to
rounding and stay together while they train, apart from rounding that training amplifies. A
batch of 100 is not white itself, so there they differ from the first step on. On inputs that
are not whitened they differ from the start.""",
    reproduced_if="""
on whitened inputs, all images at once, in float32, the outputs at the start differ by less than
1e-6 of the largest, and on inputs that are not whitened by more than 1e-2 (interval over
seeds).""",
    not_reproduced_if="one of the two fails (whole interval).",
    afterwards="""
The equality is one of functions of (v, g, b), so gradients agree as well and the two stay
together for all 1000 steps. Batches of 100 of the same whitened inputs are so far from white
that batch norm differs from weight norm by a fifth of the largest output from the first step
on: in practice the argument is one about the mean behaviour of batch norm, without its noise.
The authors' ε of 1e-6 alone is a difference of some 5e-6.""",
    parts=parts,
    measure=measure,
    verdict=verdict,
    draw=draw,
    caption=caption,
)
