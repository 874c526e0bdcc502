"""The noise that batch statistics add to an activation: its kurtosis (paper, section 4)."""

from collections.abc import Iterator

import pandas as pd
import torch
from torch import Tensor, nn

from wnrepro.arms import ARMS
from wnrepro.intervals import Interval, t_interval
from wnrepro.mechanisms import figures
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import stops, training, training_part, units
from wnrepro.nn import BatchNorm, NormalizedLayer

NAME = "mean_noise"
ARMS_SHOWN = ("mean_only_bn", "bn")
GAUSSIAN = 0.5
"""An excess kurtosis below this counts as close to Gaussian, one above as high."""


def parts(smoke: bool) -> list[Part]:
    seeds, epochs, measured_at = (2, 1, "0 1") if smoke else (5, 20, "0 1 5 20")
    width, batches, examples = (16, 300, 4) if smoke else (128, 4000, 16)
    return [
        training_part(
            *(arm, "adam", 0.003, seed, epochs, width),
            measured_at=measured_at,
            batches=batches,
            examples=examples,
        )
        for arm in ARMS_SHOWN
        for seed in range(seeds)
    ]


def excess_kurtosis(x: Tensor, dim: int = 0) -> Tensor:
    """E[(x − E x)⁴]/Var[x]² − 3 over `dim`: 0 for a Gaussian, 3 for Laplace's distribution."""
    centred = x - x.mean(dim, keepdim=True)
    return centred.pow(4).mean(dim) / centred.square().mean(dim).square() - 3


def pre_normaliser(
    model: nn.Module, images: Tensor
) -> Iterator[tuple[str, NormalizedLayer, Tensor]]:
    """t = w·x of each layer, (N, units) in float64, the layers below normalised by all N images."""
    x = images.flatten(1).double()
    for name, unit in units(model).items():
        t = x @ unit.linear.get_parameter("weight").detach().double().T
        yield name, unit, t
        x = unit.nonlinearity(normalised(unit, t, t.mean(0), t.var(0, correction=0)))


def normalised(unit: NormalizedLayer, t: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The pre-activation of t with the given statistics, as the unit's arm has it."""
    if isinstance(unit.normaliser, BatchNorm):
        g = unit.normaliser.g.detach().double()
        t = g * (t - mean) / (variance + unit.normaliser.eps).sqrt()
    else:
        t = t - mean
    return t + unit.b.detach().double()


def noise(unit: NormalizedLayer, t: Tensor, examples: Tensor, batches: Tensor) -> Tensor:
    """What the batch's statistics add to the pre-activation of an example, against all images'.

    t: (N, units). examples: (E,) and batches: (B, n − 1), row numbers: each example is put into
    each batch in turn, which then has n images. Returns (B, E, units).
    """
    n = batches.shape[1] + 1
    sums = torch.stack([t[row].sum(0) for row in batches])
    squares = torch.stack([t[row].square().sum(0) for row in batches])
    own = t[examples]
    mean = (sums[:, None] + own) / n
    variance = ((squares[:, None] + own.square()) / n - mean.square()).clamp(min=0)
    clean = normalised(unit, own, t.mean(0), t.var(0, correction=0))
    return normalised(unit, own, mean, variance) - clean


@torch.no_grad()
def _kurtosis_rows(part: Part, model: nn.Module, images: Tensor, epoch: int) -> Iterator[Row]:
    draw = torch.Generator().manual_seed(int(part["seed"]))
    n = len(images)
    examples = torch.randperm(n, generator=draw)[: int(part["examples"])]
    size = int(part["batch_size"]) - 1
    drawn = (torch.randperm(n, generator=draw)[:size] for _ in range(int(part["batches"])))
    batches = torch.stack(list(drawn))
    for layer, unit, t in pre_normaliser(model, images):
        added = noise(unit, t, examples, batches)  # (batches, examples, units)
        each, pooled = excess_kurtosis(added).flatten(), excess_kurtosis(added.flatten(0, 1))
        each = each[each.isfinite()]  # an activation without noise has none
        low, middle, high = torch.quantile(each, torch.tensor([0.1, 0.5, 0.9]).double()).tolist()
        yield {
            "arm": part["arm"],
            "seed": part["seed"],
            "epoch": epoch,
            "layer": layer,
            "kurtosis_median": middle,
            "kurtosis_q10": low,
            "kurtosis_q90": high,
            "kurtosis_over_examples_median": pooled[pooled.isfinite()].median().item(),
            "noise_std_median": added.std(0).median().item(),
            "batches": part["batches"],
        }


def measure(part: Part) -> dict[str, list[Row]]:
    """One training; the noise of each layer at several points of it."""
    run = training(part)
    images = run.dataset.train.images
    rows: list[Row] = []
    for epoch in stops(run, part):
        rows += _kurtosis_rows(part, run.model, images, epoch)
    return {NAME: rows}


def _by_seed(rows: pd.DataFrame, arm: str, column: str) -> Interval:
    """Mean over layers and points of the training, then over seeds."""
    return t_interval(rows[rows.arm == arm].groupby("seed")[column].mean())


def verdict(data: Data) -> Verdict:
    rows = data[NAME]
    seeds, epochs = rows.seed.nunique(), rows.epoch.max()
    single, pooled = (
        [_by_seed(rows, arm, column) for arm in ARMS_SHOWN]
        for column in ("kurtosis_median", "kurtosis_over_examples_median")
    )
    found = [
        (f"{ARMS[arm].label}: excess kurtosis {what}", each)
        for what, intervals in (
            ("of one activation over batches, median of units and examples", single),
            ("over batches and examples together, median of units", pooled),
        )
        for arm, each in zip(ARMS_SHOWN, intervals, strict=True)
    ]
    last = rows[rows.epoch == epochs]
    found += [
        (
            f"{ARMS[arm].label}, layer {layer}, after {epochs} epochs: of one activation",
            _by_seed(last[last.layer == layer], arm, "kurtosis_median"),
        )
        for layer in dict.fromkeys(rows.layer)
        for arm in ARMS_SHOWN
    ]
    means = rows.groupby(["arm", "seed"]).kurtosis_median.mean()
    gap = t_interval(means["bn"] - means["mean_only_bn"])
    what = "batch norm's excess kurtosis of one activation minus mean-only batch norm's, by seed"
    findings = [Finding.of_interval(*each, ".3f") for each in (*found, (what, gap))]
    outcomes = {
        decide(
            seeds,
            reproduced=max(abs(gentle.low), abs(gentle.high)) < GAUSSIAN and high.low > GAUSSIAN,
            not_reproduced=gentle.low > GAUSSIAN or high.high < GAUSSIAN,
        )
        for gentle, high in (single, pooled)
    }
    outcome = outcomes.pop() if len(outcomes) == 1 else "inconclusive"
    gentle, high = single
    because = (
        f"The two readings of the claim: over batches of 100 the noise in one activation has an "
        f"excess kurtosis of {gentle.estimate:.2f} with mean-only batch norm and of "
        f"{high.estimate:.2f} with batch norm (0: Gaussian, above {GAUSSIAN:g} is high); over "
        f"batches and examples together of {pooled[0].estimate:.2f} and {pooled[1].estimate:.1f} "
        f"(n = {seeds} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


EXPERIMENT = Experiment.of(NAME, parts, measure, verdict, figures.mean_noise)
