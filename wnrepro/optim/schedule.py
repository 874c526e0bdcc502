"""The learning rate and β1 of each epoch."""

from dataclasses import dataclass

from torch.optim import Optimizer


@dataclass(frozen=True)
class Schedule:
    """The paper's schedule, for any number of epochs E.

        lr(epoch) = lr₀·min(2 − 2·epoch/E, 1),    β1(epoch) = β1 before E/2, then β1_late

    Set once per epoch, counted from 0. With E = 200 this is the authors' lr₀·min(2 − epoch/100, 1)
    with β1 0.9 for epochs 0–99 and 0.5 from epoch 100 (authors' code, `lasagne/train.py`; paper,
    sec. 5.1); the last epoch has lr₀/100.

    epochs: E, at least 1. lr: lr₀, at least 0. beta1, beta1_late: in [0, 1). constant: lr₀ and β1
    throughout instead, so that E epochs are the first E of every schedule of 2E and more.
    Raises ValueError for values outside these ranges and for an epoch that is not 0 … E − 1.
    """

    epochs: int
    lr: float
    beta1: float = 0.9
    beta1_late: float = 0.5
    constant: bool = False

    def __post_init__(self) -> None:
        if not self.epochs >= 1:
            raise ValueError(f"a schedule must have at least 1 epoch, not {self.epochs}")
        if not self.lr >= 0:
            raise ValueError(f"the learning rate must be at least 0, not {self.lr}")
        if not all(0 <= beta < 1 for beta in (self.beta1, self.beta1_late)):
            raise ValueError(
                f"each beta must lie in [0, 1), not {self.beta1} and then {self.beta1_late}"
            )

    def learning_rate(self, epoch: int) -> float:
        self._check(epoch)
        if self.constant:
            return self.lr
        # One division of whole numbers: exactly 1/100 in epoch 199 of 200.
        return self.lr * min(2 * (self.epochs - epoch) / self.epochs, 1.0)

    def beta1_at(self, epoch: int) -> float:
        self._check(epoch)
        return self.beta1 if self.constant or 2 * epoch < self.epochs else self.beta1_late

    def set_in(self, optimizer: Optimizer, epoch: int) -> float:
        """Give the optimiser the numbers of this epoch; its learning rate."""
        learning_rate = self.learning_rate(epoch)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
            if "betas" in group:
                group["betas"] = (self.beta1_at(epoch), group["betas"][1])
        return learning_rate

    def _check(self, epoch: int) -> None:
        if not 0 <= epoch < self.epochs:
            raise ValueError(f"{self.epochs} epochs are counted from 0: there is no epoch {epoch}")
