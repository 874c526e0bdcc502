"""Wall-clock time of several ways to do one thing, measured in turn."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from wnrepro.benchmarks.setting import Setting
from wnrepro.training.clock import wait_for

Timed = Callable[[], float]
"""Does its work once more and returns how long it took, in seconds."""

Series = np.ndarray
"""(repeats,), one number per repeat."""

BLOCK_SEC = 0.2
"""A single timing lasts about so long: short calls are repeated within it."""


def in_turn(*ways: Timed, repeats: int, warm_up: int = 1) -> np.ndarray:
    """Seconds of each way, (ways, repeats), measured A B C A B C …

    So what else the machine does meets all alike. The first `warm_up` rounds are not counted.
    """
    rounds = [[way() for way in ways] for _ in range(warm_up + repeats)]
    return np.array(rounds[warm_up:]).T


def compare(setting: Setting, *functions: Callable[[], object], repeats: int = 9) -> np.ndarray:
    """Seconds per call, (functions, repeats), in turn, in blocks of calls that take BLOCK_SEC."""
    ways = [_in_blocks(function, setting) for function in functions]
    return in_turn(*ways, repeats=setting.pick(repeats, 2), warm_up=setting.pick(1, 0))


def once(function: Callable[[], object], device: torch.device) -> Timed:
    """Times one call, from an idle device to an idle device."""
    return lambda: seconds(function, device)


def seconds(function: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Mean seconds of `calls` calls; a GPU has finished before the first and after the last."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        function()
    wait_for(device)
    return (time.perf_counter() - start) / calls


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many CPU threads within; None for as many as there are. Afterwards as before."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _in_blocks(function: Callable[[], object], setting: Setting) -> Timed:
    for _ in range(setting.on_gpu_or_cpu(5, 1)):  # allocate, compile, capture
        function()
    block_sec = setting.pick(BLOCK_SEC, 0.0)
    calls = max(1, math.ceil(block_sec / seconds(function, setting.device)))
    return lambda: seconds(function, setting.device, calls)
