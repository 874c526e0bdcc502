"""Torch's linear and convolution layers with the weight w = g·v/‖v‖ (paper eq. 2).

`g` has one entry per *output* unit in all of them, the transposed and the grouped ones too.

Source: Salimans & Kingma, *Weight Normalization* (NIPS 2016), section 2.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import is_parametrized

from wnrepro.nn.state_dict import respell
from wnrepro.nn.weight_norm import is_eager, norm_over, scale_to_norm, split


def set_in_place(module: nn.Module, name: str, value: Tensor) -> None:
    """Copies value into a parameter or buffer; through `right_inverse` if torch parametrizes it.

    RuntimeError, torch's, if the parametrization has no right_inverse.
    """
    with torch.no_grad():
        now = getattr(module, name)
        if is_parametrized(module, name):  # now is a temporary; torch keeps what it is given
            setattr(module, name, torch.empty_like(now).copy_(value))
        else:
            now.copy_(value)


def _versions(tensors: tuple[Tensor, ...]) -> list[int]:
    return [0 if t.is_inference() else t._version for t in tensors]


class WeightNormLayer(nn.Module):
    """What the weight-norm layers share: parameters `v` and `g` in the place of `weight`.

    Every such layer is also an instance of torch's layer of that kind, takes its constructor
    arguments, and starts with the weight and bias that torch would have drawn: v = w, g = ‖w‖.

    Attributes:
        v: direction, with the shape of torch's weight.
        g: length, one per output unit: `(out_features,)` or `(out_channels,)`.
        bias: as in torch's layer, or None.
        weight: w = g·v/‖v‖, computed at every access; within torch's
            `torch.nn.utils.parametrize.cached()` once, as long as v and g stay the same.
            Assigning a tensor of v's shape sets v and g in place, and is refused for one that is
            part of a graph (ValueError): no gradient would flow to it. Hence
            `torch.func.functional_call` takes v and g, not the weight. Writing *into* it
            (`torch.nn.init.zeros_(layer.weight)`) changes a temporary and nothing else: initialise
            `v`, or assign.

    v, g and bias may have a `torch.nn.utils.parametrize` parametrization, such as g = e^s (paper,
    sec. 2). Whatever sets them here then goes through its `right_inverse`.

    `torch.fx.symbolic_trace` and `torch.jit.script` take no such layer: `fold` first, or use
    `torch.export` or `torch.jit.trace`.

    `load_state_dict` takes, besides `v` and `g`: a plain `weight`; torch's `weight_g` and
    `weight_v`; torch's `parametrizations.weight.original0` and `original1`. Where torch's g is
    not one per output unit, its weight w is computed and split. Any other set of keys, and any
    wrong shape, is an error of `load_state_dict` as usual.
    """

    plain: ClassVar[type[nn.Module]]
    """Torch's layer of the same kind."""
    output_axis: ClassVar[int]
    """The axis of the output units in the layer's output, counted from its end."""
    _kept: ClassVar[tuple[int, ...]] = (0,)

    v: nn.Parameter
    g: nn.Parameter
    if TYPE_CHECKING:
        weight: Tensor

    def __init_subclass__(cls, plain: type[nn.Module] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if plain is None:
            return
        cls.plain = plain

        # One per class, so that it keeps the signature of torch's.
        @functools.wraps(plain.__init__)
        def __init__(self: WeightNormLayer, *args: Any, **kwargs: Any) -> None:
            plain.__init__(self, *args, **kwargs)
            weight = self._parameters["weight"]
            assert weight is not None
            self.replace_weight(weight)

        cls.__init__ = __init__

    if not TYPE_CHECKING:

        @property
        def weight(self) -> Tensor:
            # Without a v, while torch's constructor runs, the AttributeError sends the look-up
            # on to torch's own weight.
            v = self.v
            if parametrize._cache_enabled and is_eager():
                return self._cached_weight(v, self.g)
            return self.weight_of(v, self.g)

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "weight" and hasattr(self, "v"):  # not while torch's constructor runs
                self._set_weight(value)
            else:
                super().__setattr__(name, value)

    def weight_of(self, v: Tensor, g: Tensor) -> Tensor:
        """w of a v and a g in the shapes of this layer's."""
        return self._merge_units(scale_to_norm(*self._by_unit(v, g)))

    def _cached_weight(self, v: Tensor, g: Tensor) -> Tensor:
        """w from torch's cache, unless v, g or w itself has been changed since it was computed.

        One that is part of a graph serves without gradients too.
        """
        cache: dict[Any, Any] = parametrize._cache
        key = (id(self), "weight", torch.is_inference_mode_enabled())
        known, versions = cache.get(key, ((), []))
        stale = [id(t) for t in known[:2]] != [id(v), id(g)] or versions != _versions(known)
        learns = torch.is_grad_enabled() and (v.requires_grad or g.requires_grad)
        if stale or (learns and not known[2].requires_grad):
            known = (v, g, self.weight_of(v, g))
            cache[key] = known, _versions(known)
        return known[2]

    @property
    def v_norm(self) -> Tensor:
        """‖v‖ per output unit, with the shape of g."""
        v, _, axes = self._by_unit(self.v, self.g)
        return norm_over(v, axes).reshape(self.g.shape).to(self.v.dtype)

    @torch.no_grad()
    def scale_output_(self, mean: Tensor, std: Tensor) -> None:
        """Makes t, an output of this layer, into (t − mean)/std: g ← g/std, b ← (b − mean)/std.

        With t of a layer that has g = 1 and b = 0, that is the paper's data-dependent
        initialization, eq. 5 and 6. A layer without a bias is scaled only.

        Args:
            mean: per output unit, with the shape of g.
            std: likewise. A 0 in it is not looked for.

        Raises:
            ValueError: mean or std has another shape.
        """
        for name, given in (("mean", mean), ("std", std)):
            if given.shape != self.g.shape:
                raise ValueError(
                    f"{name} must have shape {tuple(self.g.shape)}, one per output unit, "
                    f"got {tuple(given.shape)}"
                )
        set_in_place(self, "g", self.g / std)
        if isinstance(self.bias, Tensor):
            set_in_place(self, "bias", (self.bias - mean) / std)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws weight and bias anew as torch's layer does, and sets v, g and bias in place."""
        if "weight" in self._parameters:
            super().reset_parameters()  # pyright: ignore[reportAttributeAccessIssue]
            return
        layer = object.__new__(self.plain)
        layer.__dict__.update(self.__dict__)
        bias = nn.Parameter(torch.empty_like(self.bias)) if isinstance(self.bias, Tensor) else None
        layer.__dict__["_parameters"] = {
            "weight": nn.Parameter(torch.empty_like(self.v)),
            "bias": bias,
        }
        layer.reset_parameters()  # pyright: ignore[reportCallIssue]
        self._set_weight(layer.weight)
        if bias is not None:
            set_in_place(self, "bias", bias)

    def split_weight(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """v and g, new tensors in this layer's shapes, that give the weight w. See `split`."""
        v, g = split(self._split_units(weight), self._kept)
        return self._merge_units(v), g.flatten()

    def replace_weight(self, weight: nn.Parameter) -> None:
        """Puts new parameters v and g, made from `weight`, in its place among the parameters."""
        self._place(*self.split_weight(weight), weight, weight)

    def take_over(self, v: nn.Parameter, g: nn.Parameter) -> None:
        """Puts new parameters v and g in the place of torch's, with their w.

        They have torch's values where its g is one per output unit; else w is split.
        """
        self.__dict__["_parameters"] = self._parameters | {"v": v, "g": g}  # for their shapes
        state: dict[str, Any] = {"weight_g": g, "weight_v": v}
        respell(self, state, "", True, [])
        self._place(state["v"].clone(), state["g"].clone(), v, g)

    def _place(self, v: Tensor, g: Tensor, like_v: nn.Parameter, like_g: nn.Parameter) -> None:
        """New parameters v and g, which learn and have the attributes as the others do."""
        # A new dict: v and g come first, as weight did, and the old one may belong to a copy.
        parameters = {"v": nn.Parameter(v, like_v.requires_grad)}
        parameters["g"] = nn.Parameter(g, like_g.requires_grad)
        vars(parameters["v"]).update(vars(like_v))
        vars(parameters["g"]).update(vars(like_g))
        torchs = ("weight", "weight_g", "weight_v")
        self.__dict__["_parameters"] = parameters | {
            name: p for name, p in self._parameters.items() if name not in (*torchs, *parameters)
        }

    def _set_weight(self, weight: Any) -> None:
        if not isinstance(weight, Tensor):
            raise TypeError(f"weight must be a tensor, got {type(weight).__name__}")
        if weight.shape != self.v.shape:
            raise ValueError(
                f"weight must have shape {tuple(self.v.shape)}, got {tuple(weight.shape)}"
            )
        if weight.requires_grad and not isinstance(weight, nn.Parameter):
            raise ValueError(
                "weight would be copied into v and g, without a gradient: assign weight.detach(), "
                "or give torch.func.functional_call v and g"
            )
        with torch.no_grad():
            v, g = self.split_weight(torch.empty_like(self.v).copy_(weight))
            set_in_place(self, "v", v)
            set_in_place(self, "g", g)

    def _split_units(self, v: Tensor) -> Tensor:
        """v as a view in which the output units are the axes `_kept`."""
        return v

    def _merge_units(self, v: Tensor) -> Tensor:
        """The inverse of `_split_units`."""
        return v

    def _by_unit(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """v and g as `scale_to_norm` takes them, and the axes of v that the norm sums over."""
        return v, g, tuple(range(1, v.ndim))

    def torch_g_shape(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """The shape of the g in torch's spellings that is one per output unit, if there is one.

        shape: of v.
        """
        return (shape[0], *(1,) * (len(shape) - 1))

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        assign = local_metadata.get("assign_to_params_buffers", False)
        respell(self, state_dict, prefix, assign, error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _Transposed(WeightNormLayer):
    """The weight is (in, out/groups, *k): as (groups, in/groups, out/groups, *k), its axes 0
    and 2 are the output units."""

    _kept = (0, 2)
    groups: int

    def _split_units(self, v: Tensor) -> Tensor:
        return v.unflatten(0, (self.groups, v.shape[0] // self.groups))

    def _merge_units(self, v: Tensor) -> Tensor:
        return v.flatten(0, 1)

    def _by_unit(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        axes = (1, *range(3, v.ndim + 1))
        return self._split_units(v), g.view(self.groups, 1, -1, *(1,) * (v.ndim - 2)), axes

    def torch_g_shape(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        if self.groups > 1:
            return None
        return (1, shape[1], *(1,) * (len(shape) - 2))


class WeightNormLinear(WeightNormLayer, nn.Linear, plain=nn.Linear):
    """`torch.nn.Linear` with weight norm: v is (out_features, in_features), g (out_features,).

    Source: paper eq. 2.
    """

    output_axis = -1


class WeightNormConv1d(WeightNormLayer, nn.Conv1d, plain=nn.Conv1d):
    """`torch.nn.Conv1d` with weight norm: v is (out_channels, in_channels/groups, k), g
    (out_channels,).

    Source: paper eq. 2; section 2.2 for convolutions.
    """

    output_axis = -2


class WeightNormConv2d(WeightNormLayer, nn.Conv2d, plain=nn.Conv2d):
    """`torch.nn.Conv2d` with weight norm: v is (out_channels, in_channels/groups, k, k), g
    (out_channels,).

    Source: paper eq. 2; section 2.2 for convolutions.
    """

    output_axis = -3


class WeightNormConv3d(WeightNormLayer, nn.Conv3d, plain=nn.Conv3d):
    """`torch.nn.Conv3d` with weight norm: v is (out_channels, in_channels/groups, k, k, k), g
    (out_channels,).

    Source: paper eq. 2; section 2.2 for convolutions.
    """

    output_axis = -4


class WeightNormConvTranspose1d(_Transposed, nn.ConvTranspose1d, plain=nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` with weight norm: v is (in_channels, out_channels/groups, k), g
    (out_channels,). The norm sums over the inputs of an output channel, within its group.

    Source: paper eq. 2.
    """

    output_axis = -2


class WeightNormConvTranspose2d(_Transposed, nn.ConvTranspose2d, plain=nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with weight norm: v is (in_channels, out_channels/groups, k, k),
    g (out_channels,). The norm sums over the inputs of an output channel, within its group.

    Source: paper eq. 2.
    """

    output_axis = -3


class WeightNormConvTranspose3d(_Transposed, nn.ConvTranspose3d, plain=nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d` with weight norm: v is (in_channels, out_channels/groups, k, k,
    k), g (out_channels,). The norm sums over the inputs of an output channel, within its group.

    Source: paper eq. 2.
    """

    output_axis = -4
