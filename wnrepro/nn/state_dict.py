"""Torch's spellings of a weight with weight norm, as a weight-norm layer loads them."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from wnrepro.nn.weight_norm import scale_to_norm

if TYPE_CHECKING:
    from wnrepro.nn.layers import WeightNormLayer

_SPELLINGS = (
    ("weight",),
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)


def respell(
    layer: "WeightNormLayer",
    state_dict: dict[str, Any],
    prefix: str,
    assign: bool,
    error_msgs: list[str],
) -> None:
    """Puts v and g into a state dict, in the place of another spelling of the layer's weight.

    The other spelling must be there alone and complete: whatever else the keys are, they stay as
    they are, for torch to report as missing or unexpected. Where torch's g is not one per output
    unit, its weight is computed and split.

    Args:
        layer: which is to load them.
        state_dict: changed in place.
        prefix: of the layer's keys.
        assign: whether the tensors are to be the layer's parameters, or copied into them.
        error_msgs: gets a line on each tensor of a wrong shape, in torch's words.
    """
    names = ("v", "g", *(name for spelling in _SPELLINGS for name in spelling))
    present = tuple(name for name in names if prefix + name in state_dict)
    if present not in _SPELLINGS or is_parametrized(layer, "v") or is_parametrized(layer, "g"):
        return  # v and g, or something that torch is to report as missing or unexpected
    given = [state_dict[prefix + name] for name in present]
    if not all(isinstance(tensor, Tensor) for tensor in given):
        return
    for name in present:
        del state_dict[prefix + name]
    given = [tensor.detach() for tensor in given]
    *gs, w = given
    v_shape = tuple(layer.v.shape)
    g_shape = layer.torch_g_shape(v_shape)
    axes = summed_axes(gs[0], w) if gs else ()
    v, g = layer.v.detach(), layer.g.detach()  # kept where there is an error, to report only that
    if tuple(w.shape) != v_shape:
        error_msgs.append(_size_mismatch(prefix + present[-1], w, v_shape))
    elif gs and tuple(gs[0].shape) == g_shape:
        v, g = w, gs[0].flatten()
    elif axes is None:
        expected = g_shape or (1, v_shape[1], *(1,) * (len(v_shape) - 2))
        error_msgs.append(_size_mismatch(prefix + present[0], gs[0], expected))
    else:
        w = scale_to_norm(w, gs[0], axes) if gs else w
        # In the dtype and layout that it is to have, so that g is ‖w‖ to the last bit.
        v, g = layer.split_weight(w if assign else torch.empty_like(v).copy_(w))
    state_dict[prefix + "v"], state_dict[prefix + "g"] = v, g


def summed_axes(g: Tensor, v: Tensor) -> tuple[int, ...] | None:
    """The axes that torch's norm sums over, if torch makes such a g for some `dim`."""
    every = range(v.ndim)
    if tuple(g.shape) in ((), (1,)):  # for dim=None; (1,) in the state dicts of old versions
        return tuple(every)
    for kept in every:
        if tuple(g.shape) == tuple(
            size if axis == kept else 1 for axis, size in enumerate(v.shape)
        ):
            return tuple(axis for axis in every if axis != kept)
    return None


def _size_mismatch(key: str, given: Tensor, expected: tuple[int, ...]) -> str:
    return (
        f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
        f"the shape in current model is {torch.Size(expected)}."
    )
