"""Whole runs: an epoch of the paper's protocol on a GPU, and sweeps of many small runs."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from wnrepro.benchmarks.memory import environment
from wnrepro.benchmarks.row import NEEDS_GPU, Goal, Row
from wnrepro.benchmarks.setting import Setting, cores
from wnrepro.benchmarks.tasks import cifar
from wnrepro.benchmarks.timing import in_turn, once

EPOCHS = 200
"""Of a run of the paper's."""

TABLE_1 = "table 1: five arms × 3 seeds, from a cold start"

SWEEP = "digits_arms"

MANY = ["+exp=mnist_wn", "epochs=2"]
"""A small run, of which there are many."""

HYDRA = (
    "from wnrepro.command_line import hydra_main\n"
    "from wnrepro.train import train\n"
    "hydra_main(lambda config: 0 * train(config).epoch)\n"
)

TRAIN = ["-m", "wnrepro.train"]


def run(setting: Setting) -> Iterator[Row]:
    """Seconds of one `cifar_wn` epoch with its evaluation, times 200: computed, not a whole run.

    The compiled network, bf16; not in it: compiling, reading and whitening the data, checkpoints.
    """
    goal, table = Goal(90), Goal(30)
    name = f"cifar_wn, {EPOCHS} epochs, computed from single ones"
    if not setting.gpu:
        yield Row(name, "s", goal=goal, note=NEEDS_GPU)
        yield Row(TABLE_1, "min", goal=table, note=NEEDS_GPU)
        return
    task = cifar(setting)
    n = setting.pick(None, 200)
    training = task.training(setting, task.dataset(setting, n, n))
    training.initialise(setting.pick(500, 100))
    epochs = training.epochs(after_step=lambda: None)
    way = once(lambda: next(epochs), setting.device)
    (times,) = in_turn(way, repeats=setting.pick(5, 2))
    yield Row(name, "s", [EPOCHS * each for each in times], goal=goal)
    note = "not measured here: see the record of the runs"
    yield Row(TABLE_1, "min", goal=table, note=note)


def sweep(setting: Setting) -> Iterator[Row]:
    """Small runs per minute, from the command to the last record, each trained in a new folder.

    Many: 2 epochs of the MNIST MLP, by the local launcher, which on a GPU is told to train as many
    at a time as there are cores, against a command for each run, one after the other. Then a sweep
    of 25 digits runs, against Hydra's own launcher: one after another in one process.
    """
    many = [*TRAIN, *MANY, f"device={setting.device.type}"]
    share = f"hydra.launcher.runs_per_gpu={setting.workers}"
    seeds = range(4 * setting.workers)
    side_by_side = [*many, "--multirun", share, f"seed={','.join(map(str, seeds))}"]
    alone = [[*many, f"seed={seed}"] for seed in seeds[:3]]
    goal = Goal(10, at_least=True)
    name = "many small runs on one GPU, local launcher ÷ one command per run"
    if not setting.gpu:
        yield Row(name, "runs/min", goal=goal, note=NEEDS_GPU)
        name, goal = name.replace("one GPU", "a CPU"), None
    yield _rates(setting, name, ([side_by_side], len(seeds)), (alone, len(alone)), goal)
    digits = ["--multirun", f"+sweep={SWEEP}"]
    local, basic = [*TRAIN, *digits], ["-c", HYDRA, *digits, "hydra/launcher=basic"]
    name = f"runs of {SWEEP}, local launcher ÷ Hydra's own"
    yield _rates(setting, name, ([local], 25), ([basic], 25), None)


Commands = tuple[Sequence[Sequence[str]], int]
"""Arguments to Python, one command after the other, and how many runs they train in all."""


def _rates(setting: Setting, name: str, ours: Commands, usual: Commands, goal: Goal | None) -> Row:
    if setting.smoke:
        return Row(name, "runs/min", goal=goal, note="not part of the smoke version")
    rates = [(_runs_per_minute(*ours), _runs_per_minute(*usual)) for _ in range(3)]
    mine, others = zip(*rates, strict=True)
    return Row(name, "runs/min", mine, others, goal, f"{cores()} cores")


def _runs_per_minute(commands: Sequence[Sequence[str]], count: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        for command in commands:
            subprocess.run(
                [sys.executable, *command, "tracker=none", f"runs.root={root}/runs"],
                check=True,
                capture_output=True,
                env=environment(),
            )
        seconds = time.perf_counter() - start
        done = [
            path for path in Path(root).glob("runs/*/*/status.json") if '"done"' in path.read_text()
        ]
    assert len(done) == count, f"only {len(done)} of {count} runs are done"
    return 60 * count / seconds
