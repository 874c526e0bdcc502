"""A small training for the experiments: an MLP on scikit-learn's digits, constant learning rate."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from wnrepro import assembly
from wnrepro.arms import ARMS
from wnrepro.config import (
    AdamConfig,
    Config,
    DataConfig,
    ModelConfig,
    MomentumConfig,
    NormConfig,
    OptimConfig,
    ScheduleConfig,
)
from wnrepro.data import Dataset
from wnrepro.mechanisms.experiment import Part, Scalar
from wnrepro.nn import NormalizedLayer
from wnrepro.training import SupervisedTraining

INIT_IMAGES = 500
"""Images of the data-dependent init, as in the paper's protocol."""
OPTIMISERS = {
    "gd": OptimConfig("sgd"),
    "momentum": MomentumConfig("momentum", gamma=0.9),
    "adam": AdamConfig("adam", beta1=0.9, beta1_late=0.9, beta2=0.999, eps=1e-8),
}
"""By their names in a part."""


@dataclass
class Run:
    """A training of the project's, before its first step, and what the experiments look at."""

    training: SupervisedTraining
    model: nn.Module
    dataset: Dataset
    optimizer: torch.optim.Optimizer

    def losses(self) -> Iterator[float]:
        """Train; the training loss of each epoch. One that is not finite is the last."""
        for epoch in self.training.epochs():
            yield epoch.metrics["train_loss"]

    def order(self) -> Tensor:
        """The training images in the order of the first epoch: the init sees its beginning."""
        return self.training.streams.permutation(len(self.dataset.train), 0)

    def set_apart(self, chosen: Sequence[Tensor]) -> dict:
        """Give the other parameters a group of their own in the optimiser, and return it."""
        (group,) = self.optimizer.param_groups
        own = {id(p) for p in chosen}
        rest = [p for p in group["params"] if id(p) not in own]
        group["params"] = list(chosen)
        self.optimizer.add_param_group({"params": rest})
        return self.optimizer.param_groups[1]

    def at_steps(self, look: Callable[[int], None], last: int | None = None) -> None:
        """Have `look` called after steps 1, 2, 4, 8, … and after step `last`."""
        taken = 0

        def after(*_: object) -> None:
            nonlocal taken
            taken += 1
            if taken & (taken - 1) == 0 or taken == last:
                look(taken)

        self.optimizer.register_step_post_hook(after)


def training_part(
    arm: str,
    optimiser: str,
    learning_rate: float,
    seed: int,
    epochs: int,
    width: int,
    depth: int = 2,
    **more: Scalar,
) -> dict[str, Scalar]:
    """A part that `training` takes, with `more` settings of the experiment's own."""
    return {
        "arm": arm,
        "optimiser": optimiser,
        "learning_rate": learning_rate,
        "seed": seed,
        "epochs": epochs,
        "batch_size": 100,
        "width": width,
        "depth": depth,
        **more,
    }


def training(part: Part) -> Run:
    """The run of a part, initialised, before its first step.

    part: as `training_part` makes one. optimiser: of OPTIMISERS. width, depth: of the MLP. It may
    have `init` (1, the default: data-dependent where the arm takes it; 0: none), `noise_std` on
    the input, and `precision` ("float32", the default, or "float64"). With `other_rate`,
    `learning_rate` is that of the weight vectors alone (of v, or of w in an arm without v), and
    `other_rate` that of everything else.
    """
    config = Config(
        data=DataConfig("digits", whiten=False),
        model=ModelConfig(
            "mlp", int(part["width"]), int(part["depth"]), float(part.get("noise_std", 0))
        ),
        norm=NormConfig(str(part["arm"])),
        optim=replace(OPTIMISERS[str(part["optimiser"])], lr=float(part["learning_rate"])),
        schedule=ScheduleConfig("constant"),
        epochs=int(part["epochs"]),
        batch_size=int(part["batch_size"]),
        seed=int(part["seed"]),
        precision=str(part.get("precision", "float32")),
    )
    made = cast(SupervisedTraining, assembly.training(config, torch.device("cpu")))
    objective: Any = made.objective  # the one of images, which has them as a data set
    run = Run(made, made.model, objective.dataset, made.optimizer)
    if "other_rate" in part:
        rest = run.set_apart([unit.v for unit in units(run.model).values()])
        rate = float(part["other_rate"])
        run.optimizer.register_step_pre_hook(lambda *_: rest.update(lr=rate))
    if part.get("init", 1) and ARMS[str(part["arm"])].takes_init:
        made.initialise(INIT_IMAGES)
    return run


def stops(run: Run, part: Part) -> Iterator[int]:
    """Train, with a stop after each epoch of the part's `measured_at`; 0 is before training."""
    points = {int(epoch) for epoch in str(part["measured_at"]).split()}
    if 0 in points:
        yield 0
    for epoch, _ in enumerate(run.losses(), 1):
        if epoch in points:
            yield epoch


def log_spaced(lowest: float, decades: float, n: int) -> list[float]:
    """n learning rates in equal steps of the logarithm, to four digits."""
    return [float(f"{lowest * 10 ** (decades * k / (n - 1)):.4g}") for k in range(n)]


def units(model: nn.Module) -> dict[str, NormalizedLayer]:
    """The layers by name, from the input to the output."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, NormalizedLayer)
    }


@torch.no_grad()
def norms(v: Tensor) -> Tensor:
    """‖v‖ per output unit, (out,), in float64: the ruler must be finer than what it measures."""
    return v.double().flatten(1).norm(dim=1)
