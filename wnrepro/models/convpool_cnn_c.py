"""ConvPool-CNN-C as the paper changed it (paper, table 3)."""

from collections.abc import Mapping

import torch
from torch import nn

from wnrepro.nn import Dropout, GaussianNoise, NormalizedLayer

SLOPE = 0.1
"""Of leaky ReLU below zero: max(x, 0.1·x) (authors' code, `lrelu`)."""


class ConvPoolCNNC(nn.Sequential):
    """The paper's CIFAR-10 network: ConvPool-CNN-C of Springenberg et al. (2015), changed.

    From top to bottom below, with w = `width`, for 32×32 images:

        Gaussian noise                         C×32×32
        3 × [3×3 convolution, w, pad 1]        w×32×32
        2×2 max-pool, dropout                  w×16×16
        3 × [3×3 convolution, 2w, pad 1]       2w×16×16
        2×2 max-pool, dropout                  2w×8×8
        3×3 convolution, 2w, no padding        2w×6×6
        2 × [1×1 convolution, 2w]              2w×6×6
        global average pool, dense             n_classes

    Each linear map is a `NormalizedLayer` of the arm, with leaky ReLU 0.1 after all but the last.
    At full width, w = 96, it has 1,405,344 weights, 1,450 g and 1,450 b. Any image of at least
    12×12 pixels will do: 28×28×1 (MNIST) ends in 5×5 places.

    arm: an id of `wnrepro.arms.ARMS`. image_shape: (C, H, W). noise_std: in units of the input.
    dropout: probability of being dropped. streams: generators by the names `init`, `noise` and
    `dropout`; torch's own where there is none.
    Raises ValueError for an unknown arm, a width below 1 or images that are too small.
    """

    def __init__(
        self,
        arm: str,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        n_classes: int = 10,
        *,
        width: int = 96,
        noise_std: float = 0.15,
        dropout: float = 0.5,
        streams: Mapping[str, torch.Generator] | None = None,
    ) -> None:
        super().__init__()
        channels, *size = image_shape
        if width < 1:
            raise ValueError(f"the width must be at least 1, not {width}")
        if min(size) < 12:
            raise ValueError(f"images must be at least 12×12 pixels, not {size[0]}×{size[1]}")
        draw = {} if streams is None else streams

        def conv(n_in: int, n_out: int, kernel: int, padding: int = 0) -> NormalizedLayer:
            layer = nn.Conv2d(n_in, n_out, kernel, padding=padding)
            return NormalizedLayer(arm, layer, nn.LeakyReLU(SLOPE), draw.get("init"))

        w = width
        self.noise = GaussianNoise(noise_std, draw.get("noise"))
        self.conv1 = conv(channels, w, 3, padding=1)
        self.conv2 = conv(w, w, 3, padding=1)
        self.conv3 = conv(w, w, 3, padding=1)
        self.pool1 = nn.MaxPool2d(2)
        self.dropout1 = Dropout(dropout, draw.get("dropout"))
        self.conv4 = conv(w, 2 * w, 3, padding=1)
        self.conv5 = conv(2 * w, 2 * w, 3, padding=1)
        self.conv6 = conv(2 * w, 2 * w, 3, padding=1)
        self.pool2 = nn.MaxPool2d(2)
        self.dropout2 = Dropout(dropout, draw.get("dropout"))
        self.conv7 = conv(2 * w, 2 * w, 3)
        self.conv8 = conv(2 * w, 2 * w, 1)
        self.conv9 = conv(2 * w, 2 * w, 1)
        self.average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dense = NormalizedLayer(arm, nn.Linear(2 * w, n_classes), generator=draw.get("init"))
        # Convolutions are faster so, on a CPU by a fifth to a third (results/benchmarks).
        self.to(memory_format=torch.channels_last)
