"""The networks of an arm: a state of pictures → Q of each action."""

import math

import torch
from torch import Tensor, nn

from wnrepro.nn import NormalizedLayer

_CONVOLUTIONS = {
    "nature_cnn": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    "minatar_cnn": ((16, 3, 1),),
}
"""Maps, kernel, stride. Sources: Mnih et al. (2015), methods; Young & Tian (2019), appendix."""

BIAS = 0.1
"""At the start (deep_q_rl)."""


class QNetwork(nn.Sequential):
    """Convolutions without padding, a dense layer of `width` units, a dense layer of the actions.

    ReLU after all but the last. Each linear map is a `NormalizedLayer` of the arm. All arms start
    from the same weights, He's uniform ones (√(6/fan-in), as in deep_q_rl), where an arm has g
    with g = ‖v‖, and from the bias 0.1.

    forward: (N, C, H, W), uint8 → (N, actions). A state's numbers are first multiplied by `scale`.
    """

    def __init__(
        self,
        name: str,
        arm: str,
        shape: tuple[int, int, int],
        actions: int,
        *,
        width: int,
        scale: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        channels, *size = shape
        for k, (maps, kernel, stride) in enumerate(_CONVOLUTIONS[name], 1):
            linear = nn.Conv2d(channels, maps, kernel, stride)
            self.add_module(f"conv{k}", NormalizedLayer(arm, linear, nn.ReLU()))
            size = [(each - kernel) // stride + 1 for each in size]
            channels = maps
        self.flatten = nn.Flatten()
        self.dense = NormalizedLayer(arm, nn.Linear(channels * math.prod(size), width), nn.ReLU())
        self.q = NormalizedLayer(arm, nn.Linear(width, actions))
        self.reset_parameters(generator)
        # A fifth less time on a CPU; not for MinAtar's few pixels.
        large = name == "nature_cnn"
        self.memory_format = torch.channels_last if large else torch.contiguous_format
        self.to(memory_format=self.memory_format)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None) -> None:
        for layer in self.children():
            if isinstance(layer, NormalizedLayer):
                v = torch.empty_like(layer.v, device="cpu")
                nn.init.kaiming_uniform_(v, nonlinearity="relu", generator=generator)
                g = v.flatten(1).norm(dim=1)
                layer.start_from_(v, g, torch.full_like(g, BIAS))

    def forward(self, input: Tensor) -> Tensor:
        x = input.to(self.q.v.dtype, memory_format=self.memory_format)
        return super().forward(x if self.scale == 1 else x * self.scale)
