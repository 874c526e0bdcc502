"""A sweep on this machine: as many runs side by side as it takes.

One process per core with one thread each does about twice the steps per second of one process
with four threads, for networks as small as the MLPs. The processes are kept for the whole sweep,
so torch is imported once per process and not once per run.
"""

import atexit
import itertools
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from wnrepro import processes
from wnrepro.allocator import keep_freed_memory
from wnrepro.commands.launchers.job import Outcome, Progress, Train, outcome
from wnrepro.config import Config, as_dict, cpu_threads
from wnrepro.data import files
from wnrepro.errors import ConfigError
from wnrepro.runs.identity import run_directory
from wnrepro.runs.interruption import SIGNALS, Interruption, interrupts_ignored
from wnrepro.runs.status import read_status
from wnrepro.tasks import part_of

_IMPORTED = [f"wnrepro.{name}" for name in ("assembly", "data", "models", "tracking", "training")]
_IMPORTED += ["wnrepro.tasks.supervised", "wnrepro.runs.checkpoint", "wnrepro.analysis.curves"]
"""What a run needs: imported once and not once per process."""

DEATHS_ALLOWED = 1
"""How often a run may be under way when a process of the sweep dies; then it counts as failed."""

POLL_SEC = 0.2

GRACE_SEC = 30.0
"""How long runs may take to write a checkpoint after another's process died."""


def prepare() -> None:
    """Begin, in the background, to import what the processes need.

    They are forked from a process that has done so. `launch` does it too; before it, the second or
    two that it takes pass beside other work.
    """
    # A Ctrl-C in the terminal reaches what is started here too; it ends with this process.
    with interrupts_ignored():
        keep_freed_memory()
        processes.prepare(_IMPORTED)


def launch(
    configs: Sequence[Config], settings: Mapping[str, Any], train: Train, progress: Progress
) -> None:
    """Train every config.

    settings: see conf/hydra/launcher/local.yaml. On SIGINT, SIGTERM or SIGUSR2 every run under
    way writes its checkpoint, the others are `waiting`. A process that dies (killed, out of
    memory) is replaced, and its run is taken up again from its checkpoint, once.
    """
    for key in ("runs_at_once", "runs_per_gpu"):
        value = settings[key]
        if not (value is None and key == "runs_at_once") and (type(value) is not int or value < 1):
            raise ConfigError(f"hydra.launcher.{key}={value} must be a whole number from 1 on")
    gpus = _gpus(configs)
    _refuse_what_all_lack(configs, gpus)
    at_once = settings["runs_at_once"] or _places(configs, gpus, settings["runs_per_gpu"])
    prepare()
    left = dict(enumerate(configs))
    deaths: Counter[int] = Counter()
    with Interruption() as interruption:
        while left:
            begun = _run_pool(left, min(at_once, len(left)), gpus, train, progress, interruption)
            if not begun:
                return
            for k in begun:
                status = read_status(run_directory(as_dict(left[k])))
                if status is not None and status.state != "running":
                    continue  # it ended in order, because of another's death
                deaths[k] += 1
                if deaths[k] > DEATHS_ALLOWED:
                    del left[k]
                    progress.ended(
                        k, Outcome("failed", "its process died twice (killed? out of memory?)")
                    )


def _run_pool(
    left: dict[int, Config],
    places: int,
    gpus: Sequence[str],
    train: Train,
    progress: Progress,
    interruption: Interruption,
) -> list[int]:
    """Train what is left in one pool of processes, taking out what ended.

    Returns the runs that were under way when a process died, which ends the pool; else [].
    """
    context = processes.context()
    slots = context.Queue()
    for place in range(places):
        slots.put(gpus[place % len(gpus)] if gpus else None)
    pool = ProcessPoolExecutor(places, context, _start_worker, (slots,))
    futures: dict[Future[Outcome], int] = {}
    waiting = iter(list(left.items()))
    asked = False
    try:
        with pool:
            while True:
                # No more are handed over than can run: whatever was handed over has begun.
                while len(futures) < places and interruption.requested is None:
                    k, config = next(waiting, (None, None))
                    if k is None or config is None:
                        break
                    futures[pool.submit(partial(_work, train), config)] = k
                progress.running(len(futures))
                if not futures:
                    break
                ended, _ = wait(futures, POLL_SEC, "FIRST_COMPLETED")
                for future in ended:
                    if isinstance(future.exception(), BrokenProcessPool):
                        _end_workers()
                    result = future.result()
                    k = futures.pop(future)
                    del left[k]
                    progress.ended(k, result)
                if interruption.requested is not None and not asked:
                    asked = True
                    _stop_workers()
    except BrokenProcessPool:
        return list(futures.values())
    for k in list(left):
        progress.ended(k, Outcome("waiting"))
        del left[k]
    return []


def _stop_workers() -> None:
    """Ask every run under way to write its checkpoint and stop.

    Not by SIGINT, which the terminal may have sent already: a second one does not wait.
    """
    _signal_workers(signal.SIGUSR2)


def _end_workers() -> None:
    """After a death: let the runs under way write their checkpoints, and end all processes."""
    deadline = time.monotonic() + GRACE_SEC
    while multiprocessing.active_children() and time.monotonic() < deadline:
        _signal_workers(signal.SIGTERM)
        time.sleep(POLL_SEC)
    _signal_workers(signal.SIGKILL)


def _signal_workers(number: signal.Signals) -> None:
    for process in multiprocessing.active_children():
        if process.pid is not None:
            os.kill(process.pid, number)


def _start_worker(slots: Any) -> None:
    """What a process of the sweep does first: take its GPU, and end with its parent."""
    gpu = slots.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu

    def between_runs(number: int, frame: object) -> None:
        if number == signal.SIGTERM:
            os._exit(1)

    # A run has handlers of its own; a process between two runs has nothing to save.
    for number in SIGNALS:
        signal.signal(number, between_runs)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    atexit.register(os._exit, 0)  # taking down torch's modules takes half a second, for nothing
    logging.basicConfig(format="%(message)s", stream=sys.stderr)


def _end_with_parent() -> None:
    """Have the run under way write its checkpoint even if the sweep was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _work(train: Train, config: Config) -> Outcome:
    result = outcome(train, config)
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # nobody is there to take the result or to give more work
    return result


def _gpus(configs: Sequence[Config]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES says for each GPU that the sweep may use."""
    if all(config.device == "cpu" for config in configs):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA's own reading: what comes after a name of no GPU, as -1, is not seen.
        names = (name.strip() for name in visible.split(","))
        return list(itertools.takewhile(re.compile(r"\d+|(GPU|MIG)-.+").fullmatch, names))
    if shutil.which("nvidia-smi") is None:
        return []
    import torch  # slow, and not needed where there is no GPU

    return [str(k) for k in range(torch.cuda.device_count())]


def _refuse_what_all_lack(configs: Sequence[Config], gpus: Sequence[str]) -> None:
    """One error of the sweep, and not one of each run: no GPU here, no data, a missing package."""
    if not gpus and any(config.device == "cuda" for config in configs):
        from wnrepro import assembly  # slow; some GPUs are not nvidia-smi's

        assembly.device(next(config for config in configs if config.device == "cuda"))
    for config in {(each.data.name, each.data.root): each for each in configs}.values():
        if require := getattr(part_of(config.task.name, "checks"), "require", None):
            require(config)
        else:
            files.locate(config.data.name, config.data.root)


def places(configs: Sequence[Config]) -> int:
    """How many of these runs go side by side on this machine."""
    return _places(configs, _gpus(configs), 1)


def _places(configs: Sequence[Config], gpus: Sequence[str], runs_per_gpu: int) -> int:
    if gpus:
        return len(gpus) * runs_per_gpu
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = max(cpu_threads(config) or cores for config in configs)
    return max(1, cores // threads)
