"""Data-dependent init: pre-activations through 2 to 64 layers, and whether training starts."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wnrepro.arms import ARMS
from wnrepro.intervals import t_interval, wilson_interval
from wnrepro.mechanisms import figures
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import INIT_IMAGES, Run, training, training_part, units

NAME = "init"
MOMENT_TOLERANCE = 0.01
STARTED_NATS = math.log(10) / 2
"""Training has started when the loss is half of that of a guess among ten classes."""
ARMS_SHOWN = ("wn", "plain")
WITH = {0: "without the init", 1: "with the init"}


def parts(smoke: bool) -> list[Part]:
    depths, rates = (2, 4, 8, 16, 32, 64), (1e-4, 3e-4, 1e-3, 3e-3)
    seeds, epochs, width = 5, 10, 128
    if smoke:
        depths, rates, seeds, epochs, width = (2, 8), (1e-3,), 2, 1, 32
    return [
        training_part(
            *(arm, "adam", rate or 0.0, seed, epochs, width, depth),
            kind="moments" if rate is None else "training",
            init=init,
        )
        for depth in depths
        for rate in (None, *rates)
        for arm in ARMS_SHOWN
        for init in (0, 1)
        for seed in range(seeds)
    ]


def measure(part: Part) -> dict[str, list[Row]]:
    run = training(part)
    key: Row = {name: part[name] for name in ("arm", "init", "depth", "seed")}
    if part["kind"] == "moments":
        return {f"{NAME}_layers": [{**key, **row} for row in layers(run)]}
    found = list(run.losses())
    finite = math.isfinite(found[-1])
    row: Row = {
        **key,
        "learning_rate": part["learning_rate"],
        "diverged": int(not finite),
        "train_loss_first_epoch_nats": found[0],
        "train_loss_nats": found[-1] if finite else math.inf,
    }
    return {NAME: [row]}


def layers(run: Run) -> list[dict[str, float]]:
    """Per layer, of its pre-activations t before the first step: means and variances of its units.

    On the 500 images that the init saw ("init_batch") and on 500 others ("other"), and the root of
    the mean square of ∇_t L on the former.
    """
    order = run.order()
    images, labels = run.dataset.train.images[order], run.dataset.train.labels[order]
    seen, others = slice(0, INIT_IMAGES), slice(INIT_IMAGES, 2 * INIT_IMAGES)
    ts: list[Tensor] = []

    def keep(module: object, args: object, t: Tensor) -> None:
        ts.append(t)

    hooks = [unit.normaliser.register_forward_hook(keep) for unit in units(run.model).values()]
    run.model.train()
    loss = cross_entropy(run.model(images[seen]), labels[seen])
    run.model(images[others])
    for hook in hooks:
        hook.remove()
    n = len(hooks)
    gradients = torch.autograd.grad(loss, ts[:n])
    return [
        {
            "layer": number,
            **_moments(t, "init_batch"),
            **_moments(other, "other"),
            "gradient_rms": float(gradient.double().square().mean().sqrt()),
        }
        for number, (t, other, gradient) in enumerate(
            zip(ts[:n], ts[n:], gradients, strict=True), 1
        )
    ]


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
    variances = wn[["init_batch_lowest_variance", "init_batch_highest_variance"]]
    off = max(wn.init_batch_largest_mean.max(), (variances - 1).abs().max(axis=None))
    without, with_init = (deepest(data[NAME], "wn", init) for init in (0, 1))
    plain = deepest(data[NAME], "plain", 1)
    gain = t_interval(np.log2(with_init) - np.log2(without))
    normalised = bool(off < MOMENT_TOLERANCE)
    outcome = decide(
        gain.n,
        reproduced=normalised and gain.low > 0,
        not_reproduced=not normalised or gain.high <= 0,
    )
    findings = [
        Finding.maximum(
            "weight norm, with the init: furthest that any unit's mean is from 0, or variance from "
            "1, on the images of the init",
            f"{off:.1e}",
            f"all units of {wn.depth.nunique()} depths, {wn.seed.nunique()} seeds",
        ),
        *_variances(rows),
        Finding.of_interval(
            "weight norm: doublings of the depth up to which training starts, gained by the init",
            *(gain, "+.2f", f" (without: {_depths(without)}; with: {_depths(with_init)})"),
        ),
        *_starts(data[NAME]),
    ]
    because = (
        f"With the init every mean is 0 and every variance 1 to {off:.0e} through up to "
        f"{rows.depth.max()} layers on the images it saw; training of weight norm starts up to "
        f"depth {_depths(with_init)} with it and {_depths(without)} without; plain's with it up to "
        f"{_depths(plain)} (n = {gain.n} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), gain.n)


def deepest(runs: pd.DataFrame, arm: str, init: int) -> list[int]:
    """Per seed the largest depth up to which training starts at every depth; 1 if at none."""
    own = runs[(runs.arm == arm) & (runs.init == init)]
    best = own.groupby(["seed", "depth"]).train_loss_nats.min().unstack("depth").sort_index(axis=1)
    started = (best < STARTED_NATS).cummin(axis=1)
    return [int(started.columns[row].max()) if row.any() else 1 for row in started.to_numpy()]


def _variances(rows: pd.DataFrame) -> list[Finding]:
    """The variance in the last layer of the deepest network, on images new to the init."""
    deep = rows.depth.max()
    last = rows[(rows.depth == deep) & (rows.layer == deep + 1) & (rows.arm == "wn")]
    found = []
    for init, own in last.groupby("init"):
        each = t_interval(np.log10(own.other_median_variance))
        found.append(
            Finding(
                f"weight norm, {WITH[init]}: log₁₀ of the variance in the last of {deep + 1} "
                "layers, images that the init did not see",
                *(f"{each.estimate:.2f}", each.text(".2f"), f"median over units, {each.n} seeds"),
            )
        )
    return found


def _starts(runs: pd.DataFrame) -> list[Finding]:
    found = []
    best = runs.groupby(["arm", "init", "depth", "seed"]).train_loss_nats.min()
    for arm in ARMS_SHOWN:
        for init in WITH:
            for depth in sorted(runs.depth.unique())[-3:]:
                losses = best[arm, init, depth]
                share = wilson_interval(int((losses < STARTED_NATS).sum()), len(losses))
                found.append(
                    Finding(
                        f"{ARMS[arm].label}, {WITH[init]}, depth {depth}: seeds that start at one "
                        "of the rates",
                        f"{round(share.estimate * share.n)} of {share.n}",
                        *(share.text(".2f"), f"{share.n} seeds"),
                    )
                )
    return found


def _depths(reached: list[int]) -> str:
    return f"{min(reached)}" if min(reached) == max(reached) else f"{min(reached)}–{max(reached)}"


EXPERIMENT = Experiment.of(NAME, parts, measure, verdict, figures.init)
