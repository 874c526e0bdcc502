"""Loss and errors of a classifier, and their sums."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wnrepro.data import Dataset, Split
from wnrepro.tasks.classification.objective import Classification, loss_and_errors
from wnrepro.training import Sums

CPU = torch.device("cpu")


def test_the_metrics_are_those_of_all_examples_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1234, 4, generator=generator)  # no multiple of a batch
    labels = torch.randint(4, (1234,), generator=generator)
    split = Split(logits[..., None, None], labels)
    objective = Classification(nn.Flatten(), Dataset("", split, split, "test", 4, ""))
    metrics = objective.evaluate(objective.model)
    assert list(metrics) == ["loss", "error_percent"]
    assert metrics["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert metrics["error_percent"] == 100 * (logits.argmax(1) != labels).sum().item() / 1234


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_loss_of_half_precision_logits_is_computed_in_float32(dtype: torch.dtype) -> None:
    """In bfloat16 the loss would have 3 digits, and the sum over an epoch no more."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 10, generator=generator).to(dtype)
    labels = torch.randint(10, (50,), generator=generator)
    loss, errors = loss_and_errors(logits, labels)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact = F.cross_entropy(logits.double(), labels).item()
    assert loss.item() == pytest.approx(exact, rel=1e-6)
    assert errors.item() == (logits.argmax(1) != labels).sum().item()


def test_of_no_examples_there_is_no_mean() -> None:
    with pytest.raises(ValueError, match="no examples"):
        Sums(CPU).read()
