"""The optimisers of the paper and of the course notes, by name, and the paper's schedule."""

import torch

from wnrepro.optim.adadelta import Adadelta
from wnrepro.optim.adam import Adam
from wnrepro.optim.adamax import Adamax
from wnrepro.optim.foreach import Parameters
from wnrepro.optim.momentum import AveragedMomentum, Momentum
from wnrepro.optim.schedule import Schedule


def _sgd(params: Parameters, lr: float) -> Momentum:
    return Momentum(params, lr, gamma=0.0)


OPTIMISERS = {
    "sgd": _sgd,
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
    before and from half time; all three or, for those of the paper, none. constant: the learning
    rate and β1 of the start throughout. settings: gamma, eps, of those that have them.

    Raises KeyError for an unknown name, TypeError for a setting that an optimiser has not and for
    a part of the betas, and ValueError for a number that is out of its range.
    """
    optimiser = OPTIMISERS[name]
    if beta1 is beta1_late is beta2 is None:
        return optimiser(params, lr, **settings), Schedule(epochs, lr, constant=constant)
    if beta1 is None or beta1_late is None or beta2 is None:
        raise TypeError("beta1, beta1_late and beta2 are given together or not at all")
    schedule = Schedule(epochs, lr, beta1, beta1_late, constant)
    return optimiser(params, lr, betas=(beta1, beta2), **settings), schedule
