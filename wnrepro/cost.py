"""What a run takes: its arithmetic, and its time on this machine, from a few steps of it."""

import time
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from wnrepro import assembly
from wnrepro.config import Config, epoch_steps
from wnrepro.errors import ConfigError
from wnrepro.tasks import part_of

LONG_SEC = 2.0
"""A step that takes longer is judged by a tenth of its batch: no answer is worth minutes."""


@dataclass(frozen=True)
class Cost:
    """flop: of all training steps and evaluations, a multiply-add counted as two. seconds: here."""

    flop: float
    seconds: float


def steps(config: Config) -> int:
    """Training steps, with evaluation added as the steps that it is worth."""
    return config.epochs * sum(epoch_steps(config))


def measure(config: Config) -> Cost:
    """Take a few steps on made-up examples, on the device and the threads of the config.

    Raises RunError where the device is not here.
    """
    assembly.prepare(config)
    n = max(2, config.batch_size // 10)
    flop, seconds = _step(config, n)
    scale = config.batch_size / n
    if scale * seconds < LONG_SEC:
        flop, seconds = _step(config, config.batch_size)
        scale = 1
    total = scale * steps(config)
    return Cost(total * flop, total * seconds)


def _step(config: Config, n: int) -> tuple[float, float]:
    """FLOP and seconds of a step on n examples: the second step, the first has its own costs.

    To count FLOP is one of them: with many small operations, as DRAW's, it takes seconds.
    """
    made_up = part_of(config.task.name, "assembly").made_up
    training = made_up(replace(config, batch_size=n), assembly.device(config), n)
    batch = training.objective.batch(torch.arange(n, device=training.device))
    training.model.train()
    with FlopCounterMode(display=False) as counter:
        training.train_step(batch)
    with training.paused():  # the device is idle
        begun = time.perf_counter()
    training.train_step(batch)
    with training.paused():
        seconds = time.perf_counter() - begun
    return float(counter.get_total_flops()), seconds


def gain_of_bf16(config: Config) -> float:
    """How many times as fast a float32 run on this CPU would be with precision=bf16; 1 if not.

    Only where the task takes bf16, and the processor multiplies matrices at least twice as fast in
    it, are steps tried.
    """
    narrow = replace(config, precision="bf16")
    try:
        part_of(config.task.name, "checks").check(narrow)
    except ConfigError:
        return 1.0
    matrices = [torch.randn(1024, 1024).to(dtype) for dtype in (torch.float32, torch.bfloat16)]
    if _product_sec(matrices[0]) < 2 * _product_sec(matrices[1]):
        return 1.0
    return measure(config).seconds / measure(narrow).seconds


def _product_sec(matrix: torch.Tensor) -> float:
    torch.mm(matrix, matrix)
    begun = time.perf_counter()
    torch.mm(matrix, matrix)
    return time.perf_counter() - begun
