"""Batch normalisation as the authors' released code does it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn.running_statistics import RunningStatistics


class BatchNorm(RunningStatistics):
    """y = g·(t − μ[t])/√(σ²[t] + ε) + b, per channel.

    μ and σ² (biased) are over the batch and all places in training, and running averages in
    evaluation. The arithmetic is torch's; what differs from `torch.nn.BatchNorm2d` is what the
    authors' code says (`lasagne/nn.py`, BatchNormLayer):

    - ε is 1e-6, not 1e-5;
    - the running variance takes σ²·N/(N−1) with N the batch size, where torch takes the number
      of values per channel, N·H·W.

    Both average as running ← 0.9·running + 0.1·batch, from mean 0 and variance 1.

    Torch's tools find it as a batch norm (see `RunningStatistics`), and its g as `weight` too.

    t: (N, C) or (N, C, …), N ≥ 2 in training. g, b, running_mean, running_var: (C,).
    Raises ValueError for a wrong shape, a training batch of one or without any value, a negative
    eps, or a momentum outside [0, 1].
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        momentum: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, momentum, device, dtype)
        if not eps >= 0:
            raise ValueError(f"eps must be at least 0, got {eps}")
        self.eps = eps
        self.g = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("running_var", torch.ones(num_features, device=device, dtype=dtype))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, t: Tensor
    ) -> Tensor:
        if t.ndim < 2 or t.shape[1] != self.num_features:
            raise ValueError(
                f"expected (N, {self.num_features}) or (N, {self.num_features}, …), "
                f"got {tuple(t.shape)}"
            )
        if not self.takes_batch:
            return F.batch_norm(
                t, self.running_mean, self.running_var, self.g, self.bias, eps=self.eps
            )
        n = t.shape[0]
        if n < 2:
            raise ValueError("batch norm needs at least two examples in a training batch")
        if t.numel() == 0:
            raise ValueError(f"batch norm needs values to train on, got {tuple(t.shape)}")
        if self.running_mean is None:
            return F.batch_norm(t, None, None, self.g, self.bias, training=True, eps=self.eps)
        # With a momentum of 1, torch leaves this batch's own statistics in what it is given as
        # running averages: no second pass over t.
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_mean)
        y = F.batch_norm(t, mean, var, self.g, self.bias, training=True, momentum=1.0, eps=self.eps)
        values = t.numel() // self.num_features
        # torch's unbiased variance → biased → the authors' correction
        self.follow(mean, var * ((values - 1) / values * n / (n - 1)))
        return y

    @property
    def weight(self) -> nn.Parameter:  # pyright: ignore[reportIncompatibleVariableOverride]
        """g, by torch's name."""
        return self.g

    def reset_parameters(self) -> None:
        """The running averages and g, b ← their start: mean 0, variance 1; g = 1, b = 0."""
        self.reset_running_stats()
        nn.init.ones_(self.g)
        nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
