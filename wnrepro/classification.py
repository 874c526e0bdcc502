"""The task of this paper's experiments with images: which class?

The training loop (`wnrepro.engine`) knows batches and metrics; what the loss is and what counts
as an error is said here.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F


def loss_and_errors(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy in nats, and how many of the largest logits are not the label's.

    logits: (N, classes); labels: (N,), int64. Both results are scalars on the logits' device.
    Half-precision logits are compared in float32.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(logits, labels), (logits.argmax(1) != labels).sum()


class Sums:
    """Loss and errors added up on the device, read once.

    tensor: (3,), float64: sum of the examples' losses, errors, examples.
    """

    def __init__(self, device: torch.device) -> None:
        self.tensor = torch.zeros(3, dtype=torch.float64, device=device)
        self._loss, self._errors, self._examples = self.tensor.unbind()

    def add(self, loss: Tensor, errors: Tensor, n: int) -> None:
        self._loss.add_(loss.detach(), alpha=n)
        self._errors.add_(errors)
        self._examples.add_(n)

    def read(self) -> tuple[float, float]:
        """Mean loss in nats and error in percent; ValueError where nothing was added."""
        loss, errors, n = self.tensor.tolist()
        if n == 0:
            raise ValueError("there is no mean loss of no examples")
        return loss / n, 100 * errors / n


@torch.no_grad()
def evaluate(
    model: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
) -> tuple[float, float]:
    """Mean loss in nats and error in percent over `batches` of a model in evaluation mode.

    Raises ValueError where there is no example in them.
    """
    sums = Sums(device)
    for images, labels in batches:
        sums.add(*loss_and_errors(model(images), labels), len(labels))
    return sums.read()
