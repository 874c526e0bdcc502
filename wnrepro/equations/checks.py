"""What the equations refuse: another dtype, a wrong shape, numbers outside their range."""

import torch
from torch import Tensor


def check(**arguments: tuple[Tensor, str]) -> None:
    """Every tensor is float64 and has the axes it is said to have; an axis has one size only.

    arguments: name=(tensor, names of its axes), as in `v=(v, "units inputs"), g=(g, "units")`.
    Raises ValueError, in one line that names the argument.
    """
    sizes: dict[str, int] = {}
    for name, (tensor, axes) in arguments.items():
        _float64(name, tensor)
        names = axes.split()
        known = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in names)
        if tensor.ndim != len(names) or any(
            sizes.setdefault(axis, size) != size
            for axis, size in zip(names, tensor.shape, strict=True)
        ):
            raise ValueError(f"{name} must have shape ({known}), got {tuple(tensor.shape)}")


def check_batch(**tensors: Tensor) -> None:
    """Every tensor has at least one example along its first axis. Raises ValueError."""
    for name, tensor in tensors.items():
        if len(tensor) == 0:
            raise ValueError(f"{name} has an empty batch, which has no mean")


def check_alike(**arguments: Tensor) -> None:
    """Every tensor is float64 and has the shape of the first. Raises ValueError."""
    first, *_ = arguments
    for name, tensor in arguments.items():
        _float64(name, tensor)
        if tensor.shape != arguments[first].shape:
            raise ValueError(
                f"{name} must have the shape of {first}, {tuple(arguments[first].shape)}, "
                f"got {tuple(tensor.shape)}"
            )


def check_decay(**decays: float) -> None:
    """Every number lies in [0, 1): the weight of the past in a moving average."""
    for name, decay in decays.items():
        if not 0 <= decay < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {decay}")


def check_step(t: int) -> None:
    """Steps are counted from 1."""
    if not t >= 1:
        raise ValueError(f"t counts steps from 1, got {t}")


def check_not_negative(**numbers: float) -> None:
    """Every number is at least 0; NaN is not."""
    for name, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"{name} must be at least 0, got {number}")


def check_squares(v: Tensor, axis: int, name: str) -> None:
    """√Σv² over the axis is 0 exactly or lies in 1e-150 … 1e150.

    Outside, squares underflow or overflow float64 and the root would be wrong without a word.
    """
    root = (v**2).sum(axis) ** 0.5
    bad = ~(v == 0).all(axis) & ~((root >= 1e-150) & (root <= 1e150))
    if bad.any():
        raise ValueError(
            f"the norm of {name} must lie between 1e-150 and 1e150 for its square to be right in "
            f"float64, got {root[bad][0].item()}"
        )


def _float64(name: str, tensor: Tensor) -> None:
    if tensor.dtype != torch.float64:
        raise ValueError(f"{name} must be float64, got {str(tensor.dtype).removeprefix('torch.')}")
