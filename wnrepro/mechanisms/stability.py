"""Self-stabilisation: how wide the range of good learning rates is (paper, section 2.1)."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.mechanisms import stability_figure
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.loss_range import Range, good_range
from wnrepro.mechanisms.training import log_spaced, norms, training, units
from wnrepro.statistics import Interval, t_interval

NAME = "stability"
WIDER_DECADES = 0.3
"""“Much wider” is taken to mean: by a factor of two at least."""
LOWEST_RATE = {"gd": 1e-3, "adam": 1e-5}
DECADES = 6
SETTINGS = {
    # id: (optimiser, rate of everything but the weight vectors or None, arms, title)
    "gd": ("gd", None, PAPER_ARMS, "gradient descent"),
    "adam": ("adam", None, PAPER_ARMS, "Adam"),
    "gd_vectors": ("gd", 0.1, ("plain", "wn", "bn"), "gradient descent, rate of the vectors alone"),
}


@dataclass(frozen=True)
class Settings:
    rates: int = 25
    seeds: int = 5
    epochs: int = 40
    judged_epochs: int = 5
    width: int = 128


FULL = Settings()
SMOKE = Settings(rates=4, seeds=2, epochs=1, judged_epochs=1, width=32)


def parts(smoke: bool) -> list[Part]:
    settings = SMOKE if smoke else FULL
    found: list[Part] = []
    for setting, (optimiser, other_rate, arms, _) in SETTINGS.items():
        fixed = {} if other_rate is None else {"other_rate": other_rate}
        for rate in log_spaced(LOWEST_RATE[optimiser], DECADES, settings.rates):
            found += [
                {
                    "setting": setting,
                    "optimiser": optimiser,
                    "arm": arm,
                    "learning_rate": rate,
                    "seed": seed,
                    "epochs": settings.epochs,
                    "judged_epochs": settings.judged_epochs,
                    "batch_size": 100,
                    "width": settings.width,
                    "depth": 2,
                    "noise_std": 1.0,
                    **fixed,
                }
                for arm in arms
                for seed in range(settings.seeds)
            ]
    return found


def measure(part: Part) -> dict[str, list[Row]]:
    """One run: its loss in the end and, with weight norm, its effective step as it trains."""
    run = training(part)
    key: Row = {name: part[name] for name in ("setting", "arm", "learning_rate", "seed")}
    steps: list[Row] = []
    if part["arm"] == "wn":
        rate = float(part["learning_rate"])
        layers = units(run.model).values()
        taken = 0

        def record(*_: object) -> None:
            nonlocal taken
            taken += 1
            if taken & (taken - 1) == 0:  # 1, 2, 4, 8, …
                steps.append({**key, "step": taken, **_effective(layers, rate)})

        run.optimizer.register_step_post_hook(record)
    losses = [metrics.train_loss for metrics in run.epochs()]
    diverged = not math.isfinite(losses[-1])
    loss = math.inf if diverged else float(np.mean(losses[-int(part["judged_epochs"]) :]))
    row: Row = {**key, "diverged": int(diverged), "train_loss_nats": loss}
    return {NAME: [row], f"{NAME}_steps": steps}


@torch.no_grad()
def _effective(layers, rate: float) -> Row:
    """η·|g|/‖v‖ and η·g²/‖v‖², geometric means over all units; None once they are not finite.

    v moves by η·(g/‖v‖)·M∇_w, hence w, to first order, by η·(g/‖v‖)²·M∇_w.
    """
    logarithm = torch.cat([(unit.g.double().abs() / norms(unit.v)).log() for unit in layers])
    mean = logarithm.mean().item()
    finite = math.isfinite(mean)
    return {
        "effective_step": rate * math.exp(mean) if finite else None,
        "effective_rate_of_w": rate * math.exp(2 * mean) if finite else None,
    }


def ranges(losses: pd.DataFrame) -> dict[tuple[str, str], list[Range]]:
    """Per setting and arm the range within 10 % of the best, seed by seed."""
    found: dict[tuple[str, str], list[Range]] = {}
    for (setting, arm, _), own in losses.groupby(["setting", "arm", "seed"], sort=True):
        by_rate = own.sort_values("learning_rate")
        range_ = good_range(list(by_rate.learning_rate), list(by_rate.train_loss_nats))
        found.setdefault((str(setting), str(arm)), []).append(range_)
    return found


def verdict(data: Data) -> Verdict:
    found = ranges(data[NAME])
    wider = {
        setting: t_interval(
            [
                wn.decades - plain.decades
                for wn, plain in zip(found[setting, "wn"], found[setting, "plain"], strict=True)
            ]
        )
        for setting in SETTINGS
        if (setting, "wn") in found and (setting, "plain") in found
    }
    judged = [wider[setting] for setting in ("gd", "adam")]
    seeds = min(each.n for each in judged)
    outcome = decide(
        seeds,
        reproduced=all(each.low > WIDER_DECADES for each in judged),
        not_reproduced=any(each.high < WIDER_DECADES for each in judged),
    )
    findings = [
        Finding.of_interval(
            f"{SETTINGS[setting][3]}: range of weight norm minus range of plain",
            each,
            "+.2f",
            " decades",
        )
        for setting, each in wider.items()
    ]
    for setting in wider:
        findings += _upper_findings(setting, data[NAME], found)
    findings += _effective_findings(data[f"{NAME}_steps"])
    findings += [
        _range_finding(setting, arm, found[setting, arm])
        for setting in SETTINGS
        for arm in SETTINGS[setting][2]
        if (setting, arm) in found
    ]
    return Verdict(outcome, _because(wider, found), tuple(findings), seeds)


def _because(wider: dict[str, Interval], found: dict[tuple[str, str], list[Range]]) -> str:
    texts = {
        "gd": "gradient descent",
        "adam": "Adam",
        "gd_vectors": "only the vectors' rate varied",
    }
    said = []
    for setting, each in wider.items():
        upper = [_typical([r.high for r in found[setting, arm]]) for arm in ("wn", "plain")]
        said.append(
            f"{each.estimate:+.2f} decades with {texts[setting]} "
            f"(95 % t [{each.low:+.2f}, {each.high:+.2f}]; upper end {upper[0]:.2g} against "
            f"{upper[1]:.2g})"
        )
    n = min(each.n for each in wider.values())
    return f"Range with weight norm against plain: {'; '.join(said)}; n = {n} seeds."


def _upper_findings(
    setting: str, losses: pd.DataFrame, found: dict[tuple[str, str], list[Range]]
) -> list[Finding]:
    """How far up weight norm and plain go: the part of the range that the argument is about."""
    pairs = zip(found[setting, "wn"], found[setting, "plain"], strict=True)
    upper = t_interval([math.log10(wn.high / plain.high) for wn, plain in pairs])
    own = losses[losses.setting == setting]
    worst = own.groupby(["arm", "learning_rate"]).train_loss_nats.max().reset_index()
    better = worst[worst.train_loss_nats < math.log(10)]
    highest = [better[better.arm == arm].learning_rate.max() for arm in ("wn", "plain")]
    return [
        Finding.of_interval(
            f"{SETTINGS[setting][3]}: upper end of the range, weight norm over plain, log₁₀",
            upper,
            "+.2f",
            " decades",
        ),
        Finding(
            f"{SETTINGS[setting][3]}: highest rate at which every seed ends below a guess (ln 10)",
            f"weight norm {highest[0]:.3g}, plain {highest[1]:.3g}",
            "none: steps of a quarter of a decade",
            f"{upper.n} seeds",
        ),
    ]


def _effective_findings(steps: pd.DataFrame) -> list[Finding]:
    """By how much η·g/‖v‖ spreads over the rates of v of 1 and above, when training ends."""
    own = steps[(steps.setting == "gd_vectors") & (steps.learning_rate >= 1)]
    own = own[(own.step == own.step.max()) & own.effective_step.notna()]
    by_seed = np.log10(own.effective_step).groupby(own.seed)
    if not len(own) or own.learning_rate.nunique() < 2:
        return []
    spread = t_interval(by_seed.max() - by_seed.min())
    rates = math.log10(own.learning_rate.max() / own.learning_rate.min())
    return [
        Finding.of_interval(
            f"{SETTINGS['gd_vectors'][3]}: over rates that span {rates:.1f} decades from 1, the "
            f"effective step η·g/‖v‖ at step {own.step.max()} spans",
            spread,
            ".2f",
            " decades",
        )
    ]


def _range_finding(setting: str, arm: str, found: list[Range]) -> Finding:
    width = t_interval([each.decades for each in found])
    low, high = _typical([r.low for r in found]), _typical([r.high for r in found])
    cut = sum(each.cut for each in found)
    return Finding.of_interval(
        f"{SETTINGS[setting][3]}: range of {ARMS[arm].label}",
        width,
        ".2f",
        f" decades, {low:.2g} to {high:.2g}"
        + (f" (in {cut} seeds up to the end of what was tried)" if cut else ""),
    )


def _typical(rates: list[float]) -> float:
    return float(np.exp(np.mean(np.log(rates))))


def caption(data: Data) -> str:
    n = data[NAME].seed.nunique()
    return (
        "First three panels: training loss after training (mean of the last epochs) against the "
        f"learning rate; line: median of {n} seeds, band: their range; a line ends where a seed "
        "diverges; the dotted line is ln 10, the loss of a guess. The bars below are the range "
        "within 10 % of the arm's own best, mean of the seeds' ends. Last: η·g/‖v‖ of weight norm "
        "(geometric mean over units and seeds) over time, one line per learning rate of v, by "
        f"gradient descent with g and b at a fixed rate; n = {n} seeds."
    )


EXPERIMENT = Experiment(
    name=NAME,
    title="A learning rate that is too large corrects itself",
    claim="""
If the learning rate is too large, ‖v‖ grows quickly until an appropriate effective rate is reached,
and from then on training is stable. Networks with weight normalisation therefore work well with a
much wider range of learning rates than with the normal parameterisation; batch normalisation has
the same property.""",
    source="Section 2.1, last paragraphs; the paper shows no figure for it",
    equation=r"""
$$\Delta v = -\eta\,\frac{g}{\lVert v\rVert}\,M_w\nabla_w L, \qquad
M_w = I - \frac{ww^\top}{\lVert w\rVert^2}; \qquad
\lVert v\rVert \text{ grows} \;\Rightarrow\; \eta\,\frac{g}{\lVert v\rVert} \text{ falls}$$""",
    setup="""
The network and the digits of experiment 1, 40 epochs with constant learning rate, 25 rates over six
decades, 5 seeds, the five arms. The noise on the pixels keeps the loss away from zero (a loss near
0 has no meaningful 10 %). The loss is that of the batches trained on, averaged over the last 5
epochs; a run whose loss is not finite counts as outside every range. Three settings: gradient
descent without momentum, for which the growth law is exact; Adam, the paper's optimiser; and
gradient descent in which only the weight vectors have the rate on the axis and g and b always 0.1,
because the argument protects v and nothing else. Rates and noise were chosen after looking at one
run each of most arms.""",
    expectation="""
Weight norm and batch norm should keep a low loss far beyond the rate at which plain diverges.
Where g and b have the same large rate, they are the first to fail: nothing normalises their steps.
So the advantage should be clear where only the vectors' rate varies, and smaller with one rate for
all.""",
    reproduced_if="""
with gradient descent and with Adam, one rate for all parameters, weight norm's range within 10 %
of its best loss is wider than plain's by more than a factor of two (0.3 decades; lower end of the
interval of the paired difference).""",
    not_reproduced_if="""
with either of the two it is not (upper end of the interval below 0.3 decades).""",
    afterwards="""
The range is wider by the criterion, but not only for the reason of the claim. With gradient descent
and one rate for all parameters the gain is all at the *lower* end: the upper ends are the same. At
the start w moves η·g²/‖v‖² ≈ 6.6·η per gradient where plain moves η, so that smaller rates suffice;
at the upper end g and b, which nothing protects, fail as soon as plain does. Where only the vectors
have the large rate the claim shows in full: no rate up to 1000 makes weight norm diverge, and rates
a thousandfold apart end with effective steps sixfold apart. (The interval is wide there because a
bump of the loss near a rate of 1 just cuts the range in some seeds.) With Adam, whose steps in g
and b are bounded by the rate, the upper end rises too. Batch norm goes higher than weight norm in
all three settings.""",
    parts=parts,
    measure=measure,
    verdict=verdict,
    draw=lambda data: stability_figure.draw(data, ranges(data[NAME])),
    caption=caption,
)
