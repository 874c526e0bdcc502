"""The attention windows of DRAW: N × N grids of Gaussian filters laid over an image.

Source: Gregor et al., *DRAW* (2015), section 3.2; the constants are those of the code that the
paper used (github.com/jbornschein/draw).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

PARAMETERS = 5
"""Numbers that place a window: its centre (y, x), stride, width of the filters, intensity."""

TOLERANCE = 1e-4
"""Added to a filter's sum before it is divided by it."""


class Window(NamedTuple):
    """y: (B, N, H) and x: (B, N, W), the filters along each axis. gamma: (B, 1, 1)."""

    y: Tensor
    x: Tensor
    gamma: Tensor

    def read(self, *images: Tensor) -> Tensor:
        """γ·F_y I F_xᵀ of each image I, (B, H, W), one after the other: (B, K·N²)."""
        k, n = len(images), self.y.shape[1]
        # both products once for all images, which lie side by side
        rows = (self.gamma * self.y) @ torch.cat(images, 2)
        seen = rows.unflatten(2, (k, -1)).flatten(1, 2) @ self.x.mT
        return seen.unflatten(1, (n, k)).transpose(1, 2).flatten(1)

    def write(self, patch: Tensor, canvas: Tensor) -> Tensor:
        """canvas + F_yᵀ P F_x / γ. patch: P, (B, N²); canvas: (B, H, W)."""
        n = self.y.shape[1]
        columns = self.y.mT @ (patch.unflatten(1, (n, n)) / self.gamma)
        return torch.baddbmm(canvas, columns, self.x)


class Windows(nn.Module):
    """Several windows on one image, of n × n filters each, computed together.

        centre (l + 1)/2 · size    stride δ = e^l (max(H, W) − 1)/(n − 1)
        variance σ² = e^l          γ = e^l
        F[i, a] = f(a − μ_i) / (Σ_a f(a − μ_i) + 1e-4)    with f(d) = exp(−d²/(2σ²))
        μ_i = centre + (i − n/2 + 1/2)·δ

    in pixels, along either axis. A filter far outside is all 0.

    sides: n of each window. height, width: H, W.
    """

    window: Tensor
    place: Tensor
    gaps: Tensor
    size: Tensor
    pixels: Tensor
    inside: Tensor

    def __init__(self, sides: Sequence[int], height: int, width: int) -> None:
        super().__init__()
        self.sides, self.shape = tuple(sides), (height, width)
        longest = max(height, width)
        pixels, size = torch.arange(longest), torch.tensor([height, width])
        constants = {
            "window": torch.arange(len(sides)).repeat_interleave(torch.tensor(sides)),
            "place": torch.cat([torch.arange(n) - n / 2 + 0.5 for n in sides]),
            "gaps": torch.cat([torch.full((n,), float(n - 1)) for n in sides]),
            "size": size.float(),
            "pixels": pixels.float(),
            "inside": pixels < size[:, None],
        }
        # the first three of each filter; all of them exact in any dtype
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, l: Tensor) -> list[Window]:  # noqa: E741 (the paper's name)
        """l: (B, K, 5) for K windows, in the order centre y, centre x, log stride, log variance,
        log intensity.
        """
        of_filter = l.index_select(1, self.window)  # (B, F, 5)
        centre = (of_filter[..., :2] + 1) / 2 * self.size
        step = (len(self.pixels) - 1) * self.place / self.gaps
        mu = centre + (of_filter[..., 2].exp() * step).unsqueeze(2)
        # A variance that underflows would make 0/0 of the filter's own pixel.
        smallest = 0.5 * math.log(torch.finfo(l.dtype).tiny)
        precision = (-of_filter[..., 3].clamp_min(smallest)).exp()
        distance = self.pixels - mu.unsqueeze(3)  # (B, F, 2, longest)
        f = (distance.square() * (-0.5 * precision)[..., None, None]).exp()
        height, width = self.shape
        if height != width:
            f = f * self.inside
        f = f / (f.sum(-1, keepdim=True) + TOLERANCE)
        gammas = l[..., 4].exp()[..., None, None].unbind(1)
        return [
            Window(each[:, :, 0, :height], each[:, :, 1, :width], gamma)
            for each, gamma in zip(f.split(self.sides, 1), gammas, strict=True)
        ]
