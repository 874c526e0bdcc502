"""What the engine adds to the steps of an epoch: metrics, the moment between two steps, records.

Ours is `epochs` of a training; the usual way here is the same steps on the same batches in a bare
loop. What is evaluated after an epoch is work and no overhead: the goal is for the epoch without
it, and the second row shows the epoch with it.
"""

from collections.abc import Iterator

from torch.testing import assert_close

from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import Network, cifar, mnist
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import in_turn, once, threads

GOAL = Goal(1.03)
RUN_EPOCHS, RUN_GOAL = 200, Goal(90)
"""Of a run of the paper's on a GPU, in seconds."""


def engine(setting: Setting) -> Iterator[Measurement]:
    network, mlp = cifar(setting), mnist(setting)
    yield from _rows(setting, mlp, setting.pick(None, 250), setting.pick(None, 50), 9)
    # On a CPU many short epochs: what else the machine does passes within seconds.
    few, repeats = setting.on_gpu_or_cpu((None, 7), (1_000, 25))
    n = setting.pick(few, 3 * network.batch_size)
    yield from _rows(setting, network, n, None if n is None else n // 5, repeats)


def _rows(
    setting: Setting, network: Network, n: int | None, n_evaluation: int | None, repeats: int
) -> Iterator[Measurement]:
    with threads(None if setting.gpu else network.threads):
        training, bare = (network.training(setting, n, n_evaluation) for _ in range(2))
        epochs = training.epochs(after_step=lambda: None)
        training_sec: list[float] = []
        size = network.batch_size

        def by_engine() -> None:
            training_sec.append(next(epochs).timing["train_time_sec"])

        def by_step() -> None:
            bare.model.train()
            bare.streams.start_epoch(bare.epoch)
            order = bare.streams.permutation(bare.objective.n_train, bare.epoch).to(bare.device)
            bare.epoch += 1
            for k in range(bare.steps_per_epoch):
                bare.train_step(bare.objective.batch(order[k * size : (k + 1) * size]))

        by_engine()
        by_step()
        # A GPU adds up in another order each time, and an epoch of steps lets that grow.
        off = setting.on_gpu_or_cpu(0.05, 0.0)
        for one, other in zip(training.model.parameters(), bare.model.parameters(), strict=True):
            assert_close(one, other, rtol=off, atol=off)
        ways = (once(by_engine, setting.device), once(by_step, setting.device))
        whole, usual = in_turn(*ways, repeats=setting.pick(repeats, 2))
    steps = f"{training.steps_per_epoch} steps"
    name = f"engine ÷ bare steps, {network.name}"
    trained = training_sec[-len(whole) :]
    yield Measurement(f"{name}, training of an epoch", "s", trained, usual, GOAL, steps)
    yield Measurement(f"{name}, epoch with evaluation", "s", whole, usual, note=steps)
    if setting.gpu and n is None and network.data == "cifar10":
        name = f"cifar_wn, {RUN_EPOCHS} epochs, computed from single ones"
        yield Measurement(name, "s", RUN_EPOCHS * whole, goal=RUN_GOAL)
