"""What a training step of each arm costs: against plain's, and against the least time it can take.

The network has the paper's width on a CPU too: in a narrow one all that is not a convolution weighs
more. A step on one batch of CIFAR-10 that lies on the device: noise, forward, loss, backward, sums,
the update; on a GPU in bf16, compiled and captured, as in a run of 200 epochs. The least time:
see `limit`.
"""

import statistics
from collections.abc import Iterator

import torch
from torch.testing import assert_close

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.limit import flops, product
from wnrepro.benchmarks.row import Goal, Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import bare_step, cifar
from wnrepro.benchmarks.timing import compare
from wnrepro.engine import Training

GOALS = {"wn": Goal(1.02), "wn_mean_only_bn": Goal(1.05)}


def steps(setting: Setting) -> Iterator[Row]:
    task = cifar(setting, 96)
    dataset = task.dataset(setting, task.batch_size, 1)
    images, labels = dataset.train.images, dataset.train.labels
    trainings = {arm: task.training(setting, dataset, arm) for arm in PAPER_ARMS}
    # TF32, in which a GPU convolves float32, has three digits.
    _check_same_start(trainings, setting.on_gpu_or_cpu(2e-2, 1e-4))
    counts = {arm: flops(training) for arm, training in trainings.items()}
    # All are built before the first runs: building compiled steps forgets what is compiled.
    ready = {arm: bare_step(training) for arm, training in trainings.items()}
    functions = [lambda step=step: step(images, labels) for step, _ in ready.values()]
    large = product(setting)
    *series, per_product = compare(setting, *functions, large.run)
    for arm, (_, sums) in ready.items():
        assert sums.read()[0] < float("inf"), f"the loss of {arm} is not finite"

    times = {arm: [1e3 * t for t in its] for arm, its in zip(PAPER_ARMS, series, strict=True)}
    for arm in PAPER_ARMS[1:]:
        name = f"step of {ARMS[arm].label} ÷ of plain, {task.name}"
        yield Row(name, "ms", times[arm], times["plain"], GOALS.get(arm))
    for arm in PAPER_ARMS:
        least = [1e3 * counts[arm] * seconds / large.flops for seconds in per_product]
        share = statistics.median(a / b for a, b in zip(least, times[arm], strict=True))
        yield Row(
            f"step ÷ least time, {ARMS[arm].label}, {task.name}",
            *("ms", times[arm], least),
            note=f"{counts[arm] / 1e9:.3g} GFLOP; {100 * share:.0f} % of the rate of {large.text}",
        )


@torch.no_grad()
def _check_same_start(trainings: dict[str, Training], atol: float) -> None:
    """wn starts as plain's function, with and without mean-only batch norm; noise switched off."""
    for one, other in (("plain", "wn"), ("mean_only_bn", "wn_mean_only_bn")):
        logits = []
        for arm in (one, other):
            model = trainings[arm].model.eval()
            logits.append(model(trainings[arm].dataset.train.images))
            model.train()
        assert_close(*logits, rtol=1e-3, atol=atol)
