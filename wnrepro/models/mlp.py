"""A multilayer perceptron for digits, MNIST and Fashion-MNIST."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from wnrepro.models.convpool_cnn_c import SLOPE
from wnrepro.nn import Dropout, GaussianNoise, NormalizedLayer


class MLP(nn.Sequential):
    """`depth` hidden layers of `width` units with leaky ReLU 0.1, then a dense layer.

    Not in the paper: a small network for the runs that should take seconds. Each linear map is a
    `NormalizedLayer` of the arm, the last one too.

    arm: an id of `wnrepro.arms.ARMS`. image_shape: (C, H, W). noise_std: Gaussian noise on the
    input, in its units. dropout: probability of being dropped, after each hidden layer. streams:
    as for `ConvPoolCNNC`. Raises ValueError for an unknown arm, a width below 1 or a negative
    depth.
    """

    def __init__(
        self,
        arm: str,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        n_classes: int = 10,
        *,
        width: int = 256,
        depth: int = 2,
        noise_std: float = 0.0,
        dropout: float = 0.0,
        streams: Mapping[str, torch.Generator] | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 0:
            raise ValueError(f"an MLP of width {width} and depth {depth} cannot be built")
        draw = {} if streams is None else streams
        self.flatten = nn.Flatten()
        if noise_std:
            self.noise = GaussianNoise(noise_std, draw.get("noise"))
        n_in = math.prod(image_shape)
        for k in range(1, depth + 1):
            unit = NormalizedLayer(
                arm, nn.Linear(n_in, width), nn.LeakyReLU(SLOPE), draw.get("init")
            )
            self.add_module(f"hidden{k}", unit)
            if dropout:
                self.add_module(f"dropout{k}", Dropout(dropout, draw.get("dropout")))
            n_in = width
        self.dense = NormalizedLayer(arm, nn.Linear(n_in, n_classes), generator=draw.get("init"))
