"""Data-dependent init: pre-activations through 2 to 64 layers, and whether training starts."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wnrepro.arms import ARMS
from wnrepro.classification import loss_and_errors
from wnrepro.engine import Training
from wnrepro.mechanisms import init_figure
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import INIT_IMAGES, training, units
from wnrepro.statistics import t_interval, wilson_interval

NAME = "init"
MOMENT_TOLERANCE = 0.01
STARTED_NATS = math.log(10) / 2
"""Training has started when the loss is half of that of a guess among ten classes."""
ARMS_SHOWN = ("wn", "plain")


@dataclass(frozen=True)
class Settings:
    depths: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    seeds: int = 5
    epochs: int = 10
    width: int = 128


FULL = Settings()
SMOKE = Settings(depths=(2, 8), rates=(1e-3,), seeds=2, epochs=1, width=32)


def parts(smoke: bool) -> list[Part]:
    settings = SMOKE if smoke else FULL
    return [
        {
            "kind": "moments" if rate is None else "training",
            "arm": arm,
            "init": init,
            "depth": depth,
            "seed": seed,
            "optimiser": "adam",
            "learning_rate": rate or 0.0,
            "epochs": settings.epochs,
            "batch_size": 100,
            "width": settings.width,
        }
        for depth in settings.depths
        for rate in (None, *settings.rates)
        for arm in ARMS_SHOWN
        for init in (0, 1)
        for seed in range(settings.seeds)
    ]


def measure(part: Part) -> dict[str, list[Row]]:
    run = training(part)
    key: Row = {name: part[name] for name in ("arm", "init", "depth", "seed")}
    if part["kind"] == "moments":
        return {f"{NAME}_layers": [{**key, **row} for row in layers(run)]}
    losses = [metrics.train_loss for metrics in run.epochs()]
    row: Row = {
        **key,
        "learning_rate": part["learning_rate"],
        "diverged": int(not math.isfinite(losses[-1])),
        "train_loss_first_epoch_nats": losses[0],
        "train_loss_nats": losses[-1] if math.isfinite(losses[-1]) else math.inf,
    }
    return {NAME: [row]}


def layers(run: Training) -> list[dict[str, float]]:
    """Per layer, of its pre-activations t before the first step: means and variances of its units.

    On the 500 images that the init saw ("init_batch") and on 500 others ("other"), and the root of
    the mean square of ∇_t L on the former.
    """
    order = run.streams.permutation(len(run.dataset.train), 0)
    images, labels = run.dataset.train.images[order], run.dataset.train.labels[order]
    seen, others = slice(0, INIT_IMAGES), slice(INIT_IMAGES, 2 * INIT_IMAGES)
    run.model.train()
    with _pre_activations(run) as seen_t:
        logits = run.model(images[seen])
        loss_and_errors(logits, labels[seen])[0].backward()
    with _pre_activations(run) as other_t, torch.no_grad():
        run.model(images[others])
    rows = []
    for number, (t, other) in enumerate(zip(seen_t, other_t, strict=True), 1):
        gradient = t.grad
        assert gradient is not None
        rows.append(
            {
                "layer": number,
                **_moments(t, "init_batch"),
                **_moments(other, "other"),
                "gradient_rms": float(gradient.double().square().mean().sqrt()),
            }
        )
    return rows


@contextmanager
def _pre_activations(run: Training) -> Iterator[list[Tensor]]:
    """Collects every unit's pre-activation, with its gradient, while the model is called."""
    found: list[Tensor] = []

    def keep(module: object, args: object, t: Tensor) -> None:
        if t.requires_grad:
            t.retain_grad()
        found.append(t)

    hooks = [unit.normaliser.register_forward_hook(keep) for unit in units(run.model).values()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _moments(t: Tensor, images: str) -> dict[str, float]:
    var, mean = torch.var_mean(t.detach().double(), 0, correction=0)
    return {
        f"{images}_largest_mean": float(mean.abs().max()),
        f"{images}_median_variance": float(var.median()),
        f"{images}_lowest_variance": float(var.min()),
        f"{images}_highest_variance": float(var.max()),
    }


def verdict(data: Data) -> Verdict:
    rows = data[f"{NAME}_layers"]
    wn = rows[(rows.arm == "wn") & (rows.init == 1)]
    off = pd.concat(
        [
            wn.init_batch_largest_mean,
            (wn.init_batch_lowest_variance - 1).abs(),
            (wn.init_batch_highest_variance - 1).abs(),
        ]
    ).max()
    reach = {init: deepest(data[NAME], "wn", init) for init in (0, 1)}
    gain = t_interval([np.log2(b) - np.log2(a) for a, b in zip(reach[0], reach[1], strict=True)])
    normalised = bool(off < MOMENT_TOLERANCE)
    outcome = decide(
        gain.n,
        reproduced=normalised and gain.low > 0,
        not_reproduced=not normalised or gain.high <= 0,
    )
    deep = int(rows.depth.max())
    findings = [
        Finding(
            "weight norm, with the init: furthest that any unit's mean is from 0, or variance from "
            "1, on the images of the init",
            f"{off:.1e}",
            "none: a maximum",
            f"all units of {wn.depth.nunique()} depths, {wn.seed.nunique()} seeds",
        ),
        *_variances(rows, deep),
        Finding.of_interval(
            "weight norm: doublings of the depth up to which training starts, gained by the init",
            gain,
            "+.2f",
            f" (without: {_depths(reach[0])}; with: {_depths(reach[1])})",
        ),
        *_starts(data[NAME]),
    ]
    because = (
        f"With the init every mean is 0 and every variance 1 to {off:.0e} through up to {deep} "
        f"layers on the images it saw; training of weight norm starts up to depth "
        f"{_depths(reach[1])} with it and {_depths(reach[0])} without (n = {gain.n} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), gain.n)


def deepest(runs: pd.DataFrame, arm: str, init: int) -> list[int]:
    """Per seed the largest depth up to which training starts at every depth; 1 if at none."""
    own = runs[(runs.arm == arm) & (runs.init == init)]
    best = own.groupby(["seed", "depth"]).train_loss_nats.min().unstack("depth").sort_index(axis=1)
    found = []
    for _, losses in best.iterrows():
        reached = 1
        for depth, loss in losses.items():
            if not loss < STARTED_NATS:
                break
            reached = int(str(depth))
        found.append(reached)
    return found


def _variances(rows: pd.DataFrame, deep: int) -> list[Finding]:
    """The variance in the last layer of the deepest network, on images new to the init."""
    last = rows[(rows.depth == deep) & (rows.layer == deep + 1)]
    found = []
    for init in (0, 1):
        own = last[(last.arm == "wn") & (last.init == init)].other_median_variance
        if len(own):
            each = t_interval(np.log10(own))
            found.append(
                Finding(
                    f"weight norm, {'with' if init else 'without'} the init: log₁₀ of the variance "
                    f"in the last of {deep + 1} layers, images that the init did not see",
                    f"{each.estimate:.2f}",
                    each.text(".2f"),
                    f"median over units, {each.n} seeds",
                )
            )
    return found


def _starts(runs: pd.DataFrame) -> list[Finding]:
    found = []
    for arm in ARMS_SHOWN:
        for init in (0, 1):
            own = runs[(runs.arm == arm) & (runs.init == init)]
            for depth in sorted(own.depth.unique())[-3:]:
                best = own[own.depth == depth].groupby("seed").train_loss_nats.min()
                share = wilson_interval(int((best < STARTED_NATS).sum()), len(best))
                found.append(
                    Finding(
                        f"{ARMS[arm].label}, {'with' if init else 'without'} the init, depth "
                        f"{depth}: seeds that start at one of the rates",
                        f"{round(share.estimate * share.n)} of {share.n}",
                        share.text(".2f"),
                        f"{share.n} seeds",
                    )
                )
    return found


def _depths(reached: list[int]) -> str:
    return f"{min(reached)}" if min(reached) == max(reached) else f"{min(reached)}–{max(reached)}"


def caption(data: Data) -> str:
    n = data[NAME].seed.nunique()
    return (
        "Upper left: variance of the pre-activations, median over the units of a layer, in the "
        "deepest network; the dashed line is on images that the init did not see. Upper right: "
        "root of the mean square of the loss's gradient by the pre-activations, before the first "
        "step. Below: training loss after training at the best of the learning rates, "
        f"against the depth; one dot per seed, lines: median. n = {n} seeds, bands: their range. "
        "Dotted: ln 10, the loss of a guess; dashed: half of it, below which training has started."
    )


EXPERIMENT = Experiment(
    name=NAME,
    title="The data-dependent init, and depth",
    claim="""
Weight normalisation does not by itself fix the scale of a layer's features, as batch normalisation
does. One forward pass on a first batch, which sets g and b of each layer from the mean μ and the
standard deviation σ of its pre-activations there, makes all features start with mean 0 and variance
1 on that batch, through any number of layers. (That training then starts is not said in so many
words; it is what the init is for.)""",
    source="Section 3, equations 5 and 6",
    equation=r"""
$$t = \frac{v\cdot x}{\lVert v\rVert}, \qquad g \leftarrow \frac{1}{\sigma[t]}, \qquad
b \leftarrow -\frac{\mu[t]}{\sigma[t]} \quad\Longrightarrow\quad
\mu[g\,t+b] = 0, \quad \sigma[g\,t+b] = 1$$""",
    setup="""
Perceptrons with 2 to 64 hidden layers of 128 units (leaky ReLU) on the digits, with weight
normalisation, and plain with the same starting weights. The init sees 500 images; means and
variances are taken on these and on 500 others. Training: Adam, 10 epochs of 14 batches of 100,
learning rates 0.0001, 0.0003, 0.001 and 0.003, of which the best counts; 5 seeds. Without the init
g = 1 and b = 0. The rates were chosen after looking at one run each.""",
    expectation="""
On the batch of the init the moments are exact but for rounding, at every depth. Without the init a
unit vector w keeps only about half of the variance from layer to layer (leaky ReLU, one half of a
symmetric distribution), 2⁻⁶⁴ after 64 layers, and the gradient vanishes alike, so that deep
networks do not start. With the init they should start at larger depths; at 64 layers perhaps not,
since normalising every layer makes gradients grow from layer to layer.""",
    reproduced_if="""
with weight norm and the init every unit's mean is within 0.01 of 0 and its variance within 0.01 of
1 on the images of the init, at every depth, and training starts (loss below half of ln 10) up to a
larger depth with the init than without (lower end of the interval of the paired difference of the
logarithms above 0).""",
    not_reproduced_if="""
a moment is off by more, or the init gains no depth (upper end at 0 or below).""",
    afterwards="""
At 64 layers the moments are as they should be and training does not start all the same. The init
replaces a gradient that vanishes towards the input by one that explodes towards it (upper right),
and it fits its own images: on others the variance grows with depth. Nor is the gain weight norm's
own: the plain network with the same init reaches the same depths. The depths are doublings; where
between 32 and 64 training stops to start was not measured, nor were rates below 0.0001 or more than
10 epochs.""",
    parts=parts,
    measure=measure,
    verdict=verdict,
    draw=init_figure.draw,
    caption=caption,
)
