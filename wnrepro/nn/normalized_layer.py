"""The arms as one idea: a linear map, then its normaliser, then the nonlinearity.

    y = φ(normaliser(linear(x)))

| arm | linear | normaliser | trained |
|---|---|---|---|
| `plain` | w·x + b | – | w, b |
| `plain_frozen_scale` | w·x | g·t + b, g fixed by the init | w, b |
| `wn` | (g/‖v‖) v·x + b (eq. 2) | – | v, g, b |
| `bn` | w·x | g·(t − μ)/√(σ² + ε) + b | w, g, b |
| `mean_only_bn` | w·x | t − μ + b (eq. 7) | w, b |
| `wn_mean_only_bn` | (g/‖v‖) v·x | t − μ + b (eq. 7) | v, g, b |
| `layer_norm` | w·x | g·(t − μ)/√(σ² + ε) + b, μ and σ² of one example | w, g, b |

The records of `wnrepro.arms` say which is which, in words; here is what the words mean.

Every arm starts from the same draw, v ~ N(0, 0.05²) with g = 1 and b = 0, but for
`plain_frozen_scale`, which the authors' code starts from Glorot's uniform distribution.
`plain` and `mean_only_bn` are "initialised in terms of v and g" (paper, sec. 5.1): w = g·v/‖v‖.
"""

from typing import cast, get_args

import torch
from torch import Tensor, nn

from wnrepro.arms import ARMS, Arm, Normaliser
from wnrepro.nn.batch_norm import BatchNorm
from wnrepro.nn.convert import convert
from wnrepro.nn.layer_norm import LayerNorm
from wnrepro.nn.layers import WeightNormLayer, set_in_place
from wnrepro.nn.masked import MaskedConv2d, MaskedLinear
from wnrepro.nn.mean_only_batch_norm import (
    MeanOnlyBatchNorm1d,
    MeanOnlyBatchNorm2d,
    MeanOnlyBatchNorm3d,
)
from wnrepro.nn.running_statistics import RunningStatistics
from wnrepro.nn.weight_norm import weight_norm

V_STD = 0.05
"""Standard deviation of v at the start (paper, sec. 3; authors' code, `Normal(0.05)`)."""

Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Linear = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | Transposed | MaskedLinear | MaskedConv2d


class FrozenScale(nn.Module):
    """y = g·t + b per channel, with b trained and g a constant that only the init sets.

    The released code's plain network (`lasagne/nn.py`, InitLayer). t: (N, C) or (N, C, …); y has
    its dtype. Raises ValueError for another shape.
    """

    g: Tensor

    def __init__(
        self,
        num_features: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("g", torch.ones(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))
        self.output_axis = 1

    def forward(self, t: Tensor) -> Tensor:
        c = len(self.g)
        if t.ndim < 2 or t.shape[1] != c:
            raise ValueError(f"expected (N, {c}) or (N, {c}, …), got {tuple(t.shape)}")
        shape = (-1,) + (1,) * (t.ndim - 2)
        y = t * self.g.view(shape) + self.bias.view(shape)
        return y if y.dtype == t.dtype else y.to(t.dtype)

    @torch.no_grad()
    def scale_output_(self, mean: Tensor, std: Tensor) -> None:
        """Change g and b so that the output y becomes (y − mean)/std. mean, std: (C,)."""
        set_in_place(self, "g", self.g / std)
        set_in_place(self, "bias", (self.bias - mean) / std)


_MEAN_ONLY = (MeanOnlyBatchNorm1d, MeanOnlyBatchNorm1d, MeanOnlyBatchNorm2d, MeanOnlyBatchNorm3d)
_NORMALISERS: dict[Normaliser, tuple[type[nn.Module], ...]] = {
    "frozen_scale": (FrozenScale,) * 4,
    "bn": (BatchNorm,) * 4,
    "mean_only_bn": _MEAN_ONLY,
    "layer_norm": (LayerNorm,) * 4,
}
"""The class of a normaliser, for a linear map of 0 (nn.Linear) to 3 kernel axes."""


class NormalizedLayer(nn.Module):
    """One layer of an arm: y = φ(normaliser(linear(x))).

    arm: an id of `wnrepro.arms.ARMS`.
    linear: a torch Linear, Conv1d/2d/3d or ConvTranspose1d/2d/3d; taken over, its weights are
        replaced. Its units are its output features or output channels, of all groups.
        The units of a Linear lie along the last axis of its output, whatever axes come before: to
        its normaliser, each vector there is an example.
    nonlinearity: φ; identity for the last layer of a network.
    generator: the random stream of the starting weights; torch's own without one.

    `layer.v`, `layer.g` and `layer.b` are the paper's names for the tensors of any arm, wherever
    they are kept; v is the weight itself where the arm has no weight norm, and g is None where
    the arm has none. v has the shape of torch's weight. Its axis 0 is the unit, but for transposed
    convolutions, of which it is (in, out/groups, *k): `by_unit` puts the units on axis 0 for any.
    `layer.running_mean` and `layer.running_var` are the averages for evaluation, None without.

    Raises ValueError for an unknown arm; TypeError for another kind of linear map.
    """

    def __init__(
        self,
        arm: str,
        linear: Linear,
        nonlinearity: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if arm not in ARMS:
            raise ValueError(f"unknown arm {arm!r}; choose from {', '.join(ARMS)}")
        if type(linear) not in get_args(Linear):
            kinds = ", ".join(kind.__name__ for kind in get_args(Linear))
            raise TypeError(f"{type(linear).__name__} is none of {kinds}")
        self.arm = arm
        name = self._facts.normaliser
        if name is None:
            normaliser = nn.Identity()
        else:
            linear.register_parameter("bias", None)
            w = linear.weight
            make = _NORMALISERS[name][w.ndim - 2]
            normaliser = make(_by_unit(linear, w).shape[0], device=w.device, dtype=w.dtype)
        self.linear = convert(linear) if self._facts.weight == "wn" else linear
        self.normaliser = normaliser
        self.nonlinearity = nn.Identity() if nonlinearity is None else nonlinearity
        self.reset_parameters(generator)

    def forward(self, x: Tensor) -> Tensor:
        t = self.linear(x)
        if t.ndim > 2 and isinstance(self.linear, nn.Linear):  # a normaliser's units are axis 1
            y = self.normaliser(t.flatten(0, -2)).reshape(t.shape)
        else:
            y = self.normaliser(t)
        return self.nonlinearity(y)

    @property
    def _facts(self) -> Arm:
        return ARMS[self.arm]

    @property
    def v(self) -> Tensor:
        """v of a weight-normalised arm, else the weight w; its shape is that of torch's weight."""
        linear = self.linear
        return linear.v if isinstance(linear, WeightNormLayer) else cast(Tensor, linear.weight)

    @property
    def g(self) -> Tensor | None:
        """The scale per output unit, (out,); a buffer in `plain_frozen_scale`; None without."""
        if isinstance(self.linear, WeightNormLayer):
            return self.linear.g
        return getattr(self.normaliser, "g", None)

    @property
    def b(self) -> Tensor:
        """The shift per output unit, (out,); None in a linear map without one, if no normaliser
        has it.
        """
        return cast(Tensor, self._owner_of_b.bias)

    @property
    def _owner_of_b(self) -> nn.Module:
        return self.linear if isinstance(self.normaliser, nn.Identity) else self.normaliser

    def by_unit(self, v: Tensor) -> Tensor:
        """v, or a tensor of its shape as its gradient, as (out, in/groups, *k): axis 0 the unit.

        The tensor itself but for transposed convolutions.
        """
        return _by_unit(self.linear, v)

    @property
    def running_mean(self) -> Tensor | None:
        """The normaliser's running average of μ[t], (out,); None where the arm has none."""
        return getattr(self.normaliser, "running_mean", None)

    @property
    def running_var(self) -> Tensor | None:
        """The normaliser's running average of σ²[t], (out,); None where the arm has none."""
        return getattr(self.normaliser, "running_var", None)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new starting weights from `generator`; g = 1, b = 0; running averages too.

        Masked weights are 0.
        """
        v = torch.empty_like(self.by_unit(self.v))
        if self._facts.start == "glorot":
            nn.init.xavier_uniform_(v, generator=generator)
        else:
            nn.init.normal_(v, std=V_STD, generator=generator)
        v = _as_stored(self.linear, v)
        masked = isinstance(self.linear, MaskedLinear | MaskedConv2d)
        self.start_from_(v * cast(Tensor, self.linear.mask) if masked else v)

    @torch.no_grad()
    def start_from_(self, v: Tensor, g: Tensor | None = None, b: Tensor | None = None) -> None:
        """Start from the given v, g and b, whatever the arm makes of them; running averages too.

        v: of `self.v`'s shape. g, b: (out,); without them 1 and 0. Arms whose `start` is "unit"
            start from w = g·v/‖v‖, with a norm for each output unit (which is v itself for
            g = ‖v‖), and all others from v as it is, with g where the arm has it.
        Raises ValueError for another shape, and TypeError for a dtype that the layer's cannot hold
        (float64 for float32), before anything is changed.
        """
        v = self._holding("v", v, self.v)
        one_per_unit = self.by_unit(self.v).flatten(1)[:, 0]
        g = torch.ones_like(one_per_unit) if g is None else self._holding("g", g, one_per_unit)
        if b is not None and self.b is None:
            raise ValueError("b is given, and the layer has none")
        b = torch.zeros_like(one_per_unit) if b is None else self._holding("b", b, one_per_unit)
        if self._facts.start == "unit":
            v = _as_stored(self.linear, weight_norm(self.by_unit(v), g))
        normalised = isinstance(self.linear, WeightNormLayer)
        set_in_place(self.linear, "v" if normalised else "weight", v)
        if self.g is not None:
            set_in_place(self.linear if normalised else self.normaliser, "g", g)
        if self.b is not None:
            set_in_place(self._owner_of_b, "bias", b)
        if isinstance(self.normaliser, RunningStatistics):
            self.normaliser.reset_running_stats()

    def _holding(self, name: str, given: Tensor, own: Tensor) -> Tensor:
        """The given tensor on the device and in the dtype of the layer's own, or an error."""
        if given.shape != own.shape:
            raise ValueError(f"{name} has shape {tuple(given.shape)}, the layer {tuple(own.shape)}")
        if torch.promote_types(given.dtype, own.dtype) != own.dtype:
            raise TypeError(
                f"{name} is {given.dtype}, the layer {own.dtype}, which would round it: convert "
                f"the layer (layer.to({given.dtype})), or round {name} yourself"
            )
        return given.to(own)

    @torch.no_grad()
    def scale_weight_(self, mean: Tensor, std: Tensor) -> None:
        """Change w and b so that t, the linear map's output, becomes (t − mean)/std. Both: (out,).

        For arms that train w itself. A linear map without a bias is scaled only.
        """
        w = self.by_unit(self.v)
        w = w / std.view(-1, *(1,) * (w.ndim - 1))
        set_in_place(self.linear, "weight", _as_stored(self.linear, w))
        if isinstance(self.linear.bias, Tensor):
            set_in_place(self.linear, "bias", (self.linear.bias - mean) / std)

    def extra_repr(self) -> str:
        return f"arm={self.arm}"


def _by_unit(linear: nn.Module, w: Tensor) -> Tensor:
    """w, as the linear map stores its weight, as (out, in/groups, *k): axis 0 is the unit."""
    if not isinstance(linear, Transposed):
        return w
    return w.unflatten(0, (linear.groups, -1)).transpose(1, 2).flatten(0, 1)


def _as_stored(linear: nn.Module, w: Tensor) -> Tensor:
    """The inverse of `_by_unit`, which for transposed convolutions exchanges the same two axes."""
    return _by_unit(linear, w)
