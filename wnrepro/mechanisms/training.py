"""A small training run for the experiments: an MLP on scikit-learn's digits, constant step size."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from wnrepro import models
from wnrepro.arms import ARMS
from wnrepro.data import Dataset, load
from wnrepro.engine import Training
from wnrepro.mechanisms.experiment import Part, Scalar
from wnrepro.nn import Unit
from wnrepro.optim import Adam, Momentum, Schedule
from wnrepro.randomness import Streams

INIT_IMAGES = 500
"""Images of the data-dependent init, as in the paper's protocol."""


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """The same learning rate and β1 in every epoch: what is studied is the rate, not its decay."""

    def learning_rate(self, epoch: int) -> float:
        return self.lr

    def beta1_at(self, epoch: int) -> float:
        return self.beta1


@cache
def digits(train_size: int | None = None, dtype: torch.dtype = torch.float32) -> Dataset:
    """1437 training images of 8×8 (the first `train_size` of them); read once per process."""
    return load("digits", train_size=train_size, dtype=dtype)


def log_spaced(lowest: float, decades: float, n: int) -> list[float]:
    """n learning rates in equal steps of the logarithm, to four digits."""
    return [float(f"{lowest * 10 ** (decades * k / (n - 1)):.4g}") for k in range(n)]


def training(part: Part) -> Training:
    """The run of a part, initialised, before its first step.

    part: `arm`; `optimiser` ("gd", "momentum" with 0.9, or "adam"); `learning_rate`; `seed`;
    `epochs`; `batch_size`; `width` and `depth` of the MLP; and, if they are there, `init` (1, the
    default: data-dependent init where the arm takes it; 0: none), `noise_std` on the input,
    `train_size`, `precision` ("float32", the default, or "float64"), and `other_rate`: the learning
    rate of everything but the weight vectors (of g and b), so that `learning_rate` is that of v, or
    of w in an arm without v, alone.
    """
    size = part.get("train_size")
    dtype = {"float32": torch.float32, "float64": torch.float64}[
        str(part.get("precision", "float32"))
    ]
    dataset = digits(int(size) if size is not None else None, dtype)
    streams = Streams(int(part["seed"]))
    model = models.build(
        "mlp",
        str(part["arm"]),
        dataset.image_shape,
        dataset.n_classes,
        width=int(part["width"]),
        depth=int(part["depth"]),
        noise_std=float(part.get("noise_std", 0)),
        streams=streams,
    ).to(dtype)  # the float32 starting weights, exactly
    run = Training(
        model,
        optimiser(str(part["optimiser"]), _groups(model, part.get("other_rate"))),
        dataset,
        ConstantRate(int(part["epochs"]), float(part["learning_rate"])),
        streams,
        int(part["batch_size"]),
    )
    if part.get("init", 1) and ARMS[str(part["arm"])].takes_init:
        run.initialise(min(INIT_IMAGES, len(dataset.train)))
    return run


def optimiser(name: str, groups: list[dict]) -> torch.optim.Optimizer:
    """ "gd": p − η·∇. "momentum": V ← 0.9·V + η·∇, p − V. "adam": the paper's. η is set later.

    A group with a "fixed_rate" keeps it, whatever the schedule says.
    """
    if name == "adam":
        made = Adam(groups)
    elif name in ("gd", "momentum"):
        made = Momentum(groups, gamma=0.9 if name == "momentum" else 0.0)
    else:
        raise ValueError(f"no optimiser {name!r}")
    if any("fixed_rate" in group for group in groups):
        made.register_step_pre_hook(_keep_fixed_rates)
    return made


def _groups(model: nn.Module, other_rate: Scalar | None) -> list[dict]:
    if other_rate is None:
        return [{"params": list(model.parameters())}]
    directions = [unit.v for unit in units(model).values()]
    own = {id(p) for p in directions}
    rest = [p for p in model.parameters() if id(p) not in own]
    return [{"params": directions}, {"params": rest, "fixed_rate": float(other_rate)}]


def _keep_fixed_rates(made: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    for group in made.param_groups:
        group["lr"] = group.get("fixed_rate", group["lr"])


def units(model: nn.Module) -> dict[str, Unit]:
    """The layers by name, from the input to the output."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Unit)}


@torch.no_grad()
def norms(v: Tensor) -> Tensor:
    """‖v‖ per output unit, (out,), in float64: the ruler must be finer than what it measures."""
    return v.double().flatten(1).norm(dim=1)
