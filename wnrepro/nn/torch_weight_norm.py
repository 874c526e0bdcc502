"""Torch's own weight norm on a layer, as a hook or as a parametrization: found, and taken off."""

from typing import Any

from torch import nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.weight_norm import WeightNorm

Place = tuple[nn.Module, str, str]
"""The module that holds torch's g and v, and their names in it."""


def find(layer: Any) -> Place | None:
    """Where torch's g and v of the layer's weight are; None if its weight is not such, or more.

    More is another parametrization of the layer besides it, of its weight or its bias.
    """
    if _hook(layer) is not None and not is_parametrized(layer):
        return layer, "weight_g", "weight_v"
    if is_parametrized(layer, "weight"):
        steps = layer.parametrizations["weight"]
        if len(layer.parametrizations) == len(steps) == 1 and isinstance(steps[0], _WeightNorm):
            return steps, "original0", "original1"
    return None


def take_off(layer: Any) -> None:
    """Leaves a layer, for which `find` found one, of torch's plain class and without a weight."""
    hook = _hook(layer)
    if hook is not None:
        del layer._forward_pre_hooks[hook]
        layer.__dict__.pop("weight", None)  # as the last forward pass computed it
        return
    layer.__class__ = type(layer).__bases__[0]
    del layer.parametrizations
    for key, wrapped in list(layer._load_state_dict_pre_hooks.items()):
        if wrapped.hook.__module__ == _WeightNorm.__module__:  # it respells, and cannot be pickled
            del layer._load_state_dict_pre_hooks[key]


def _hook(layer: nn.Module) -> int | None:
    for key, hook in layer._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == "weight":
            return key
    return None
