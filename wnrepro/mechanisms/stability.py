"""Self-stabilisation: how wide the range of good learning rates is (paper, section 2.1)."""

import math
from collections.abc import Iterable
from typing import cast

import numpy as np
import pandas as pd
import torch

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.intervals import t_interval
from wnrepro.mechanisms import figures
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.figures import geometric_mean
from wnrepro.mechanisms.loss_range import good_range
from wnrepro.mechanisms.training import log_spaced, norms, training, training_part, units
from wnrepro.nn import NormalizedLayer

NAME = "stability"
HIGHER_DECADES = 0.3
"""“Much” is taken to mean: by a factor of two at least."""
DECADES = 6
SETTINGS = {
    # id: (optimiser, lowest rate, rate of everything but the weight vectors, arms, title)
    "gd": ("gd", 1e-3, {}, PAPER_ARMS, "gradient descent"),
    "adam": ("adam", 1e-5, {}, PAPER_ARMS, "Adam"),
    "gd_vectors": (
        *("gd", 1e-3, {"other_rate": 0.1}, ("plain", "wn", "bn")),
        "gradient descent, rate of the vectors alone",
    ),
}
TITLES = {setting: title for setting, (*_, title) in SETTINGS.items()}


def parts(smoke: bool) -> list[Part]:
    rates, seeds, epochs, judged, width = (4, 2, 1, 1, 32) if smoke else (25, 5, 40, 5, 128)
    return [
        training_part(
            *(arm, optimiser, rate, seed, epochs, width),
            setting=setting,
            judged_epochs=judged,
            noise_std=1.0,
            **other_rate,
        )
        for setting, (optimiser, lowest, other_rate, arms, _) in SETTINGS.items()
        for rate in log_spaced(lowest, DECADES, rates)
        for arm in arms
        for seed in range(seeds)
    ]


def measure(part: Part) -> dict[str, list[Row]]:
    """One run: its loss in the end and, with weight norm, its effective step as it trains."""
    run = training(part)
    key: Row = {name: part[name] for name in ("setting", "arm", "learning_rate", "seed")}
    steps: list[Row] = []
    if part["arm"] == "wn":
        layers, rate = list(units(run.model).values()), float(part["learning_rate"])
        run.at_steps(lambda step: steps.append({**key, "step": step, **_effective(layers, rate)}))
    found = list(run.losses())
    diverged = not math.isfinite(found[-1])
    loss = math.inf if diverged else float(np.mean(found[-int(part["judged_epochs"]) :]))
    row: Row = {**key, "diverged": int(diverged), "train_loss_nats": loss}
    return {NAME: [row], f"{NAME}_steps": steps}


@torch.no_grad()
def _effective(layers: Iterable[NormalizedLayer], rate: float) -> Row:
    """η·|g|/‖v‖ and η·g²/‖v‖², geometric means over all units; None once they are not finite.

    v moves by η·(g/‖v‖)·M∇_w, hence w, to first order, by η·(g/‖v‖)²·M∇_w.
    """
    logarithm = torch.cat(
        [(cast(torch.Tensor, unit.g).double().abs() / norms(unit.v)).log() for unit in layers]
    )
    mean = logarithm.mean().item()
    finite = math.isfinite(mean)
    return {
        "effective_step": rate * math.exp(mean) if finite else None,
        "effective_rate_of_w": rate * math.exp(2 * mean) if finite else None,
    }


def ranges(runs: pd.DataFrame) -> pd.DataFrame:
    """Per setting, arm and seed the range within 10 % of the best: low, high, decades, cut."""
    found = []
    for key, own in runs.sort_values("learning_rate").groupby(["setting", "arm", "seed"]):
        range_ = good_range(list(own.learning_rate), list(own.train_loss_nats))
        found.append((*key, range_.low, range_.high, range_.decades, range_.cut))
    return pd.DataFrame(found, columns=["setting", "arm", "seed", "low", "high", "decades", "cut"])


def verdict(data: Data) -> tuple[Verdict, ...]:
    """One for each setting: an upper end that is higher with one optimiser need not be with all."""
    found = ranges(data[NAME])
    return tuple(
        _verdict(setting, found[found.setting == setting], data)
        for setting in SETTINGS
        if setting in set(found.setting)
    )


def _verdict(setting: str, found: pd.DataFrame, data: Data) -> Verdict:
    by_arm = found.pivot(index="seed", columns="arm")
    upper = t_interval(np.log10(by_arm.high.wn / by_arm.high.plain))
    wider = t_interval(by_arm.decades.wn - by_arm.decades.plain)
    outcome = decide(
        upper.n,
        reproduced=upper.low > HIGHER_DECADES,
        not_reproduced=upper.high < HIGHER_DECADES,
    )
    findings = [
        Finding.of_interval(
            f"{TITLES[setting]}: upper end of the range, weight norm over plain, log₁₀",
            *(upper, "+.2f", " decades"),
        ),
        Finding.of_interval(
            f"{TITLES[setting]}: range of weight norm minus range of plain",
            *(wider, "+.2f", " decades"),
        ),
        _highest_finding(setting, data[NAME], upper.n),
    ]
    if setting == "gd_vectors":
        findings += _effective_findings(data[f"{NAME}_steps"])
    findings += [
        _range_finding(setting, arm, found[found.arm == arm])
        for arm in SETTINGS[setting][3]
        if arm in set(found.arm)
    ]
    ends = [geometric_mean(by_arm.high[arm]) for arm in ("wn", "plain")]
    because = (
        f"The upper end of weight norm's range is {ends[0]:.2g}, of plain's {ends[1]:.2g}: "
        f"{upper.estimate:+.2f} decades (95 % t [{upper.low:+.2f}, {upper.high:+.2f}]); the whole "
        f"range is {wider.estimate:+.2f} decades wider (n = {upper.n} seeds)."
    )
    return Verdict(outcome, because, tuple(findings), upper.n, TITLES[setting])


def _highest_finding(setting: str, losses: pd.DataFrame, n: int) -> Finding:
    own = losses[losses.setting == setting]
    worst = own.groupby(["arm", "learning_rate"]).train_loss_nats.max().reset_index()
    highest = worst[worst.train_loss_nats < math.log(10)].groupby("arm").learning_rate.max()
    return Finding(
        f"{TITLES[setting]}: highest rate at which every seed ends below a guess (ln 10)",
        f"weight norm {highest.get('wn', math.nan):.3g}, "
        f"plain {highest.get('plain', math.nan):.3g}",
        *("none: steps of a quarter of a decade", f"{n} seeds"),
    )


def _effective_findings(steps: pd.DataFrame) -> list[Finding]:
    """By how much η·g/‖v‖ spreads over the rates of v of 1 and above, when training ends."""
    own = steps[(steps.setting == "gd_vectors") & (steps.learning_rate >= 1)]
    own = own[(own.step == own.step.max()) & own.effective_step.notna()]
    if own.learning_rate.nunique() < 2:
        return []
    by_seed = np.log10(own.effective_step).groupby(own.seed)
    rates = math.log10(own.learning_rate.max() / own.learning_rate.min())
    return [
        Finding.of_interval(
            f"{TITLES['gd_vectors']}: over rates that span {rates:.1f} decades from 1, the "
            f"effective step η·g/‖v‖ at step {own.step.max()} spans",
            *(t_interval(by_seed.max() - by_seed.min()), ".2f", " decades"),
        )
    ]


def _range_finding(setting: str, arm: str, own: pd.DataFrame) -> Finding:
    low, high, cut = geometric_mean(own.low), geometric_mean(own.high), own.cut.sum()
    return Finding.of_interval(
        f"{TITLES[setting]}: range of {ARMS[arm].label}",
        *(t_interval(own.decades), ".2f"),
        f" decades, {low:.2g} to {high:.2g}"
        + (f" (in {cut} seeds up to the end of what was tried)" if cut else ""),
    )


EXPERIMENT = Experiment.of(
    NAME, parts, measure, verdict, lambda data: figures.stability(data, ranges(data[NAME]))
)
