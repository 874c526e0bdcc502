"""Weight norm on and off an existing model, and its state dict in torch's spellings."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from wnrepro.nn import torch_weight_norm
from wnrepro.nn.checks import called, refuse_shape, refuse_shared, refuse_special, refuse_wrapped
from wnrepro.nn.layers import (
    WeightNormConv1d,
    WeightNormConv2d,
    WeightNormConv3d,
    WeightNormConvTranspose1d,
    WeightNormConvTranspose2d,
    WeightNormConvTranspose3d,
    WeightNormLayer,
    WeightNormLinear,
    set_in_place,
)
from wnrepro.nn.masked import WeightNormMaskedConv2d, WeightNormMaskedLinear
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
        WeightNormMaskedLinear,
        WeightNormMaskedConv2d,
    )
}

Spelling = Literal["weight", "weight_g", "parametrizations"]


Model = TypeVar("Model", bound=nn.Module)


def convert(
    model: Model,
    where: Callable[[str, nn.Module], bool] | None = None,
    *,
    g: float | Literal["norm"] = "norm",
) -> Model:
    """Puts weight norm on the linear and convolution layers of a model, and keeps its outputs.

    Each layer that is exactly a torch.nn.Linear, Conv1d/2d/3d or ConvTranspose1d/2d/3d, or masked
    (`wnrepro.nn.masked`), the model itself included, becomes the weight-norm layer of that kind,
    with v = w and g = ‖w‖ (paper eq. 2), so that g·v/‖v‖ is w bit for bit. It remains the same
    object: hooks, flags and other references to it stay. v and g are new parameters, with the
    attributes of the weight: make the optimiser, and wrap the model for several processes,
    afterwards.

    Torch's own weight norm, in both its forms, is taken over: v and g have the values of torch's
    where its g is one per output unit, else w is split; the outputs stay, to rounding.

    Subclasses of torch's layers and layers that are converted already are left alone; so are lazy
    layers that no input has reached, and a bare parameter of another module, such as the
    in_proj_weight of nn.MultiheadAttention or the weights of an nn.LSTM. `torch.fx.symbolic_trace`
    and `torch.jit.script` cannot read the new layers: `fold` before them. So for adapters (LoRA,
    DoRA), which write into a layer's weight when they are merged: into a computed one, in vain.

    Args:
        model: changed in place.
        where: given a layer's name in the model ("" for the model itself) and the layer; only
            layers for which it returns True are converted. None means all.
        g: where it starts. "norm": ‖w‖, or torch's own g. A number: every entry of g is that, so
            that every weight vector has this length and the outputs change; v stays w. With 1 a
            network starts as the layers of `wnrepro.nn.NormalizedLayer` do.

    Returns:
        model.

    Raises (nothing has been changed then):
        ValueError: g is negative, NaN or more than a layer's dtype holds; or the weight of a
            selected layer is shared with another module, which would part the two; or it is not a
            plain parameter (another parametrization, spectral norm or pruning), or has another
            layer's shape; or it has hooks, which would be lost; or the model holds a
            DistributedDataParallel, FullyShardedDataParallel or what `fully_shard` has sharded,
            which know the old parameters.
        TypeError: the weight of a selected layer is sparse, or of a subclass of torch's tensor, or
            not of a real floating-point type (float16 to float64); or g is neither "norm" nor a
            number.
    """
    if g != "norm":
        if isinstance(g, bool) or not isinstance(g, Real):
            raise TypeError(f'g must be "norm" or a number, not {g!r}')
        if not 0 <= g < math.inf:
            raise ValueError(f'g must be "norm" or a finite number of 0 or more, not {g!r}')
    refuse_wrapped(model)
    chosen = []
    owners: dict[tuple[str, ...], list[tuple[str, nn.Module]]] = {}
    for name, module in model.named_modules():
        kind = _plain_kind(module)
        if kind is None or (where is not None and not where(name, module)):
            continue
        owner, *keys = torch_weight_norm.find(module) or (module, "weight")
        for key in keys:
            refuse_special(name, module, key, owner._parameters.get(key))
        parameters = [cast(nn.Parameter, owner._parameters[key]) for key in keys]
        if g != "norm" and g > torch.finfo(parameters[0].dtype).max:
            raise ValueError(f"{called(name, module)}: its {parameters[0].dtype} cannot hold g={g}")
        refuse_shape(name, module, *parameters)
        if owner is module and keys == ["weight"] and type(module) is not kind:
            raise ValueError(f"{called(name, module)}: its bias has a torch parametrization")
        owners.setdefault(tuple(keys), []).append((name, owner))
        chosen.append((module, _WEIGHT_NORM[kind], parameters))
    for keys, layers in owners.items():
        refuse_shared(model, layers, keys)
    with torch.inference_mode(False):  # in it, the new parameters could never learn
        for module, kind, parameters in chosen:
            if len(parameters) == 2:
                torch_weight_norm.take_off(module)
            module.__class__ = kind
            if len(parameters) == 2:
                torchs_g, v = parameters
                module.take_over(v, torchs_g)
            else:
                module.replace_weight(*parameters)
            if g != "norm":
                set_in_place(module, "g", torch.full_like(module.g, float(g)))
    return model


def fold(model: Model) -> Model:
    """Takes weight norm off a model and keeps its outputs: the inverse of `convert`.

    Each weight-norm layer, the model itself included, becomes torch's layer of that kind with the
    parameter weight = g·v/‖v‖ (paper eq. 2), which needs a gradient if v or g did, and has their
    attributes. It remains the same object.

    Args:
        model: changed in place.

    Returns:
        model.

    Raises (nothing has been changed then):
        ValueError: v or g is shared with another module, which would part the two; or it is
            pruned or has hooks, which would be lost; or the layer is of a subclass or carries a
            torch parametrization; or the model holds a wrapper as in `convert`.
        TypeError: v or g is of a subclass of torch's tensor.
    """
    refuse_wrapped(model)
    chosen = []
    for name, module in model.named_modules():
        if not isinstance(module, WeightNormLayer):
            continue
        if type(module) not in _WEIGHT_NORM.values():
            raise ValueError(
                f"{called(name, module)}: no plain torch layer does what this subclass of "
                f"{module.plain.__name__} with weight norm does"
            )
        for key in ("v", "g"):
            refuse_special(name, module, key, module._parameters.get(key))
        chosen.append((name, module))
    refuse_shared(model, chosen, ("v", "g"))
    with torch.inference_mode(False), torch.no_grad():  # in the first, it could never learn
        for _, module in chosen:
            learns = module.v.requires_grad or module.g.requires_grad
            weight = nn.Parameter(module.weight_of(module.v, module.g), learns)
            vars(weight).update(vars(module.g) | vars(module.v))
            rest = {name: p for name, p in module._parameters.items() if name not in ("v", "g")}
            module.__class__ = module.plain
            module.__dict__["_parameters"] = {"weight": weight} | rest
    return model


@torch.no_grad()
def torch_state_dict(model: nn.Module, spelling: Spelling = "weight") -> dict[str, Tensor]:
    """The state dict of a model with its weight-norm layers spelled as torch spells them.

    A model of plain torch layers (`"weight"`), one under `torch.nn.utils.weight_norm`
    (`"weight_g"`) or one under `torch.nn.utils.parametrizations.weight_norm`
    (`"parametrizations"`) loads it with strict=True and has the same outputs. Torch's weight norm
    needs `dim=1` on a transposed convolution, and the default `dim=0` on all others. The models
    of this package load every spelling.

    Args:
        model: not changed.
        spelling: of each layer's weight: `weight`; `weight_g` and `weight_v`; or
            `parametrizations.weight.original0` and `parametrizations.weight.original1`.

    Returns:
        A new dict. A v of norm 0, which torch would turn into NaN, is given a direction and g = 0;
        so is one whose squares overflow, where w is 0 here and in torch.

    Raises:
        ValueError: another spelling; or a transposed convolution with groups > 1, whose g per
            output unit only `"weight"` can say; or a layer whose v or g is pruned or has a torch
            parametrization, which no spelling can say; or one whose v and g are not in the
            model's state dict, as under FullyShardedDataParallel.
    """
    if spelling not in get_args(Spelling):
        raise ValueError(
            f"spelling must be one of {', '.join(get_args(Spelling))}, got {spelling!r}"
        )
    state = model.state_dict(keep_vars=True)
    respelled: dict[str, dict[str, Tensor]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, WeightNormLayer):
            for prefix in _prefixes(name, module, state):
                v, g = (state[prefix + key].detach() for key in ("v", "g"))
                spelled = _spell(module, v, g, spelling, name)
                respelled[prefix + "v"] = {prefix + key: t for key, t in spelled.items()}
                respelled[prefix + "g"] = {}
    items = [(key, respelled.get(key, {key: value})) for key, value in state.items()]
    metadata = getattr(state, "_metadata", None)
    state.clear()
    for _, values in items:
        for key, value in values.items():
            state[key] = value.detach() if isinstance(value, Tensor) else value
    if metadata is not None:
        state._metadata = metadata  # pyright: ignore[reportAttributeAccessIssue]
    return state


def _prefixes(name: str, layer: WeightNormLayer, state: dict[str, Any]) -> list[str]:
    """What stands before the layer's v and g in a state dict: a wrapper may have changed it."""
    if is_parametrized(layer, "v") or is_parametrized(layer, "g"):
        raise ValueError(
            f"{called(name, layer)}: its v or g has a torch parametrization: remove that first "
            "(torch.nn.utils.parametrize.remove_parametrizations)"
        )
    found = [key[:-1] for key, value in state.items() if value is layer.v]
    found = found or [f"{name}." if name else ""]
    if not all(prefix + key in state for prefix in found for key in ("v", "g")):
        raise ValueError(
            f"{called(name, layer)}: its v and g are not in the state dict as such: make pruning "
            "permanent (torch.nn.utils.prune.remove), or give the model without its wrapper"
        )
    return found


def _spell(
    layer: WeightNormLayer, v: Tensor, g: Tensor, spelling: Spelling, name: str
) -> dict[str, Tensor]:
    if spelling == "weight":
        return {"weight": layer.weight_of(v, g)}
    shape = layer.torch_g_shape(v.shape)
    if shape is None:
        raise ValueError(
            f"{called(name, layer)}: torch's weight norm has no g per output unit for a "
            "transposed convolution with groups; save it as 'weight'"
        )
    v_by_unit, _, axes = layer._by_unit(v, g)
    length = norm_over(v_by_unit, axes).flatten()
    g = g.masked_fill((length == 0) | length.isinf(), 0).view(shape)
    v, _ = layer.split_weight(v)  # another v where ‖v‖ is 0 or overflows; w is 0 there
    if spelling == "weight_g":
        return {"weight_g": g, "weight_v": v}
    return {"parametrizations.weight.original0": g, "parametrizations.weight.original1": v}


def _plain_kind(module: nn.Module) -> type[nn.Module] | None:
    """Which of torch's layers the module is, under a parametrization too; None for any other."""
    kind = type(module)
    if is_parametrized(module):
        kind = kind.__bases__[0]  # torch gives the parametrized module a class of its own
    return kind if kind in _WEIGHT_NORM else None
