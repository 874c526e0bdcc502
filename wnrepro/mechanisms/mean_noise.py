"""The noise that batch statistics add to an activation: its kurtosis (paper, section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from matplotlib import rcParams
from matplotlib.figure import Figure
from torch import Tensor, nn

from wnrepro.arms import ARMS
from wnrepro.drawing import INK, panels
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import training, units
from wnrepro.nn import BatchNorm, Unit
from wnrepro.statistics import Interval, t_interval

NAME = "mean_noise"
ARMS_SHOWN = ("mean_only_bn", "bn")
GAUSSIAN = 0.5
"""An excess kurtosis below this counts as close to Gaussian, one above as high."""


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    epochs: int = 20
    measured_at: tuple[int, ...] = (0, 1, 5, 20)
    width: int = 128
    batches: int = 4000
    examples: int = 16


FULL = Settings()
SMOKE = Settings(seeds=2, epochs=1, measured_at=(0, 1), width=16, batches=300, examples=4)


def parts(smoke: bool) -> list[Part]:
    settings = SMOKE if smoke else FULL
    return [
        {
            "arm": arm,
            "seed": seed,
            "optimiser": "adam",
            "learning_rate": 0.003,
            "epochs": settings.epochs,
            "measured_at": " ".join(map(str, settings.measured_at)),
            "batch_size": 100,
            "width": settings.width,
            "depth": 2,
            "batches": settings.batches,
            "examples": settings.examples,
        }
        for arm in ARMS_SHOWN
        for seed in range(settings.seeds)
    ]


def excess_kurtosis(x: Tensor, dim: int = 0) -> Tensor:
    """E[(x − E x)⁴]/Var[x]² − 3 over `dim`: 0 for a Gaussian, 3 for Laplace's distribution."""
    centred = x - x.mean(dim, keepdim=True)
    variance = centred.square().mean(dim)
    return centred.pow(4).mean(dim) / variance.square() - 3


def pre_normaliser(model: nn.Module, images: Tensor) -> Iterator[tuple[str, Unit, Tensor]]:
    """t = w·x of each layer, (N, units) in float64, the layers below normalised by all N images."""
    x = images.flatten(1).double()
    for name, unit in units(model).items():
        t = x @ unit.linear.get_parameter("weight").detach().double().T
        yield name, unit, t
        x = unit.nonlinearity(normalised(unit, t, t.mean(0), t.var(0, correction=0)))


def normalised(unit: Unit, t: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The pre-activation of t with the given statistics, as the unit's arm has it."""
    if isinstance(unit.normaliser, BatchNorm):
        g = unit.normaliser.g.detach().double()
        t = g * (t - mean) / (variance + unit.normaliser.eps).sqrt()
    else:
        t = t - mean
    return t + unit.b.detach().double()


def noise(unit: Unit, t: Tensor, examples: Tensor, batches: Tensor) -> Tensor:
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
        each = excess_kurtosis(added).flatten()
        pooled = excess_kurtosis(added.flatten(0, 1))
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
    points = [int(epoch) for epoch in str(part["measured_at"]).split()]
    rows = list(_kurtosis_rows(part, run.model, images, 0)) if 0 in points else []
    for metrics in run.epochs():
        if metrics.epoch in points:
            rows += _kurtosis_rows(part, run.model, images, metrics.epoch)
    return {NAME: rows}


def _by_seed(rows: pd.DataFrame, arm: str, column: str) -> Interval:
    """Mean over layers and points of the training, then over seeds."""
    return t_interval(rows[rows.arm == arm].groupby("seed")[column].mean())


def verdict(data: Data) -> Verdict:
    rows = data[NAME]
    seeds = rows.seed.nunique()
    findings = []
    for column, what in (
        ("kurtosis_median", "of one activation over batches, median of units and examples"),
        ("kurtosis_over_examples_median", "over batches and examples together, median of units"),
    ):
        for arm in ARMS_SHOWN:
            each = _by_seed(rows, arm, column)
            findings.append(
                Finding.of_interval(f"{ARMS[arm].label}: excess kurtosis {what}", each, ".3f")
            )
    last = rows[rows.epoch == rows.epoch.max()]
    for layer in dict.fromkeys(rows.layer):
        for arm in ARMS_SHOWN:
            each = _by_seed(last[last.layer == layer], arm, "kurtosis_median")
            findings.append(
                Finding.of_interval(
                    f"{ARMS[arm].label}, layer {layer}, after {rows.epoch.max()} epochs: of one "
                    "activation",
                    each,
                    ".3f",
                )
            )
    means = {
        arm: rows[rows.arm == arm].groupby("seed").kurtosis_median.mean() for arm in ARMS_SHOWN
    }
    gap = t_interval(means["bn"] - means["mean_only_bn"])
    gentle, high = (_by_seed(rows, arm, "kurtosis_median") for arm in ARMS_SHOWN)
    findings.append(
        Finding.of_interval(
            "batch norm's excess kurtosis of one activation minus mean-only batch norm's, by seed",
            gap,
            ".3f",
        )
    )
    outcome = decide(
        seeds,
        reproduced=max(abs(gentle.low), abs(gentle.high)) < GAUSSIAN
        and high.low > GAUSSIAN
        and gap.low > 0,
        not_reproduced=gentle.low > GAUSSIAN or high.high < GAUSSIAN or gap.high < 0,
    )
    pooled = [_by_seed(rows, arm, "kurtosis_over_examples_median").estimate for arm in ARMS_SHOWN]
    because = (
        f"Over batches of 100 the noise in one activation has an excess kurtosis of "
        f"{gentle.estimate:.2f} with mean-only batch norm and of {high.estimate:.2f} with batch "
        f"norm (0: Gaussian); over batches and examples together of {pooled[0]:.2f} and "
        f"{pooled[1]:.1f} (n = {seeds} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


def draw(data: Data) -> Figure:
    rows = data[NAME]
    layers = list(dict.fromkeys(rows.layer))
    figure, all_axes = panels(len(layers), 3.2, sharey=True)
    error = 1.28 * (24 / int(rows.batches.max())) ** 0.5
    for axes, layer in zip(all_axes, layers, strict=True):
        own = rows[rows.layer == layer]
        for arm in ARMS_SHOWN:
            each = own[own.arm == arm].groupby("epoch")
            middle = each.kurtosis_median.median()
            colour = ARMS[arm].colour
            marker = ARMS[arm].marker
            axes.plot(middle.index, middle, color=colour, marker=marker)
            axes.fill_between(
                middle.index, each.kurtosis_q10.median(), each.kurtosis_q90.median(),
                color=colour, alpha=0.2, linewidth=0,
            )  # fmt: skip
            pooled = each.kurtosis_over_examples_median.median()
            axes.plot(pooled.index, pooled, "--", color=colour, marker=marker)
        axes.axhspan(-error, error, color=rcParams[INK], alpha=0.12, linewidth=0)
        axes.set(title=layer, xlabel="epoch", xscale="symlog", yscale="symlog")
        axes.set_xlim(left=0)
        ticks = sorted(own.epoch.unique())
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    all_axes[0].set_ylabel("excess kurtosis")
    lines = [
        all_axes[0].plot([], [], style, color=ARMS[arm].colour, marker=ARMS[arm].marker)[0]
        for arm in ARMS_SHOWN
        for style in ("-", "--")
    ]
    names = [
        f"{ARMS[arm].label}, {what}" for arm in ARMS_SHOWN for what in ("one activation", "pooled")
    ]
    figure.legend(lines, names, loc="outside upper left", ncols=2, fontsize=10)
    return figure


def caption(data: Data) -> str:
    rows = data[NAME]
    return (
        "Excess kurtosis of the noise by layer and epoch. Solid: of one activation (a unit and an "
        "example) over random batches, median; band: 10 to 90 % of units and examples. Dashed: of "
        "a unit's noise over batches and examples together. Grey: where 80 % of estimates from "
        f"{rows.batches.max():,} Gaussian numbers lie. Medians of {rows.seed.nunique()} seeds."
    )


EXPERIMENT = Experiment(
    name=NAME,
    title="The noise of batch statistics",
    claim="""
Normalising by the statistics of a random batch adds noise to every activation. The noise of
mean-only batch norm is a mean of many terms, so close to Gaussian; that of batch norm, which
also divides by the batch's standard deviation, has a high kurtosis (heavy tails). The gentler
noise is offered as a reason why mean-only batch norm tests best. The paper does not test it.""",
    source="Sections 4 and 5.1, a hypothesis",
    equation=r"""
$$\text{mean-only: } \tilde t - (t-\mu) = \mu - \mu_B, \qquad
\text{batch norm: } g\,\frac{t-\mu_B}{\sigma_B} - g\,\frac{t-\mu}{\sigma}, \qquad
\text{excess kurtosis } = \frac{\mathrm E[(z-\mathrm E z)^4]}{\mathrm{Var}[z]^2} - 3$$""",
    setup="""
A perceptron with two hidden layers of 128 units on the 1437 digits of 8×8 pixels, trained by
the paper's Adam (rate 0.003, batches of 100, 20 epochs), 5 seeds. At four points of the
training 16 examples are each put into 4000 random batches of 100 (the other 99 drawn from all
images: in 7 % of the batches the example is among them too); the noise in an activation is its
pre-activation with the batch's mean (and variance) minus that with all images'. In float64; the
layers below are normalised by all images.""",
    expectation="""
By the paper: an excess kurtosis near 0 with mean-only batch norm, and clearly above with batch
norm. A doubt, also before the run: at 100 images the variance of a batch is itself nearly
Gaussian, so the noise in a single activation may be so too with batch norm; over all examples
together it is a mixture of scales, and a mixture has heavy tails.""",
    reproduced_if="""
the excess kurtosis of the noise in one activation (median over units and examples, mean over
layers and points) lies within ±0.5 with mean-only batch norm and above 0.5 with batch norm
(intervals over seeds), and the difference is above 0.""",
    not_reproduced_if="""
it is above 0.5 with mean-only batch norm, or below 0.5 with batch norm (whole interval), or the
difference is below 0.""",
    afterwards="""
Mean-only batch norm's noise is Gaussian as expected. Batch norm's in one activation has
somewhat heavier tails, mainly in the trained output layer; only pooled over examples, where
activations with large and with small noise are mixed, is its kurtosis high (5.6, above 10 in
the output layer). Whether the paper means the one or the other it does not say; our criterion,
written before, took the first.""",
    parts=parts,
    measure=measure,
    verdict=verdict,
    draw=draw,
    caption=caption,
)
