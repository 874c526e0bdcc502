"""What a change of a model's parameters could not keep, refused in one line before it is begun."""

from typing import cast

import torch
from torch import Tensor, nn

from wnrepro.nn.state_dict import summed_axes
from wnrepro.nn.weight_norm import FLOATING

_WRAPPERS = ("DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule")
"""Classes of torch's modules that know the parameters in them. The last is by `fully_shard`."""


def refuse_shared(
    model: nn.Module,
    chosen: list[tuple[str, nn.Module]],
    names: tuple[str, ...],
    otherwise: str = "and would no longer be",
) -> None:
    """Raises ValueError if one of the modules has a parameter of these names with another.

    otherwise: what would come of it, for the message.
    """
    owners: dict[int, list[str]] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                path = f"{prefix}.{name}" if prefix else name
                owners.setdefault(id(parameter), []).append(path)
    for _, module in chosen:
        for name in names:
            shared = owners.get(id(module._parameters.get(name)), [])
            if len(shared) > 1:
                raise ValueError(
                    f"{' and '.join(shared)} are one parameter, {otherwise}: give each "
                    "its own first, or leave the layers as they are"
                )


def refuse_wrapped(model: nn.Module) -> None:
    for name, module in model.named_modules():
        for kind in type(module).__mro__:
            if kind.__name__ in _WRAPPERS:
                raise ValueError(
                    f"{called(name, module)} would go on with the parameters that are replaced: "
                    "do it before wrapping; or take the .module of a DistributedDataParallel; or "
                    "load torch_state_dict(model) into a plain model"
                )


def refuse_special(name: str, layer: nn.Module, key: str, parameter: Tensor | None) -> None:
    """Raises unless it is a parameter that can be replaced by others with nothing lost."""
    its = f"{called(name, layer)}: its {key}"
    if parameter is None:
        raise ValueError(
            f"{its} is no plain parameter (a torch parametrization, spectral_norm or pruning?): "
            "remove that first, or leave the layer out"
        )
    plain = type(parameter) is nn.Parameter and parameter.layout is torch.strided
    if not plain or parameter.is_nested:
        nested = " (nested)" if parameter.is_nested else ""
        kind = f"{type(parameter).__name__} of layout {parameter.layout}{nested}"
        raise TypeError(f"{its} must be a plain dense parameter, not {kind}: leave the layer out")
    if parameter.dtype not in FLOATING:
        raise TypeError(
            f"{its} must be of a real floating-point type (float16 to 64), not "
            f"{parameter.dtype}: leave the layer out"
        )
    if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
        raise ValueError(f"{its} has hooks, which would be lost: remove them, or leave it out")


def called(name: str, module: nn.Module) -> str:
    return f"{name!r} ({type(module).__name__})" if name else type(module).__name__


def refuse_shape(name: str, layer: nn.Module, *parameters: nn.Parameter) -> None:
    """Raises unless the weight, or torch's g and v, can be v and g of such a layer."""
    *gs, v = parameters
    axes = 2 + len(cast(tuple[int, ...], getattr(layer, "kernel_size", ())))
    shapes = " and ".join(str(tuple(p.shape)) for p in parameters)
    if v.ndim != axes or v.shape[0] % cast(int, getattr(layer, "groups", 1)):
        raise ValueError(
            f"{called(name, layer)}: its weight has a shape that no such layer has: {shapes}"
        )
    if gs and summed_axes(gs[0], v) is None:
        raise ValueError(
            f"{called(name, layer)}: torch's weight norm has no g and v of shapes {shapes}"
        )
