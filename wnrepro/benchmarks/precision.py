"""bf16 against float32, and channels-last against contiguous: steps of the CIFAR-10 network.

A step as in `steps`, of the wn arm, eager on a CPU. What bf16 gains depends on the processor's
instructions (the note says which torch uses) and is limited by what it does for a matrix product,
which the last row shows.
"""

from collections.abc import Iterator

import torch
from torch.testing import assert_close

from wnrepro.benchmarks.limit import product
from wnrepro.benchmarks.row import Goal, Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import CPU_WIDTH, bare_step, cifar
from wnrepro.benchmarks.timing import compare
from wnrepro.classification import loss_and_errors
from wnrepro.engine import Training

CPU_GOAL = Goal(1.8, at_least=True)


def precision(setting: Setting) -> Iterator[Row]:
    for width in setting.pick(setting.on_gpu_or_cpu((96,), (96, CPU_WIDTH)), (4,)):
        yield from _rows(setting, width)
    half, full = (product(setting, dtype) for dtype in (torch.bfloat16, torch.float32))
    series = compare(setting, half.run, full.run)
    a, b = ([half.flops / 1e9 / seconds for seconds in each] for each in series)
    name = "bf16 ÷ float32, product of two matrices"
    yield Row(name, "GFLOP/s", a, b, note=f"{half.text} and in float32")


def _rows(setting: Setting, width: int) -> Iterator[Row]:
    task = cifar(setting, width)
    dataset = task.dataset(setting, task.batch_size, 1)
    images, labels = dataset.train.images, dataset.train.labels
    half, full, contiguous = (
        task.training(setting, dataset, precision=each) for each in ("bf16", "float32", "float32")
    )
    contiguous.model.to(memory_format=torch.contiguous_format)
    _check_same_loss(half, full, 2e-2)
    _check_same_loss(contiguous, full, setting.on_gpu_or_cpu(2e-2, 1e-4))
    ready = [bare_step(each)[0] for each in (half, full, contiguous)]
    functions = [lambda step=step: step(images, labels) for step in ready]
    times = compare(setting, *functions, repeats=7)
    a, b, c = ([task.batch_size / each for each in series] for series in times)
    goal = CPU_GOAL if width == 96 and not setting.gpu and _has_bf16() else None
    note = "" if setting.gpu else f"torch's kernels: {torch.backends.cpu.get_cpu_capability()}"
    if not setting.gpu:
        note += ", the processor has AVX512-BF16" if _has_bf16() else ", no AVX512-BF16"
    yield Row(f"bf16 ÷ float32, {task.name}", "images/s", a, b, goal, note)
    yield Row(f"channels-last ÷ contiguous, float32, {task.name}", "images/s", b, c)


def _has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())


@torch.no_grad()
def _check_same_loss(one: Training, other: Training, rtol: float) -> None:
    """In evaluation mode: without noise."""
    losses = []
    for training in (one, other):
        split = training.dataset.train
        training.model.eval()
        with training.autocast():
            losses.append(loss_and_errors(training.model(split.images), split.labels)[0])
        training.model.train()
    assert_close(*losses, rtol=rtol, atol=0.0)
