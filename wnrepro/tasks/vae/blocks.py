"""The residual blocks of the MNIST encoder and decoder."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import NormalizedLayer
from wnrepro.tasks.vae.flow import SMALL

Change = Literal["same", "half", "double"]
"""Of the height and width."""


class ResidualBlock(nn.Module):
    """y = skip(x) + 0.1·conv(ELU(conv(ELU(x)))), all of them 3 × 3.

    change: half: strided convolutions in skip and branch; double: transposed ones. Where nothing
    changes, skip is the identity. Source: Kingma et al. (2016), appendix B.
    """

    def __init__(
        self,
        arm: str,
        inputs: int,
        outputs: int,
        change: Change = "same",
        grown: int | tuple[int, int] = 0,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()

        def convolution(channels: int, change: Change) -> NormalizedLayer:
            if change == "double":
                linear = nn.ConvTranspose2d(
                    channels, outputs, 3, stride=2, padding=1, output_padding=grown
                )
            else:
                stride = 2 if change == "half" else 1
                linear = nn.Conv2d(channels, outputs, 3, stride=stride, padding=1)
            return NormalizedLayer(arm, linear, generator=init)

        self.first = convolution(inputs, change)
        self.second = convolution(outputs, "same")
        changed = change != "same" or inputs != outputs
        self.skip = convolution(inputs, change) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + SMALL * self.second(F.elu(self.first(F.elu(x))))
