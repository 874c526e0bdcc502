"""Every equation of the paper, and of the course notes, as a function that can be called.

For reading and for proof, not for speed: pure functions of float64 tensors, written as on paper,
without autograd. The README's table says where the fast code uses each. Needs torch alone.

| module | |
|---|---|
| `weight_norm` | paper eq. 1 to 4, M_w, norm growth, gradient covariance |
| `init` | paper eq. 5 and 6 |
| `mean_only_batch_norm` | paper eq. 7 and 8 |
| `batch_norm` | notes: batch norm, both ways; paper sec. 2.2: batch norm = weight norm |
| `averages` | notes: running averages |
| `optimisers` | notes: momentum, "Adadelta", Adam; the paper's Adam and Adamax |
"""

from wnrepro.equations.averages import (
    bias_corrected_decay,
    exponential_average,
    plain_mean_decay,
    running_average,
)
from wnrepro.equations.batch_norm import (
    batch_norm,
    batch_norm_and_weight_norm,
    batch_norm_gradient_b,
    batch_norm_gradient_g,
    batch_norm_gradient_z,
    dmu_dz,
    dsigma_dz,
    dstandardised_dz,
    moments,
    standardised,
)
from wnrepro.equations.init import initial_g_b, initial_layers, initial_t
from wnrepro.equations.mean_only_batch_norm import (
    mean_only_batch_norm,
    mean_only_batch_norm_gradient,
)
from wnrepro.equations.optimisers import (
    adadelta,
    adam,
    adam_averaged,
    adamax,
    momentum,
    momentum_averaged,
)
from wnrepro.equations.weight_norm import (
    gradient_covariance,
    gradient_g,
    gradient_v,
    gradient_v_projected,
    norm_growth,
    projection,
    unit,
    weight,
)

__all__ = [
    "adadelta",
    "adam",
    "adam_averaged",
    "adamax",
    "batch_norm",
    "batch_norm_and_weight_norm",
    "batch_norm_gradient_b",
    "batch_norm_gradient_g",
    "batch_norm_gradient_z",
    "bias_corrected_decay",
    "dmu_dz",
    "dsigma_dz",
    "dstandardised_dz",
    "exponential_average",
    "gradient_covariance",
    "gradient_g",
    "gradient_v",
    "gradient_v_projected",
    "initial_g_b",
    "initial_layers",
    "initial_t",
    "mean_only_batch_norm",
    "mean_only_batch_norm_gradient",
    "moments",
    "momentum",
    "momentum_averaged",
    "norm_growth",
    "plain_mean_decay",
    "projection",
    "running_average",
    "standardised",
    "unit",
    "weight",
]
