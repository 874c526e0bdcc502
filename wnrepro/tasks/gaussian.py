"""Densities and divergences of diagonal Gaussians, summed over their dimensions, in nats."""

import math

import torch
from torch import Tensor


def precise(x: Tensor) -> Tensor:
    """x, in float32 where it is narrower: sums of many terms are not for bfloat16."""
    return x.float() if x.dtype.itemsize < 4 else x


def kl_to_standard(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL[N(μ, σ²) ‖ N(0, 1)] = ½ Σ (μ² + σ² − 1) − log σ, over the last axis.

    mean, log_std: (…, D); the result is (…).
    """
    return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(-1)


def log_density(x: Tensor, mean: Tensor | float = 0.0, log_std: Tensor | float = 0.0) -> Tensor:
    """log N(x; μ, σ²) of each element: −½ ((x − μ)/σ)² − log σ − ½ log 2π."""
    log_std = torch.as_tensor(log_std, dtype=x.dtype, device=x.device)
    return -0.5 * ((x - mean) * (-log_std).exp()).square() - log_std - 0.5 * math.log(2 * math.pi)
