"""How far a training step is from the least time that its arithmetic takes on this machine.

That time is the FLOPs of the step (convolutions and matrix products, forward and backward, counted
by torch's FlopCounterMode) over the rate at which the same device, in the same precision, does a
large matrix product. Step and product are timed in turn.
"""

import statistics
from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.row import Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import bare_step, cifar
from wnrepro.benchmarks.timing import compare
from wnrepro.classification import loss_and_errors
from wnrepro.engine import Training


def limit(setting: Setting) -> Iterator[Row]:
    task = cifar(setting)
    dataset = task.dataset(setting, task.batch_size, 1)
    images, labels = dataset.train.images, dataset.train.labels
    trainings = [task.training(setting, dataset, arm) for arm in PAPER_ARMS]
    flops = [_flops(training) for training in trainings]
    steps = [bare_step(training)[0] for training in trainings]
    size = setting.pick(setting.on_gpu_or_cpu(8192, 2048), 128)
    dtype = setting.on_gpu_or_cpu(torch.bfloat16, torch.float32)
    a, b = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))
    functions = [lambda step=step: step(images, labels) for step in steps]
    *times, product = compare(setting, *functions, lambda: a @ b, repeats=7)
    for arm, count, series in zip(PAPER_ARMS, flops, times, strict=True):
        least = [1e3 * count * each / (2 * size**3) for each in product]
        milliseconds = [1e3 * each for each in series]
        share = statistics.median(a / b for a, b in zip(least, milliseconds, strict=True))
        yield Row(
            f"step ÷ least time, {ARMS[arm].label}, {task.name}",
            *("ms", milliseconds, least),
            note=f"{count / 1e9:.3g} GFLOP; {100 * share:.0f} % of the limit, that of a product "
            f"of {size}×{size} in {str(dtype).removeprefix('torch.')}",
        )


def _flops(training: Training) -> int:
    """Of forward and backward of one batch; weights and gradients stay as they are."""
    split = training.dataset.train
    with FlopCounterMode(display=False) as counter, training.autocast():
        loss, _ = loss_and_errors(training.model(split.images), split.labels)
        loss.backward()
    training.optimizer.zero_grad(set_to_none=True)
    assert counter.get_total_flops() > 0
    return counter.get_total_flops()
