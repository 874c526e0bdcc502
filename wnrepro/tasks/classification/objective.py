"""The loss and the error of a classifier of images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.data import Dataset, batches
from wnrepro.nn import data_dependent_init
from wnrepro.training import Sums

EVALUATION_BATCH = 500
"""Images per forward pass in evaluation; a matter of memory only."""


@dataclass
class Classification:
    """The `Objective` of a classifier.

    model: maps images, (N, C, H, W), to logits, (N, classes); on the data set's device.
    """

    model: nn.Module
    dataset: Dataset
    summed = ("errors",)

    @property
    def device(self) -> torch.device:
        return self.dataset.train.images.device

    @property
    def n_train(self) -> int:
        return len(self.dataset.train)

    @property
    def evaluation_name(self) -> str:
        return self.dataset.evaluation_name

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        train = self.dataset.train
        return train.images.index_select(0, chosen), train.labels.index_select(0, chosen)

    def loss(
        self, forward: Callable[[Tensor], Tensor], batch: tuple[Tensor, ...]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        images, labels = batch
        loss, errors = loss_and_errors(forward(images), labels)
        return loss, [errors]

    def metrics(self, sums: dict[str, float], n: float) -> dict[str, float]:
        """loss: mean cross-entropy in nats. error_percent: of the largest logits."""
        return {"loss": sums["loss"] / n, "error_percent": 100 * sums["errors"] / n}

    def evaluate(self, forward: Callable[[Tensor], Tensor]) -> dict[str, float]:
        sums = Sums(self.device, self.summed)
        for batch in batches(self.dataset.evaluation, EVALUATION_BATCH):
            sums.add(*self.loss(forward, batch), len(batch[0]))
        return self.metrics(*sums.read())

    def initialise(self, chosen: Tensor) -> list[str]:
        return data_dependent_init(self.model, self.dataset.train.images[chosen])


def loss_and_errors(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy in nats, and how many of the largest logits are not the label's.

    logits: (N, classes); labels: (N,), int64. Both results are scalars on the logits' device.
    Half-precision logits are compared in float32.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(logits, labels), (logits.argmax(1) != labels).sum()
