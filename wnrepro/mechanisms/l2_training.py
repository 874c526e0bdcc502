"""Training under a penalty, or under the learning rate that imitates one (experiment `l2`)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wnrepro.engine import Training
from wnrepro.mechanisms.experiment import Part
from wnrepro.mechanisms.training import norms, optimiser, training, units
from wnrepro.nn import Unit


def target(unit: Unit, penalised: str) -> Tensor:
    tensor = unit.g if penalised == "g" else unit.v  # v is the weight itself in the plain arm
    assert tensor is not None
    return tensor


@dataclass
class Course:
    """What one training left: at steps 1, 2, 4, … and the last, and the model in the end."""

    logits: dict[int, Tensor]
    effective_rate: dict[int, float]
    loss: float
    run: Training


def train(part: Part, before_step: Callable[[dict, int], None] | None = None) -> Course:
    """The run of a part. before_step: given the penalised tensors' group and the step, from 0."""
    run = training(part)
    layers = list(units(run.model).values())
    chosen = [target(unit, str(part["penalised"])) for unit in layers]
    own = {id(p) for p in chosen}
    rest = [p for p in run.model.parameters() if id(p) not in own]
    run.optimizer = optimiser(str(part["optimiser"]), [{"params": chosen}, {"params": rest}])
    images, last = run.dataset.evaluation.images, run.steps_per_epoch * run.schedule.epochs
    course, taken, rate = Course({}, {}, float("nan"), run), 0, float(part["learning_rate"])

    def before(*_: object) -> None:
        if before_step is not None:
            before_step(run.optimizer.param_groups[0], taken)

    @torch.no_grad()
    def after(*_: object) -> None:
        nonlocal taken
        taken += 1
        if taken & (taken - 1) == 0 or taken == last:
            course.logits[taken] = logits(run, images)
            lengths = torch.cat([norms(unit.v) for unit in layers])
            course.effective_rate[taken] = rate * float(lengths.log().mean().mul(-2).exp())

    run.optimizer.register_step_pre_hook(before)
    run.optimizer.register_step_post_hook(after)
    course.loss = [metrics.train_loss for metrics in run.epochs()][-1]
    return course


def penalise(penalty: float) -> Callable[[dict, int], None]:
    """Adds the gradient λ·p of the penalty λ/2·‖p‖²."""

    @torch.no_grad()
    def before_step(group: dict, step: int) -> None:
        for p in group["params"]:
            p.grad.add_(p, alpha=penalty)

    return before_step


def imitate(penalty: float, rate: float) -> Callable[[dict, int], None]:
    """No penalty, but the learning rate η/(αₜ·αₜ₊₁), αₜ = (1 − ηλ)ᵗ; see the equation in `l2`."""
    shrink = 1 - rate * penalty

    def before_step(group: dict, step: int) -> None:
        group["lr"] = rate / shrink ** (2 * step + 1)

    return before_step


@torch.no_grad()
def logits(run: Training, images: Tensor) -> Tensor:
    mode = run.model.training
    found = run.model.eval()(images).double()
    run.model.train(mode)
    return found
