"""The least time that the arithmetic of a training step can take on this machine.

It is the FLOPs of the step (convolutions and matrix products, forward and backward, counted by
torch's FlopCounterMode) over the rate at which the same device does a large matrix product in the
precision of the step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from wnrepro.benchmarks.setting import Setting
from wnrepro.training import SupervisedTraining


@dataclass(frozen=True)
class Product:
    """A large matrix product: what to call, its FLOPs, and what it is in words."""

    run: Callable[[], object]
    flops: int
    text: str


def product(setting: Setting, precision: str) -> Product:
    """Of matrices in float32 or bf16."""
    size = setting.pick(setting.on_gpu_or_cpu(8192, 2048), 128)
    dtype = {"bf16": torch.bfloat16, "float32": torch.float32}[precision]
    a, b = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))
    return Product(lambda: a @ b, 2 * size**3, f"a product of {size}×{size} in {precision}")


def flops(training: SupervisedTraining) -> int:
    """Of forward and backward of a batch; weights stay as they are."""
    batch = training.objective.batch(torch.arange(training.batch_size, device=training.device))
    with FlopCounterMode(display=False) as counter, training.autocast():
        training.objective.loss(training.model, batch)[0].backward()
    training.optimizer.zero_grad(set_to_none=True)
    count = counter.get_total_flops()
    assert count > 0, "a step without arithmetic"
    return count
