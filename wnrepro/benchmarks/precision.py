"""bf16 against float32, and channels-last against contiguous: steps of the CIFAR-10 network.

A step of the wn arm as in `steps`, eager on a CPU, there with one thread and with two. What bf16
gains depends on the processor's instructions, and is limited by what it gains for a matrix
product. On a CPU also: two processes that train side by side, one thread each, against one alone,
per step.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

import numpy as np
import torch

from wnrepro import processes
from wnrepro.allocator import keep_freed_memory
from wnrepro.benchmarks.limit import product
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import Network, check_same_loss, cifar, step_of
from wnrepro.benchmarks.setting import Setting, cores
from wnrepro.benchmarks.timing import compare, seconds, threads

AMX_GOAL = Goal(0.35)
NAMES = {None: "", 1: "one thread, ", 2: "two threads, "}
STEP = "step of weight norm"


def precision(setting: Setting) -> Iterator[Measurement]:
    network = cifar(setting, 96)
    for count in setting.on_gpu_or_cpu((None,), setting.pick((1, 2), (1,))):
        name = f"bf16 ÷ float32, {STEP}, {NAMES[count]}{network.name}"
        if note := setting.no_bf16 or _too_few(count):
            yield Measurement(name, note=note)
            continue
        with threads(count):
            trainings = [
                network.on_one_batch(setting, precision=each, threads=count)
                for each in ("bf16", "float32")
            ]
            check_same_loss(*trainings, rtol=2e-2)
            times = 1e3 * compare(setting, *map(step_of, trainings), repeats=7)
        goal = AMX_GOAL if setting.matrix_units else None
        kernels = (
            "" if setting.gpu else f"torch's kernels: {torch.backends.cpu.get_cpu_capability()}"
        )
        yield Measurement(name, "ms", *times, goal=goal, note=kernels)
    if not setting.gpu:
        yield from _side_by_side(setting, network)
    ours, contiguous = (network.on_one_batch(setting) for _ in range(2))
    contiguous.model.to(memory_format=torch.contiguous_format)
    check_same_loss(contiguous, ours, setting.on_gpu_or_cpu(2e-2, 1e-4))
    times = 1e3 * compare(setting, step_of(ours), step_of(contiguous), repeats=7)
    yield Measurement(f"channels-last ÷ contiguous, float32, {network.name}", "ms", *times)
    name = "bf16 ÷ float32, product of two matrices"
    if setting.no_bf16:
        yield Measurement(name, note=setting.no_bf16)
        return
    half, full = (product(setting, each) for each in ("bf16", "float32"))
    rates = half.flops / 1e9 / compare(setting, half.run, full.run)
    yield Measurement(name, "GFLOP/s", *rates, note=f"{half.text} and in float32")


def _too_few(count: int | None) -> str:
    return f"needs {count} cores" if cores() < (count or 1) else ""


def _side_by_side(setting: Setting, network: Network) -> Iterator[Measurement]:
    """ours: mean seconds of a step in each of two processes. usual: in one of them, alone."""
    processes.prepare([__name__])
    context = processes.context()
    with ProcessPoolExecutor(2, context, _meet, (context.Barrier(2, timeout=600),)) as pool:
        for precision in ("float32", "bf16"):
            name = f"two processes ÷ one, {STEP}, {precision}, one thread each, {network.name}"
            if note := (setting.no_bf16 if precision == "bf16" else "") or _too_few(2):
                yield Measurement(name, note=note)
                continue
            futures = [
                pool.submit(_steps, setting, network, precision, first) for first in (True, False)
            ]
            (one, alone), (other, _) = (1e3 * future.result() for future in futures)
            yield Measurement(name, "ms", (one + other) / 2, alone, note="per step of each")


_barrier: Barrier


def _meet(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
    keep_freed_memory()


def _steps(setting: Setting, network: Network, precision: str, first: bool) -> np.ndarray:
    """Seconds, (2, repeats), of a step while the other process steps too; of the first's alone."""
    times = []
    try:
        step = step_of(network.on_one_batch(setting, precision=precision, threads=1))
        step()
        for _ in range(setting.pick(7, 2)):
            _barrier.wait()
            together = seconds(step, setting.device, setting.pick(3, 1))
            _barrier.wait()
            alone = seconds(step, setting.device, setting.pick(3, 1)) if first else math.nan
            times.append((together, alone))
        _barrier.wait()
    except BaseException:
        _barrier.abort()  # the other one waits no longer
        raise
    return np.array(times).T
