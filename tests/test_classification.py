"""Loss and errors of a batch, and their sums."""

import pytest
import torch
from torch.nn import functional as F

from wnrepro.classification import Sums, evaluate, loss_and_errors

CPU = torch.device("cpu")


def test_the_sums_are_those_of_all_examples_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(10, 4, generator=generator)
    labels = torch.randint(4, (10,), generator=generator)
    loss, error_percent = evaluate(
        lambda x: x, zip(logits.split(7), labels.split(7), strict=True), CPU
    )
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert error_percent == 10 * (logits.argmax(1) != labels).sum().item()


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
    with pytest.raises(ValueError, match="no examples"):
        evaluate(lambda x: x, [], CPU)
    with pytest.raises(ValueError, match="no examples"):
        evaluate(lambda x: x, [(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))], CPU)
