"""Running averages: C_t = γ_t C_{t−1} + (1 − γ_t) c_t, and what choices of γ_t make of it."""

import torch
from torch import Tensor

from wnrepro.equations.checks import check_alike, check_decay, check_step


def running_average(average: Tensor, new: Tensor, gamma: float) -> Tensor:
    """C_t = γ_t C_{t−1} + (1 − γ_t) c_t.

    average: C_{t−1}. new: c_t, of the same shape. gamma: γ_t in [0, 1), the weight of the past.
    Raises ValueError for another γ, another dtype than float64, or two different shapes.

    Source: course notes.
    """
    check_alike(average=average, new=new)
    check_decay(gamma=gamma)
    return gamma * average + (1 - gamma) * new


def exponential_average(c: Tensor, gamma: float) -> Tensor:
    """C_T = Σ_t γ^{T−t} (1 − γ) c_t, t = 1 … T: the running average with constant γ, from C_0 = 0.

    Its weights sum to 1 − γ^T, not to 1: that is what Adam's bias correction divides by.

    c: (T, …), c_1 first. Returns (…). Raises ValueError as `running_average`, and for a c
    without an axis.

    Source: course notes.
    """
    check_alike(c=c)
    check_decay(gamma=gamma)
    if c.ndim == 0:
        raise ValueError("c must have an axis of steps, got a scalar")
    steps = len(c)
    total = torch.zeros_like(c.sum(0))
    for t in range(1, steps + 1):
        total = total + gamma ** (steps - t) * (1 - gamma) * c[t - 1]
    return total


def plain_mean_decay(t: int) -> float:
    """γ_t = (t − 1)/t, with which C_t is the plain mean of c_1 … c_t, wherever C starts.

    t: number of the step, from 1; ValueError below. Source: course notes.
    """
    check_step(t)
    return (t - 1) / t


def bias_corrected_decay(t: int, beta: float) -> float:
    """γ_t = (β − βᵗ)/(1 − βᵗ), with which C_t is Adam's corrected average m̂ = m/(1 − βᵗ).

    It rises from γ_1 = 0 to β; for β → 1 it becomes (t − 1)/t, the decay of the plain mean.

    t: number of the step, from 1. beta: β in [0, 1). ValueError otherwise. Source: course notes.
    """
    check_step(t)
    check_decay(beta=beta)
    return (beta - beta**t) / (1 - beta**t)
