"""Weight norm on and off an existing model, and its state dict in torch's spellings."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from wnrepro.nn.layers import (
    WeightNormConv1d,
    WeightNormConv2d,
    WeightNormConv3d,
    WeightNormConvTranspose1d,
    WeightNormConvTranspose2d,
    WeightNormConvTranspose3d,
    WeightNormLayer,
    WeightNormLinear,
)
from wnrepro.nn.weight_norm import norm_over

_WEIGHT_NORM: dict[type[nn.Module], type[WeightNormLayer]] = {
    layer.plain: layer
    for layer in (
        WeightNormLinear,
        WeightNormConv1d,
        WeightNormConv2d,
        WeightNormConv3d,
        WeightNormConvTranspose1d,
        WeightNormConvTranspose2d,
        WeightNormConvTranspose3d,
    )
}

Spelling = Literal["weight", "weight_g", "parametrizations"]


def convert[Model: nn.Module](
    model: Model, where: Callable[[str, nn.Module], bool] | None = None
) -> Model:
    pass
