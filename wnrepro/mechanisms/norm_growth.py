"""Norm growth: ‖v'‖ = √(1+c²)·‖v‖ at every step of gradient descent (paper, section 2.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.norm_growth_figure import OPTIMISERS, ROUNDING, draw
from wnrepro.mechanisms.training import log_spaced, norms, training, units
from wnrepro.statistics import t_interval

NAME = "norm_growth"
LOWEST_RATE = {"gd": 1e-3, "momentum": 1e-4, "adam": 1e-4}
"""Of the learning rates of v, which cover six decades from there."""
OTHER_RATE = {"gd": 0.1, "momentum": 0.01, "adam": 0.003}
"""Of g and b: the argument is not about them, and they diverge at the larger rates."""
DECADES = 6
LAW_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Settings:
    rates: int = 13
    seeds: int = 5
    epochs: int = 20
    width: int = 128


FULL, SMOKE = Settings(), Settings(rates=3, seeds=2, epochs=1, width=32)


def parts(smoke: bool) -> list[Part]:
    settings = SMOKE if smoke else FULL
    return [
        {
            "optimiser": optimiser,
            "learning_rate": rate,
            "seed": seed,
            "arm": "wn",
            "other_rate": OTHER_RATE[optimiser],
            "epochs": settings.epochs,
            "batch_size": 100,
            "width": settings.width,
            "depth": 2,
            "noise_std": 1.0,
            "shown_units_per_layer": 6 if seed == 0 else 0,
        }
        for optimiser in OPTIMISERS
        for rate in log_spaced(LOWEST_RATE[optimiser], DECADES, settings.rates)
        for seed in range(settings.seeds)
    ]


class _Ruler:
    """Measures every step of an optimiser: c, the growth and the law's error, per output unit."""

    def __init__(self, optimiser: torch.optim.Optimizer, vs: Sequence[Tensor]) -> None:
        self.vs = vs
        self.c: list[np.ndarray] = []
        self.growth: list[np.ndarray] = []
        optimiser.register_step_pre_hook(self._before)
        optimiser.register_step_post_hook(self._after)

    def _before(self, *_: object) -> None:
        self._old = [v.detach().clone() for v in self.vs]

    def _after(self, *_: object) -> None:
        lengths = torch.cat([norms(old) for old in self._old])
        updates = torch.cat(
            [norms(v.detach().double() - old) for v, old in zip(self.vs, self._old, strict=True)]
        )
        new = torch.cat([norms(v) for v in self.vs])
        self.c.append((updates / lengths).numpy())
        self.growth.append((new / lengths).numpy())


def measure(part: Part) -> dict[str, list[Row]]:
    """One run: a row of summaries over all its steps and units, and a sample of single steps."""
    run = training(part)
    vs = [unit.v for unit in units(run.model).values()]
    start = torch.cat([norms(v) for v in vs])
    ruler = _Ruler(run.optimizer, vs)
    diverged = [metrics.diverged for metrics in run.epochs()][-1]
    c, growth = np.stack(ruler.c), np.stack(ruler.growth)  # (steps, units)
    finite = np.isfinite(c) & np.isfinite(growth)
    error = np.abs(growth / np.sqrt(1 + c**2) - 1)[finite]
    fallen = growth[finite] < 1 - ROUNDING
    ratio = (torch.cat([norms(v) for v in vs]) / start).log().mean().exp().item()
    key: Row = {
        "optimiser": part["optimiser"],
        "learning_rate": part["learning_rate"],
        "seed": part["seed"],
    }
    summary: Row = {
        **key,
        "diverged": int(diverged),
        "unit_steps": int(finite.sum()),
        "falls": int(fallen.sum()),
        "grew_beyond_law": int((growth > np.sqrt(1 + c**2) * (1 + ROUNDING))[finite].sum()),
        "largest_fall_relative": float(max(0.0, 1 - growth[finite].min())),
        "law_error_median_relative": float(np.median(error)),
        "law_error_q99_relative": float(np.quantile(error, 0.99)),
        "law_error_max_relative": float(error.max()),
        "c_median": float(np.median(c[finite])),
        "norm_after_over_before": None if diverged else ratio,
    }
    shown = _shown_units([len(v) for v in vs], int(part["shown_units_per_layer"]))
    steps = [2**k - 1 for k in range(20) if 2**k <= len(c)]
    points: list[Row] = [
        {
            **key,
            "step": step + 1,
            "unit": unit,
            "c": float(c[step, unit]),
            "growth_relative": float(growth[step, unit] - 1),
        }
        for step in steps
        for unit in shown
        if finite[step, unit]
    ]
    return {NAME: [summary], f"{NAME}_points": points}


def _shown_units(sizes: Sequence[int], per_layer: int) -> list[int]:
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        int(start + k * size // per_layer)
        for start, size in zip(starts, sizes, strict=True)
        for k in range(min(per_layer, size))
    ]


def verdict(data: Data) -> Verdict:
    runs = data[NAME]
    gd = runs[runs.optimiser == "gd"]
    worst = float(gd.law_error_max_relative.max())
    falls, steps = int(gd.falls.sum()), int(gd.unit_steps.sum())
    seeds = gd.seed.nunique()
    order = t_interval([_rank_correlation(each) for _, each in gd.groupby("seed")])
    law = worst < LAW_TOLERANCE and falls == 0
    findings = [
        Finding(
            "gradient descent: largest relative error of the law",
            f"{worst:.1e} (99 % of steps below {gd.law_error_q99_relative.max():.1e})",
            "none: a maximum",
            f"{steps:,} steps of a unit, {seeds} seeds",
        ),
        Finding(
            "gradient descent: steps on which ‖v‖ fell",
            f"{falls:,}",
            "none: all are counted",
            f"{steps:,} steps of a unit, {seeds} seeds",
        ),
        Finding(
            "gradient descent: rank correlation of learning rate and ‖v‖ after training",
            f"{order.estimate:.3f}",
            order.text(".3f"),
            f"{seeds} seeds, {gd.learning_rate.nunique()} rates",
        ),
    ]
    for optimiser in ("momentum", "adam"):
        findings += _off_the_law(OPTIMISERS[optimiser][0], runs[runs.optimiser == optimiser])
    outcome = decide(
        seeds,
        reproduced=law and order.low > 0.9,
        not_reproduced=not law or order.high < 0.9,
    )
    because = (
        f"Gradient descent keeps the law to {worst:.1e} and lets ‖v‖ fall on {falls:,} of "
        f"{steps:,} steps; the order of the rates and of the norms after training correlates with "
        f"{order.estimate:.3f} (n = {seeds} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


def _rank_correlation(runs: pd.DataFrame) -> float:
    """Spearman's, between learning rate and growth, over the runs of one seed that end finite."""
    ended = runs[runs.norm_after_over_before.notna()]
    return float(ended.learning_rate.rank().corr(ended.norm_after_over_before.rank()))


def _off_the_law(title: str, runs: pd.DataFrame) -> list[Finding]:
    """For an optimiser to which the law does not apply: how often ‖v‖ fell, and how it ended."""
    if runs.empty:
        return []
    n = f"{runs.unit_steps.sum():,} steps of a unit, {runs.seed.nunique()} seeds"
    totals = runs.groupby("seed")[["falls", "grew_beyond_law", "unit_steps"]].sum()
    falls = t_interval(100 * totals.falls / totals.unit_steps)
    beyond = t_interval(100 * totals.grew_beyond_law / totals.unit_steps)
    shrunk = int((runs.norm_after_over_before < 1).sum())
    return [
        Finding(
            f"{title}: steps on which ‖v‖ fell",
            f"{runs.falls.sum():,} ({falls.estimate:.1f} %)",
            f"{falls.text('.1f')}, in %",
            n,
        ),
        Finding(
            f"{title}: steps on which ‖v‖ grew by more than the law",
            f"{beyond.estimate:.1f} %",
            f"{beyond.text('.1f')}, in %",
            n,
        ),
        Finding(
            f"{title}: runs that ended with shorter vectors than they began with",
            f"{shrunk} of {len(runs)}",
            "none: all are counted",
            f"{runs.seed.nunique()} seeds, {runs.learning_rate.nunique()} rates",
        ),
    ]


def caption(data: Data) -> str:
    runs, points = data[NAME], data[f"{NAME}_points"]
    return (
        "First three panels: by what fraction ‖v‖ changed in a step, against the length c of that "
        f"step, for {len(points):,} single steps of single units (every rate, seed 0; dots: it "
        "grew). The black line is the law. Below 1e-7 float32 rounds. Last panel: how much longer "
        "the vectors are after training than before (geometric mean over units) against their "
        f"learning rate; line: mean, band: range of {runs.seed.nunique()} seeds."
    )


EXPERIMENT = Experiment(
    name=NAME,
    title="The norm of v grows, by a law",
    claim="""
A step of gradient descent on v is at right angles to v, because scaling v does not change w. By
Pythagoras v can then only get longer, the more the longer the step; so ‖v‖ grows during training,
and faster with a larger learning rate. With momentum or with Adam the law is not exact, but the
same is seen qualitatively.""",
    source="Section 2.1, after equation 4",
    equation=r"""
$$\nabla_v L = \frac{g}{\lVert v\rVert}\Bigl(I - \frac{ww^\top}{\lVert w\rVert^2}\Bigr)\nabla_w L
\;\perp\; v \quad\Longrightarrow\quad
\lVert v'\rVert = \sqrt{1+c^2}\,\lVert v\rVert, \qquad
c = \frac{\lVert\Delta v\rVert}{\lVert v\rVert}$$""",
    setup="""
A perceptron with two hidden layers of 128 units (leaky ReLU) and weight normalisation learns the
1437 digits of 8×8 pixels, with Gaussian noise (standard deviation 1) on the pixels, in batches of
100 for 20 epochs, 280 steps, in float32. Norms are taken in float64 of every unit before and after
every step. Three optimisers, 13 learning rates of v over six decades each, 5 seeds. The rate of g
and b is fixed, for at the larger rates they diverge (experiment 2). The rates were chosen after
looking at one run each.""",
    expectation="""
For gradient descent the law holds to float32's rounding at every single step and ‖v‖ never falls.
Under momentum a step also carries earlier directions, at right angles to earlier v only, and Adam
scales each coordinate by itself; so there ‖v‖ will fall on some steps, but grow on the whole.""",
    reproduced_if="""
for gradient descent the relative error of ‖v'‖ is below 1e-5 at every step of every unit, ‖v‖ never
falls by more than rounding (2⁻²²), and the rank correlation of learning rate and ‖v‖ after training
is above 0.9 (lower end of the interval over seeds).""",
    not_reproduced_if="""
one step breaks the law or lets ‖v‖ fall, or the correlation is below 0.9 (upper end).""",
    afterwards="""
The expectation was wrong about momentum: on no step did ‖v‖ fall, and on most it grew by *more*
than the law. An earlier gradient is at right angles to the v of its own time; v has moved on since,
against that gradient, so that moving against it again goes partly along v. (That momentum makes the
growth faster is also what Heo et al. 2020 report.) Under Adam ‖v‖ fell on one step in five, and
still every network ended with longer vectors than it began with.""",
    parts=parts,
    measure=measure,
    verdict=verdict,
    draw=draw,
    caption=caption,
)
