"""Norm growth: ‖v'‖ = √(1+c²)·‖v‖ at every step of gradient descent (paper, section 2.1)."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wnrepro.intervals import t_interval
from wnrepro.mechanisms import figures
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.figures import ROUNDING
from wnrepro.mechanisms.training import log_spaced, norms, training, training_part, units

NAME = "norm_growth"
RATES = {"gd": (1e-3, 0.1), "momentum": (1e-4, 0.01), "adam": (1e-4, 0.003)}
"""Of each optimiser the lowest learning rate of v, and the rate of g and b.

The rates of v cover six decades. Those of g and b are fixed: the argument is not about them, and
they diverge at the larger rates."""
DECADES = 6
LAW_TOLERANCE = 1e-5


def parts(smoke: bool) -> list[Part]:
    rates, seeds, epochs, width = (3, 2, 1, 32) if smoke else (13, 5, 20, 128)
    return [
        training_part(
            *("wn", optimiser, rate, seed, epochs, width),
            other_rate=other_rate,
            noise_std=1.0,
            shown_units_per_layer=6 if seed == 0 else 0,
        )
        for optimiser, (lowest, other_rate) in RATES.items()
        for rate in log_spaced(lowest, DECADES, rates)
        for seed in range(seeds)
    ]


class Ruler:
    """Measures every step of an optimiser: per output unit c and the growth, ‖v'‖/‖v‖."""

    def __init__(self, optimiser: torch.optim.Optimizer, vs: Sequence[Tensor]) -> None:
        self.vs = vs
        self.c: list[np.ndarray] = []
        self.growth: list[np.ndarray] = []
        optimiser.register_step_pre_hook(self.before)
        optimiser.register_step_post_hook(self.after)

    def before(self, *_: object) -> None:
        self.old = [v.detach().clone() for v in self.vs]

    def after(self, *_: object) -> None:
        pairs = list(zip(self.vs, self.old, strict=True))
        lengths = torch.cat([norms(old) for old in self.old])
        updates = torch.cat([norms(v.detach().double() - old) for v, old in pairs])
        self.c.append((updates / lengths).numpy())
        self.growth.append((torch.cat([norms(v) for v in self.vs]) / lengths).numpy())


def measure(part: Part) -> dict[str, list[Row]]:
    """One run: a row of summaries over all its steps and units, and a sample of single steps."""
    run = training(part)
    vs = [unit.v for unit in units(run.model).values()]
    start = torch.cat([norms(v) for v in vs])
    ruler = Ruler(run.optimizer, vs)
    diverged = not math.isfinite(list(run.losses())[-1])
    c, growth = np.stack(ruler.c), np.stack(ruler.growth)  # (steps, units)
    finite = np.isfinite(c) & np.isfinite(growth)
    law = np.sqrt(1 + c**2)
    error = np.abs(growth / law - 1)[finite]
    ratio = (torch.cat([norms(v) for v in vs]) / start).log().mean().exp().item()
    key: Row = {name: part[name] for name in ("optimiser", "learning_rate", "seed")}
    summary: Row = {
        **key,
        "diverged": int(diverged),
        "unit_steps": int(finite.sum()),
        "falls": int((growth[finite] < 1 - ROUNDING).sum()),
        "grew_beyond_law": int((growth > law * (1 + ROUNDING))[finite].sum()),
        "largest_fall_relative": float(max(0.0, 1 - growth[finite].min())),
        "law_error_median_relative": float(np.median(error)),
        "law_error_q99_relative": float(np.quantile(error, 0.99)),
        "law_error_max_relative": float(error.max()),
        "c_median": float(np.median(c[finite])),
        "norm_after_over_before": None if diverged else ratio,
    }
    shown = _shown_units([len(v) for v in vs], int(part["shown_units_per_layer"]))
    points: list[Row] = [
        {
            **key,
            "step": step + 1,
            "unit": unit,
            "c": float(c[step, unit]),
            "growth_relative": float(growth[step, unit] - 1),
        }
        for step in [2**k - 1 for k in range(20) if 2**k <= len(c)]
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
    ended = gd[gd.norm_after_over_before.notna()]
    order = t_interval(
        [
            own.learning_rate.corr(own.norm_after_over_before, method="spearman")
            for _, own in ended.groupby("seed")
        ]
    )
    law = worst < LAW_TOLERANCE and falls == 0
    n = f"{steps:,} steps of a unit, {seeds} seeds"
    findings = [
        Finding.maximum(
            "gradient descent: largest relative error of the law",
            f"{worst:.1e} (99 % of steps below {gd.law_error_q99_relative.max():.1e})",
            n,
        ),
        Finding.counted("gradient descent: steps on which ‖v‖ fell", f"{falls:,}", n),
        Finding(
            "gradient descent, no control: rank correlation of learning rate and ‖v‖ afterwards",
            *(f"{order.estimate:.3f}", order.text(".3f")),
            f"{seeds} seeds, {gd.learning_rate.nunique()} rates",
        ),
    ]
    for optimiser in ("momentum", "adam"):
        own = runs[runs.optimiser == optimiser]
        findings += _off_the_law(figures.OPTIMISERS[optimiser], own)
    outcome = decide(seeds, reproduced=law, not_reproduced=not law)
    because = (
        f"Gradient descent keeps the law to {worst:.1e} and lets ‖v‖ fall on {falls:,} of "
        f"{steps:,} steps (n = {seeds} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), seeds)


def _off_the_law(title: str, runs: pd.DataFrame) -> list[Finding]:
    """For an optimiser to which the law does not apply: how often ‖v‖ fell, and how it ended."""
    n = f"{runs.unit_steps.sum():,} steps of a unit, {runs.seed.nunique()} seeds"
    totals = runs.groupby("seed")[["falls", "grew_beyond_law", "unit_steps"]].sum()
    falls = t_interval(100 * totals.falls / totals.unit_steps)
    beyond = t_interval(100 * totals.grew_beyond_law / totals.unit_steps)
    shrunk = int((runs.norm_after_over_before < 1).sum())
    return [
        Finding(
            f"{title}: steps on which ‖v‖ fell",
            f"{runs.falls.sum():,} ({falls.estimate:.1f} %)",
            *(f"{falls.text('.1f')}, in %", n),
        ),
        Finding(
            f"{title}: steps on which ‖v‖ grew by more than the law",
            f"{beyond.estimate:.1f} %",
            *(f"{beyond.text('.1f')}, in %", n),
        ),
        Finding.counted(
            f"{title}: runs that ended with shorter vectors than they began with",
            f"{shrunk} of {len(runs)}",
            f"{runs.seed.nunique()} seeds, {runs.learning_rate.nunique()} rates",
        ),
    ]


EXPERIMENT = Experiment.of(NAME, parts, measure, verdict, figures.norm_growth)
