"""Linear maps of which some weights are no weights: those of autoregressive networks.

Source: Germain et al., *MADE* (2015); Kingma et al., *Inverse Autoregressive Flow* (2016).
"""

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn.layers import WeightNormLayer


class MaskedLinear(nn.Linear):
    """`torch.nn.Linear` of weight w∘M.

    mask: M, (out_features, in_features), of zeros and ones. Other arguments: `nn.Linear`'s.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, **kwargs: Any) -> None:
        outputs, inputs = mask.shape
        super().__init__(inputs, outputs, **kwargs)
        _register(self, mask)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


class MaskedConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of weight w∘M.

    mask: M, (out_channels, in_channels/groups, k, k), of zeros and ones. Other arguments: those of
    `nn.Conv2d` beside channels and kernel.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, **kwargs: Any) -> None:
        outputs, inputs, *kernel = mask.shape
        channels = inputs * kwargs.get("groups", 1)
        super().__init__(channels, outputs, cast(tuple[int, int], tuple(kernel)), **kwargs)
        _register(self, mask)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight * self.mask, self.bias)


def _register(layer: nn.Module, mask: Tensor) -> None:
    weight = cast(Tensor, layer.weight)
    layer.register_buffer("mask", mask.to(weight), persistent=False)


class _Masked(WeightNormLayer):
    """w = g·v∘M/‖v∘M‖: the norm is of what is used. A unit without a weight has w = 0."""

    mask: Tensor

    def _by_unit(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        return super()._by_unit(v * self.mask, g)

    def split_weight(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return super().split_weight(weight * self.mask)


class WeightNormMaskedLinear(_Masked, MaskedLinear, plain=MaskedLinear):
    """`MaskedLinear` with weight norm: w = g·v∘M/‖v∘M‖ (paper eq. 2)."""

    output_axis = -1


class WeightNormMaskedConv2d(_Masked, MaskedConv2d, plain=MaskedConv2d):
    """`MaskedConv2d` with weight norm: w = g·v∘M/‖v∘M‖ (paper eq. 2)."""

    output_axis = -3
