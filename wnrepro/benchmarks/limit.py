"""The least time that the arithmetic of a training step can take on this machine.

It is the FLOPs of the step (convolutions and matrix products, forward and backward, counted by
torch's FlopCounterMode) over the rate at which the same device does a large matrix product in the
precision of a run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from wnrepro.benchmarks.setting import Setting
from wnrepro.classification import loss_and_errors
from wnrepro.engine import Training


@dataclass(frozen=True)
class Product:
    """A large matrix product: what to call, its FLOPs, and what it is in words."""

    run: Callable[[], object]
    flops: int
    text: str


def product(setting: Setting, dtype: torch.dtype | None = None) -> Product:
    """Of matrices of `dtype`; None for the one that a run computes in on this device."""
    size = setting.pick(setting.on_gpu_or_cpu(8192, 2048), 128)
    dtype = dtype or setting.on_gpu_or_cpu(torch.bfloat16, torch.float32)
    a, b = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))
    text = f"a product of {size}×{size} in {str(dtype).removeprefix('torch.')}"
    return Product(lambda: a @ b, 2 * size**3, text)


def flops(training: Training) -> int:
    """Of forward and backward of all its training images; weights stay as they are."""
    split = training.dataset.train
    with FlopCounterMode(display=False) as counter, training.autocast():
        loss, _ = loss_and_errors(training.model(split.images), split.labels)
        loss.backward()
    training.optimizer.zero_grad(set_to_none=True)
    count = counter.get_total_flops()
    assert count > 0, "a step without arithmetic"
    return count
