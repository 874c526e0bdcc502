"""What the engine adds to the steps of an epoch: metrics, the moment between two steps, records.

Ours is `Training.epochs`; the usual way here is the same steps on the same batches in a bare loop.
What is evaluated after an epoch is work and no overhead: the goal is for the epoch without it, and
the second row shows the epoch with it.
"""

import math
from collections.abc import Iterator

from wnrepro.benchmarks.row import Goal, Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import Task, bare_step, cifar, mnist
from wnrepro.benchmarks.timing import in_turn, once, threads
from wnrepro.data import batches

GOAL = Goal(1.03)


def engine(setting: Setting) -> Iterator[Row]:
    network, mlp = cifar(setting), mnist(setting)
    with threads(None if setting.gpu else mlp.threads):
        yield from _rows(setting, mlp, setting.pick(None, 250), setting.pick(None, 50), 9)
    # On a CPU many short epochs: what else the machine does passes within seconds.
    few, repeats = setting.on_gpu_or_cpu((None, 7), (1_000, 25))
    n = setting.pick(few, 3 * network.batch_size)
    yield from _rows(setting, network, n, None if n is None else n // 5, repeats)


def _rows(
    setting: Setting, task: Task, n: int | None, n_evaluation: int | None, repeats: int
) -> Iterator[Row]:
    dataset = task.dataset(setting, n, n_evaluation)
    engines, bare = (task.training(setting, dataset) for _ in range(2))
    step, sums = bare_step(bare)
    epochs = engines.epochs(after_step=lambda: None)
    training_sec: list[float] = []

    def by_engine() -> None:
        epoch = next(epochs)
        training_sec.append(epoch.train_time_sec)

    def by_step() -> None:
        bare.model.train()
        bare.streams.start_epoch(bare.epoch)
        order = bare.streams.permutation(len(dataset.train), bare.epoch).to(setting.device)
        bare.epoch += 1
        for images, labels in batches(dataset.train, task.batch_size, order):
            step(images, labels)

    first = next(epochs)
    by_step()
    loss, error_percent = sums.read()
    # A GPU adds up in another order each time, and an epoch of steps lets that grow.
    rtol = setting.on_gpu_or_cpu(0.05, 1e-9)
    assert math.isclose(loss, first.train_loss, rel_tol=rtol)
    assert abs(error_percent - first.train_error_percent) <= setting.on_gpu_or_cpu(2.0, 1e-9)

    ways = (once(by_engine, setting.device), once(by_step, setting.device))
    whole, usual = in_turn(*ways, repeats=setting.pick(repeats, 2))
    training = training_sec[-len(whole) :]
    size = f"{engines.steps_per_epoch} steps"
    name = f"engine ÷ bare steps, {task.name}"
    yield Row(f"{name}, training of an epoch", "s", training, usual, GOAL, note=size)
    note = f"{size}, {len(dataset.evaluation)} images evaluated"
    yield Row(f"{name}, epoch with evaluation", "s", whole, usual, note=note)
