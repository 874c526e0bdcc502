"""The optimisers of the paper and of the course notes, by name, and the paper's schedule."""

import functools

import torch

from wnrepro.optim.adadelta import Adadelta
from wnrepro.optim.adam import Adam
from wnrepro.optim.adamax import Adamax
from wnrepro.optim.foreach import Parameters
from wnrepro.optim.momentum import AveragedMomentum, Momentum
from wnrepro.optim.schedule import Schedule

OPTIMISERS = {
    "sgd": functools.partial(Momentum, gamma=0.0),
    "momentum": Momentum,
    "averaged_momentum": AveragedMomentum,
    "adadelta": Adadelta,
    "adam": Adam,
    "adamax": Adamax,
}

__all__ = [
    "OPTIMISERS",
    "Adadelta",
    "Adam",
    "Adamax",
    "AveragedMomentum",
    "Momentum",
    "Schedule",
    "build",
]


def build(
    name: str,
    params: Parameters,
    epochs: int,
    lr: float,
    *,
    beta1: float | None = None,
    beta1_late: float | None = None,
    beta2: float | None = None,
    constant: bool = False,
    **settings: float,
) -> tuple[torch.optim.Optimizer, Schedule]:
    """The optimiser `name`, and the schedule of its learning rate and β1 over `epochs` epochs.

    lr: the learning rate at the start. beta1, beta1_late, beta2: of adam and adamax, the first two
    before and from half time. constant: the learning rate and β1 of the start throughout.
    settings: gamma, eps, of those that have them.

    Raises KeyError for an unknown name, TypeError for a setting that an optimiser has not, and
    ValueError for one that is out of its range.
    """
    optimiser = OPTIMISERS[name]
    if beta1 is None or beta1_late is None or beta2 is None:
        return optimiser(params, lr, **settings), Schedule(epochs, lr, constant=constant)
    schedule = Schedule(epochs, lr, beta1, beta1_late, constant)
    return optimiser(params, lr, betas=(beta1, beta2), **settings), schedule
