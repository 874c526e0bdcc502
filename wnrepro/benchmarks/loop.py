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
    # TF32, in which a GPU convolves float32, has three digits.
    _check_same_logits(training, network, setting.on_gpu_or_cpu(2e-2, 1e-3))
    theirs = usual.Loop(network, usual.loader(task, setting, n), setting.device)
    own_threads = setting.on_gpu_or_cpu(None, task.threads) or torch.get_num_threads()
    epochs = training.epochs(after_step=lambda: None)
    losses: list[float] = []

    def ours() -> float:
        with threads(own_threads):
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
        note=f"{n // task.batch_size} steps; CPU threads of ours: {own_threads}; workers of the "
        f"usual loop: {setting.workers}",
    )


@torch.no_grad()
def _check_same_logits(training: Training, network: nn.Module, atol: float) -> None:
    images = training.dataset.train.images[:20]
    assert_close(training.model.eval()(images), network.eval()(images), rtol=1e-3, atol=atol)
    training.model.train()
