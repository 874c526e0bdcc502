"""What the tests of the equations compare with: random float64 tensors, 1e-10, differences."""

from collections.abc import Callable

import torch
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_close(
    actual: Tensor, expected: Tensor, scale: Tensor | float | None = None, tolerance: float = 1e-10
) -> None:
    """Same shape, and nowhere further apart than 1e-10 of the largest expected entry.

    scale: what to take instead of that entry, where `expected` is the small difference of large
    terms; of a tensor, the largest entry.
    """
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == torch.float64
    if actual.numel() == 0:
        return
    scale = expected if scale is None else scale
    largest = torch.as_tensor(scale, dtype=torch.float64).abs().max()
    error = (actual - expected).abs().max()
    assert error <= tolerance * largest, f"{error} of {largest}"


def differences(function: Callable[[Tensor], Tensor], at: Tensor, h: float) -> Tensor:
    """The Jacobian by central differences, [*output axes, *input axes].

    Five points each way: the error is of order h⁴, plus that of rounding, 1e-16/h.
    """
    columns = []
    for k in range(at.numel()):
        step = torch.zeros_like(at)
        step.view(-1)[k] = h
        near = function(at + step) - function(at - step)
        far = function(at + 2 * step) - function(at - 2 * step)
        columns.append((8 * near - far) / (12 * h))
    jacobian = torch.stack(columns, -1)
    return jacobian.reshape(*jacobian.shape[:-1], *at.shape)
