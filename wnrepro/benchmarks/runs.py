"""Whole runs: an epoch of the paper's protocol on a GPU, and sweeps of many small runs."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
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

HYDRA = (
    "from wnrepro.command_line import hydra_main\n"
    "from wnrepro.train import train\n"
    "hydra_main(lambda config: 0 * train(config).epoch)\n"
)

LAUNCHERS = {
    "local": ["-m", "wnrepro.train", "--multirun"],
    "basic": ["-c", HYDRA, "--multirun", "hydra/launcher=basic"],
}


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
    """Runs per minute of a sweep of 25 small runs, from the command to the last record.

    Ours: `hydra/launcher=local`, one process per core. The usual way: Hydra's own launcher, one
    run after another in one process. Each trains the same runs from nothing in a folder of its own.
    """
    many = "many small runs on one GPU ÷ one process per run"
    note = "not measured yet" if setting.gpu else NEEDS_GPU
    yield Row(many, "runs/hour", goal=Goal(10, at_least=True), note=note)
    name = f"runs of {SWEEP}, local launcher ÷ Hydra's own"
    if setting.smoke:
        yield Row(name, "runs/min", note="not part of the smoke version")
        return
    rates: dict[str, list[float]] = {launcher: [] for launcher in LAUNCHERS}
    for _ in range(3):
        for launcher, command in LAUNCHERS.items():
            rates[launcher].append(_runs_per_minute(command, setting))
    yield Row(name, "runs/min", rates["local"], rates["basic"], note=f"{cores()} cores")


def _runs_per_minute(command: list[str], setting: Setting) -> float:
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"+sweep={SWEEP}", "tracker=none", f"runs.root={root}/runs"]

        def whole() -> None:
            subprocess.run(
                [sys.executable, *command, *overrides],
                check=True,
                capture_output=True,
                env=environment(),
            )

        seconds = once(whole, setting.device)()
        done = [
            path for path in Path(root).glob("runs/*/*/status.json") if '"done"' in path.read_text()
        ]
    assert len(done) == 25, f"only {len(done)} of 25 runs are done"
    return 60 * len(done) / seconds
