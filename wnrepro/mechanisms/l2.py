"""L2 penalties: on v only a learning rate, on g and on a plain w a change of the function."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wnrepro.intervals import Interval, t_interval
from wnrepro.mechanisms import figures
from wnrepro.mechanisms.experiment import Data, Experiment, Finding, Part, Row, Verdict, decide
from wnrepro.mechanisms.training import Run, norms, training, training_part, units
from wnrepro.nn import NormalizedLayer

NAME = "l2"
UNCHANGED = 1e-5
SAME = 0.01
"""Two functions count as the same if their logits differ by less than 1 %."""
CAP = 10.0
"""A difference above 1000 %, or from an imitation that diverged, counts as this."""
ARM_OF = {"v": "wn", "g": "wn", "w": "plain"}
"""What is penalised, and in which arm; w is the plain arm's weight."""
TITLES = {"v": "v (weight norm)", "g": "g (weight norm)", "w": "w (plain)"}
SHRINKS = (0.9, 0.6, 0.3, 0.1)


def parts(smoke: bool) -> list[Part]:
    penalties, seeds, epochs, width = (0.003, 0.01, 0.03, 0.1, 0.3), 5, 40, 128
    if smoke:
        penalties, seeds, epochs, width = (0.03, 0.3), 2, 1, 32
    return [
        training_part(
            *(arm, "gd", 0.03, seed, epochs, width),
            penalised=penalised,
            penalty=penalty,
            precision=precision,
            noise_std=1.0,
        )
        for penalised, arm in ARM_OF.items()
        for precision in (("float64", "float32") if penalised == "v" else ("float64",))
        for penalty in penalties
        for seed in range(seeds)
    ]


@dataclass
class Course:
    """What one training left: at steps 1, 2, 4, … and the last, and the model in the end."""

    run: Run
    logits: dict[int, Tensor]
    effective_rate: dict[int, float]
    loss: float = math.nan


BeforeStep = Callable[[dict, int], None]
"""Given the penalised tensors' group of the optimiser and the step, from 0."""


def train(part: Part, before_step: BeforeStep | None = None) -> Course:
    """The run of a part."""
    run = training(part)
    layers = list(units(run.model).values())
    run.set_apart([target(unit, str(part["penalised"])) for unit in layers])
    images, rate = run.dataset.evaluation.images, float(part["learning_rate"])
    course, taken = Course(run, {}, {}), 0

    def before(*_: object) -> None:
        nonlocal taken
        if before_step is not None:
            before_step(run.optimizer.param_groups[0], taken)
        taken += 1

    @torch.no_grad()
    def look(step: int) -> None:
        course.logits[step] = logits(run, images)
        lengths = torch.cat([norms(unit.v) for unit in layers])
        course.effective_rate[step] = rate * float(lengths.log().mean().mul(-2).exp())

    run.optimizer.register_step_pre_hook(before)
    run.at_steps(look, last=run.training.steps_per_epoch * int(part["epochs"]))
    *_, course.loss = run.losses()
    return course


def target(unit: NormalizedLayer, penalised: str) -> Tensor:
    tensor = unit.g if penalised == "g" else unit.v  # v is the weight itself in the plain arm
    assert tensor is not None
    return tensor


def penalise(penalty: float) -> BeforeStep:
    """Adds the gradient λ·p of the penalty λ/2·‖p‖²."""

    @torch.no_grad()
    def before_step(group: dict, step: int) -> None:
        for p in group["params"]:
            p.grad.add_(p, alpha=penalty)

    return before_step


def imitate(penalty: float, rate: float) -> BeforeStep:
    """No penalty, but the learning rate η/(αₜ·αₜ₊₁), αₜ = (1 − ηλ)ᵗ; see l2.md."""
    shrink = 1 - rate * penalty

    def before_step(group: dict, step: int) -> None:
        group["lr"] = rate / shrink ** (2 * step + 1)

    return before_step


@torch.no_grad()
def logits(run: Run, images: Tensor) -> Tensor:
    mode = run.model.training
    found = run.model.eval()(images).double()
    run.model.train(mode)
    return found


def difference(one: Course, other: Course, step: int) -> float:
    """‖one − other‖/‖other‖ over all logits of all images; inf from where `other` diverged."""
    if step not in other.logits or not other.logits[step].isfinite().all():
        return math.inf
    return relative(one.logits[step], other.logits[step])


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def measure(part: Part) -> dict[str, list[Row]]:
    """Three trainings: penalised, without, and without but at the imitating learning rate."""
    penalty, rate = float(part["penalty"]), float(part["learning_rate"])
    penalised = train(part, penalise(penalty))
    without = train(part)
    imitated = train(part, imitate(penalty, rate))
    key: Row = {name: part[name] for name in ("penalised", "precision", "penalty", "seed")}
    steps: list[Row] = [
        {
            **key,
            "step": step,
            "from_imitation_relative": difference(penalised, imitated, step),
            "from_unpenalised_relative": difference(penalised, without, step),
            "effective_rate": penalised.effective_rate[step],
            "effective_rate_unpenalised": without.effective_rate[step],
        }
        for step in penalised.logits
    ]
    row: Row = {
        **key,
        "from_imitation_relative": steps[-1]["from_imitation_relative"],
        "from_unpenalised_relative": steps[-1]["from_unpenalised_relative"],
        "w_norm": weight_norm_of(penalised.run),
        "w_norm_unpenalised": weight_norm_of(without.run),
        "imitation_diverged": int(not math.isfinite(imitated.loss)),
        "train_loss_nats": penalised.loss,
        "train_loss_unpenalised_nats": without.loss,
    }
    shrinks: list[Row] = [
        {**key, "factor": factor, "change_relative": change}
        for factor, change in shrink(without.run, str(part["penalised"]), SHRINKS)
    ]
    return {NAME: [row], f"{NAME}_steps": steps, f"{NAME}_shrink": shrinks}


@torch.no_grad()
def weight_norm_of(run: Run) -> float:
    """Geometric mean of ‖w‖ over all units: of |g| where there is one."""
    lengths = [
        norms(unit.v) if unit.g is None else unit.g.double().abs()
        for unit in units(run.model).values()
    ]
    return float(torch.cat(lengths).log().mean().exp())


@torch.no_grad()
def shrink(run: Run, penalised: str, factors: Sequence[float]) -> list[tuple[float, float]]:
    """By what the logits change when the penalty alone acts: every p becomes factor·p."""
    tensors = [target(unit, penalised) for unit in units(run.model).values()]
    before = [tensor.detach().clone() for tensor in tensors]
    images = run.dataset.evaluation.images
    whole, found = logits(run, images), []
    for factor in (*factors, 1.0):  # the last puts them back
        for tensor, old in zip(tensors, before, strict=True):
            tensor.copy_(factor * old)
        found.append((factor, relative(logits(run, images), whole)))
    return found[:-1]


def verdict(data: Data) -> Verdict:
    shrinks = data[f"{NAME}_shrink"]
    change = shrinks.groupby("penalised").change_relative
    moved, g_moved = change.max()["v"], change.min()["g"]
    runs = data[NAME][data[NAME].precision == "float64"]
    v = [_typical(own) for _, own in runs[runs.penalised == "v"].groupby("penalty")]
    strongest = runs[runs.penalty == runs.penalty.max()]
    g = _typical(strongest[strongest.penalised == "g"])
    bound = np.log10(SAME)
    seeds = min(each.n for each in (g, *v))
    alike, apart = all(each.high < bound for each in v), any(each.low > bound for each in v)
    outcome = decide(
        seeds,
        reproduced=bool(moved < UNCHANGED and alike and g.low > bound and g_moved > SAME),
        not_reproduced=bool(moved >= UNCHANGED or apart or g.high < bound),
    )
    worst = max(v, key=lambda each: each.estimate)
    because = (
        f"Shrinking v changes the logits by {moved:.0e} at most; training with a penalty on v ends "
        f"within {10**worst.estimate:.0e} of training without at the learning rate it amounts to, "
        f"training with one on g {10**g.estimate:.2g} away (relative; n = {g.n} seeds)."
    )
    findings = [
        Finding.maximum(
            f"largest change of the logits when {TITLES[str(what)]} is shrunk to {min(SHRINKS)} "
            "of it, relative",
            *(f"{own.change_relative.max():.1e}", f"{own.seed.nunique()} seeds"),
        )
        for what, own in shrinks[shrinks.factor == min(SHRINKS)].groupby("penalised", sort=False)
    ]
    ends = data[NAME].penalty.isin([runs.penalty.min(), runs.penalty.max()])
    for precision in ("float64", "float32"):
        own = data[NAME][ends & (data[NAME].precision == precision)]
        for (what, penalty), each in own.groupby(["penalised", "penalty"], sort=False):
            findings.append(_finding(str(what), float(penalty), each, precision))
    return Verdict(outcome, because, tuple(findings), seeds)


def _typical(runs: pd.DataFrame) -> Interval:
    """log₁₀ of the difference from the imitation, which is a ratio and skewed."""
    return t_interval(np.log10(runs.from_imitation_relative.clip(upper=CAP)))


def _finding(what: str, penalty: float, runs: pd.DataFrame, precision: str) -> Finding:
    each, other = _typical(runs), t_interval(np.log10(runs.from_unpenalised_relative))
    diverged = int(runs.imitation_diverged.sum())
    after = f"; {diverged} of {each.n} imitations diverged" if diverged else ""
    where = ", in float32" if precision == "float32" else ""
    return Finding.of_logarithm(
        f"penalty {penalty:g} on {TITLES[what]}{where}: relative difference of the logits, after "
        "training, from the imitation",
        *(each, ".1e", f" (from no penalty: {10**other.estimate:.1e}{after})"),
    )


EXPERIMENT = Experiment.of(NAME, parts, measure, verdict, figures.l2)
