"""What the steps of an epoch add up, on the device, so that nothing waits for it."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Sums:
    """The loss, other quantities of a task and the examples, added up and read once.

    names: of the other quantities.
    tensor: (len(names) + 2,), float64: sum of the examples' losses, the others, the examples.
    """

    def __init__(self, device: torch.device, names: Sequence[str] = ()) -> None:
        self.names = ("loss", *names)
        self.tensor = torch.zeros(len(self.names) + 1, dtype=torch.float64, device=device)
        self._loss, *self._others, self._examples = self.tensor.unbind()

    def add(self, loss: Tensor, others: Sequence[Tensor], n: int) -> None:
        """loss: the mean over the batch's n examples. others: their sums over the batch."""
        self._loss.add_(loss.detach(), alpha=n)
        for total, value in zip(self._others, others, strict=True):
            total.add_(value.detach())
        self._examples.add_(n)

    def read(self) -> tuple[dict[str, float], float]:
        """The sums by name, and the examples; ValueError where nothing was added."""
        *totals, n = self.tensor.tolist()
        if n == 0:
            raise ValueError("there is no mean loss of no examples")
        return dict(zip(self.names, totals, strict=True)), n
