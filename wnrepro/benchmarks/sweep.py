"""Small runs per minute, from the command to the last record, each trained in a new folder.

2 epochs of the MNIST MLP, by a sweep of the local launcher, against a command for each run, one
after the other. On a GPU the launcher trains as many at a time as there are cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import wnrepro
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.setting import Setting, cores

GPU_GOAL = Goal(10, at_least=True)


def sweep(setting: Setting) -> Iterator[Measurement]:
    where = setting.on_gpu_or_cpu("one GPU", "a CPU")
    name = f"many small runs on {where}, local launcher ÷ one command per run"
    if setting.smoke:
        yield Measurement(name, "runs/min", note="not part of the smoke version")
        return
    run = ["+exp=mnist_wn", "epochs=2", f"device={setting.device.type}"]
    seeds = [str(seed) for seed in range(4 * setting.workers)]
    share = f"hydra.launcher.runs_per_gpu={setting.workers}"
    together = [[*run, "--multirun", share, f"seed={','.join(seeds)}"]]
    alone = [[*run, f"seed={seed}"] for seed in seeds[:3]]
    rates = [(_per_minute(together, len(seeds)), _per_minute(alone, 3)) for _ in range(3)]
    ours, usual = zip(*rates, strict=True)
    goal = GPU_GOAL if setting.gpu else None
    yield Measurement(name, "runs/min", ours, usual, goal, f"{cores()} cores")


def _per_minute(commands: Sequence[Sequence[str]], count: int) -> float:
    """Commands of `wnrepro.train`, one after the other, and how many runs they train in all."""
    # The processes find this package, installed or not.
    path = [str(Path(wnrepro.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        for command in commands:
            shared = ["tracker=none", f"runs.root={root}/runs"]
            whole = [sys.executable, "-m", "wnrepro.train", *command, *shared]
            subprocess.run(whole, check=True, capture_output=True, env=environment)
        seconds = time.perf_counter() - start
        found = Path(root).glob("runs/*/*/status.json")
        done = sum('"done"' in path.read_text() for path in found)
    assert done == count, f"only {done} of {count} runs are done"
    return 60 * count / seconds
