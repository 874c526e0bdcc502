"""Noise on activations, from a random stream that the caller can name.

torch's own `nn.Dropout` draws from the process-wide generator, so one more draw anywhere changes
every mask after it. These two layers take a `torch.Generator`; without one they use torch's.
"""

import torch
from torch import Tensor, nn


class _Noise(nn.Module):
    generator: torch.Generator | None

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.generator = generator


class GaussianNoise(_Noise):
    """y = x + std·ε with ε ~ N(0, 1) per element in training; y = x in evaluation.

    The paper's CIFAR-10 network has it on its input with std 0.15 (paper, table 3).

    std: standard deviation in the units of x; at least 0.
    Raises ValueError for a negative std.
    """

    def __init__(self, std: float, generator: torch.Generator | None = None) -> None:
        super().__init__(generator)
        if not std >= 0:
            raise ValueError(f"the noise's standard deviation must be at least 0, not {std}")
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.std == 0:
            return x
        noise = torch.empty_like(x).normal_(std=self.std, generator=self.generator)
        return x + noise

    def extra_repr(self) -> str:
        return f"std={self.std}"


class Dropout(_Noise):
    """Elementwise, inverted dropout: y = x·m/(1−p) with m ~ Bernoulli(1−p) in training; else y = x.

    p: probability that an element is dropped; 0 ≤ p < 1. On a CPU m is 1 with the multiple of
        2⁻¹⁶ next to 1 − p, but never 0 or 1: 0.5 is exact.
    Raises ValueError for a p outside that range.
    """

    def __init__(self, p: float, generator: torch.Generator | None = None) -> None:
        super().__init__(generator)
        if not 0 <= p < 1:
            raise ValueError(f"the probability of being dropped must lie in [0, 1), not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.is_cpu:
            return x * _mask_of_random_bits(x, 1 - self.p, self.generator)
        keep = 1 - self.p
        return x * torch.empty_like(x).bernoulli_(keep, generator=self.generator).div_(keep)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _mask_of_random_bits(x: Tensor, keep: float, generator: torch.Generator | None) -> Tensor:
    """1/keep with probability `keep` to 2⁻¹⁷, else 0; in x's shape, dtype and memory order.

    16 random bits an element take a fifth of the time of `bernoulli_`.
    """
    levels = 2**16
    kept = min(max(round(keep * levels), 1), levels - 1)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)  # all 64 bits
    draws = words.view(torch.int16)[: x.numel()]
    mask = (draws < kept - levels // 2).to(x.dtype).div_(keep)
    return mask.as_strided(x.shape, torch.empty_like(x, device="meta").stride())
