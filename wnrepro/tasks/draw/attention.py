"""The attention windows of DRAW: an N × N grid of Gaussian filters laid over an image.

Source: Gregor et al., *DRAW* (2015), section 3.2; the constants are those of the code that the
paper used (github.com/jbornschein/draw).
"""

from typing import NamedTuple

import torch
from torch import Tensor

PARAMETERS = 5
"""Numbers that place a window: its centre (y, x), stride, width of the filters, intensity."""

TOLERANCE = 1e-4
"""Added to a filter's sum before it is divided by it."""


class Window(NamedTuple):
    """y: (B, N, H) and x: (B, N, W), the filters along each axis. gamma: (B, 1, 1)."""

    y: Tensor
    x: Tensor
    gamma: Tensor

    def read(self, images: Tensor) -> Tensor:
        """γ·F_y I F_xᵀ: (B, K, H, W) → (B, K·N²)."""
        y, x = self.y.unsqueeze(1), self.x.unsqueeze(1)
        return (self.gamma.unsqueeze(1) * (y @ images @ x.mT)).flatten(1)

    def write(self, patch: Tensor) -> Tensor:
        """F_yᵀ P F_x / γ: (B, N²) → (B, H, W)."""
        n = self.y.shape[1]
        return self.y.mT @ patch.unflatten(1, (n, n)) @ self.x / self.gamma


def window(l: Tensor, n: int, height: int, width: int) -> Window:  # noqa: E741 (the paper's name)
    """The window of n × n filters that `l` places on an image.

        centre (l + 1)/2 · size    stride δ = e^l (max(height, width) − 1)/(n − 1)
        variance σ² = e^l          γ = e^l

    l: (B, 5), in the order centre y, centre x, log stride, log variance, log intensity.
    """
    centre_y, centre_x, log_stride, log_variance, log_gamma = l.unsqueeze(-1).unbind(1)
    stride = log_stride.exp() * (max(height, width) - 1) / (n - 1)
    variance = log_variance.exp()
    return Window(
        filterbank((centre_y + 1) / 2 * height, stride, variance, n, height),
        filterbank((centre_x + 1) / 2 * width, stride, variance, n, width),
        log_gamma.exp().unsqueeze(-1),
    )


def filterbank(centre: Tensor, stride: Tensor, variance: Tensor, n: int, size: int) -> Tensor:
    """n Gaussian filters over `size` pixels: (B, n, size).

        F[i, a] = f(a − μ_i) / (Σ_a f(a − μ_i) + 1e-4)    with f(d) = exp(−d²/(2σ²))
        μ_i = centre + (i − n/2 + 1/2)·δ

    centre, stride, variance: (B, 1), in pixels, and pixels squared. A window far outside is all 0.
    """
    offsets = torch.arange(n, dtype=centre.dtype, device=centre.device) - n / 2 + 0.5
    pixels = torch.arange(size, dtype=centre.dtype, device=centre.device)
    distance = pixels - (centre + stride * offsets).unsqueeze(-1)
    # A variance that underflows would make 0/0 of the filter's own pixel.
    smallest = torch.finfo(centre.dtype).tiny ** 0.5
    f = (-0.5 * distance.square() / variance.clamp_min(smallest).unsqueeze(-1)).exp()
    return f / (f.sum(-1, keepdim=True) + TOLERANCE)
