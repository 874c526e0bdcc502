"""The usual loop against ours: images trained per second, over a stretch of steps.

In the timing: shuffling, loading, every step and the record of loss and errors. Not in it:
reading the data set, starting the workers, compiling, evaluation, checkpoints. Both train weight
norm with Adam on the same images at the same batch size; each with the threads and the precision
that it has by default (`networks`; the usual loop: `usual`).
"""

from collections.abc import Iterator

import torch
from torch.testing import assert_close

from wnrepro.benchmarks import usual
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import Network, check_finite, cifar, mnist
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import in_turn, once, threads

GPU_GOAL = Goal(8, at_least=True)


def loop(setting: Setting) -> Iterator[Measurement]:
    network, mlp = cifar(setting), mnist(setting)
    images = setting.on_gpu_or_cpu(20_000, 2_000)
    yield _row(setting, network, setting.pick(images, 2 * network.batch_size), 5)
    yield _row(setting, mlp, setting.pick(20_000, 5 * mlp.batch_size), 7)


def _row(setting: Setting, network: Network, n: int, repeats: int) -> Measurement:
    with threads(None):
        training = network.training(setting, n)
        own_threads = torch.get_num_threads()
    torch.backends.cudnn.allow_tf32 = True  # torch's own choice, for the usual loop
    training.initialise(min(500, n))
    model = usual.network(training.model)
    images, _ = training.objective.batch(torch.arange(20, device=setting.device))
    # TF32 has three digits.
    with torch.no_grad():
        logits = (training.model.eval()(images), model.eval()(images))
    assert_close(*logits, rtol=1e-3, atol=setting.on_gpu_or_cpu(2e-2, 1e-3))
    theirs = usual.Loop(model, usual.loader(network, setting, n), setting.device)
    epochs = training.epochs(after_step=lambda: None)

    def ours() -> float:
        with threads(own_threads):
            return next(epochs).timing["train_time_sec"]

    times = in_turn(ours, once(theirs, setting.device), repeats=setting.pick(repeats, 2))
    check_finite(training)
    assert max(theirs.losses) < float("inf"), "the usual training diverged"
    return Measurement(
        f"images trained per second, {network.name}",
        "images/s",
        *(n / times),
        goal=GPU_GOAL if setting.gpu else None,
        note=f"{n // network.batch_size} steps; CPU threads of ours: {own_threads}; workers of the "
        f"usual loop: {setting.workers}",
    )
