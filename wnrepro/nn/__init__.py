"""The paper's layers, for anybody's network. Needs torch alone.

from wnrepro.nn import convert, data_dependent_init, fold

model = convert(my_model)              # weight norm on every nn.Linear, nn.Conv*/ConvTranspose*
data_dependent_init(model, images)     # eq. 5, 6 on one batch
...                                    # train v, g and b with any optimiser
model = fold(model)                    # plain torch layers again, same outputs

`convert` leaves alone what is no such module: bare parameters (nn.MultiheadAttention's in_proj,
nn.LSTM and its like), lazy layers before their first input, subclasses.
"""

from wnrepro.nn.batch_norm import BatchNorm
from wnrepro.nn.convert import convert, fold, torch_state_dict
from wnrepro.nn.init import data_dependent_init
from wnrepro.nn.layer_norm import LayerNorm
from wnrepro.nn.layers import (
    WeightNormConv1d,
    WeightNormConv2d,
    WeightNormConv3d,
    WeightNormConvTranspose1d,
    WeightNormConvTranspose2d,
    WeightNormConvTranspose3d,
    WeightNormLinear,
)
from wnrepro.nn.masked import (
    MaskedConv2d,
    MaskedLinear,
    WeightNormMaskedConv2d,
    WeightNormMaskedLinear,
)
from wnrepro.nn.mean_only_batch_norm import (
    MeanOnlyBatchNorm1d,
    MeanOnlyBatchNorm2d,
    MeanOnlyBatchNorm3d,
)
from wnrepro.nn.noise import Dropout, GaussianNoise
from wnrepro.nn.normalized_layer import FrozenScale, NormalizedLayer
from wnrepro.nn.parameter_groups import parameter_groups
from wnrepro.nn.weight_norm import weight_norm

Unit = NormalizedLayer  # former name

__all__ = [
    "BatchNorm",
    "Dropout",
    "FrozenScale",
    "GaussianNoise",
    "LayerNorm",
    "MaskedConv2d",
    "MaskedLinear",
    "MeanOnlyBatchNorm1d",
    "MeanOnlyBatchNorm2d",
    "MeanOnlyBatchNorm3d",
    "NormalizedLayer",
    "Unit",
    "WeightNormConv1d",
    "WeightNormConv2d",
    "WeightNormConv3d",
    "WeightNormConvTranspose1d",
    "WeightNormConvTranspose2d",
    "WeightNormConvTranspose3d",
    "WeightNormLinear",
    "WeightNormMaskedConv2d",
    "WeightNormMaskedLinear",
    "convert",
    "data_dependent_init",
    "fold",
    "parameter_groups",
    "torch_state_dict",
    "weight_norm",
]
