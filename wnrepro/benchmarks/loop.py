"""The usual loop against ours: images trained per second, over a stretch of steps.

In the timing: shuffling, loading, every step and the record of loss and errors. Not in it:
reading the data set, starting the workers, compiling, evaluation, checkpoints. Both train weight
norm with Adam on the same images at the same batch size; each with the threads and the precision
that it has by default (`Task.threads`, `Task.training`; the usual loop: `usual`).
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.testing import assert_close

from wnrepro.benchmarks import usual
from wnrepro.benchmarks.row import Goal, Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import Task, cifar, mnist
from wnrepro.benchmarks.timing import in_turn, once, threads
from wnrepro.engine import Training

GPU_GOAL = Goal(8, at_least=True)


def loop(setting: Setting) -> Iterator[Row]:
    network, mlp = cifar(setting), mnist(setting)
    few = setting.on_gpu_or_cpu(20_000, 2_000)
    yield _row(setting, network, setting.pick(few, 3 * network.batch_size), 5)
    yield _row(setting, mlp, setting.pick(20_000, 5 * mlp.batch_size), 7)


def _row(setting: Setting, task: Task, n: int, repeats: int) -> Row:
    training = task.training(setting, task.dataset(setting, n, 1))
    training.initialise(min(500, n))
    network = usual.network(training.model)
    _check_same_logits(training, network)
    theirs = usual.Loop(network, usual.loader(task, setting, n), setting.device)
    epochs = training.epochs(after_step=lambda: None)
    losses: list[float] = []

    def ours() -> float:
        with threads(None if setting.gpu else task.threads):
            epoch = next(epochs)
        losses.append(epoch.train_loss)
        return epoch.train_time_sec

    mine, others = in_turn(
        ours, once(theirs, setting.device), repeats=setting.pick(repeats, 2), warm_up=1
    )
    assert len(losses) == len(mine) + 1, "our training diverged"
    assert max(theirs.losses) < float("inf"), "the usual training diverged"
    return Row(
        f"images trained per second, {task.name}",
        "images/s",
        *([n / each for each in series] for series in (mine, others)),
        goal=GPU_GOAL if setting.gpu else None,
        note=f"a pass is {n // task.batch_size} steps; the usual loop has {setting.workers} workers",
    )


@torch.no_grad()
def _check_same_logits(training: Training, network: nn.Module) -> None:
    images = training.dataset.train.images[:20]
    assert_close(training.model.eval()(images), network.eval()(images), rtol=1e-3, atol=1e-3)
    training.model.train()
