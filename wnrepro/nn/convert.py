"""Weight norm on and off an existing model, and its state dict in torch's spellings."""

from collections.abc import Callable
from typing import Literal, TypeVar, get_args

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
from wnrepro.nn.weight_norm import FLOATING, norm_over

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


Model = TypeVar("Model", bound=nn.Module)


def convert(model: Model, where: Callable[[str, nn.Module], bool] | None = None) -> Model:
    """Puts weight norm on the linear and convolution layers of a model, and keeps its outputs.

    Each layer that is exactly a torch.nn.Linear, Conv1d/2d/3d or ConvTranspose1d/2d/3d, the model
    itself included, becomes the weight-norm layer of that kind, with v = w and g = ‖w‖ (paper
    eq. 2), so that g·v/‖v‖ is w bit for bit. It remains the same object: hooks, flags and other
    references to it stay. v and g are new parameters: make the optimiser afterwards. Subclasses
    of torch's layers and layers that have weight norm already are left alone; so are lazy layers
    that no input has reached, and a bare parameter of another module, such as the in_proj_weight
    of nn.MultiheadAttention or the weights of an nn.LSTM. `torch.fx.symbolic_trace` and
    `torch.jit.script` cannot read the new layers: `fold` before them.

    Args:
        model: changed in place.
        where: given a layer's name in the model ("" for the model itself) and the layer; only
            layers for which it returns True are converted. None means all.

    Returns:
        model.

    Raises:
        ValueError: the weight of a selected layer is shared with another module, which would
            part the two; or it is not a plain parameter (torch's parametrizations, its older
            weight norm, spectral norm or pruning). Nothing has been changed then.
        TypeError: the weight of a selected layer is not of a real floating-point type (float16 to
            float64). Nothing has been changed then.
    """
    chosen = []
    for name, module in model.named_modules():
        kind = _plain_kind(module)
        if kind is None or (where is not None and not where(name, module)):
            continue
        weight = module._parameters.get("weight")
        if type(module) is not kind or not isinstance(weight, Tensor):
            raise ValueError(
                f"{_called(name, module)}: its weight is no plain parameter (a torch "
                "parametrization, weight_norm, spectral_norm or pruning?): remove that first, or "
                "leave the layer out by `where`"
            )
        if weight.dtype not in FLOATING:
            raise TypeError(
                f"{_called(name, module)}: its weight must be of a real floating-point type "
                f"(float16 to 64), not {weight.dtype}: leave the layer out by `where`"
            )
        chosen.append((name, module))
    refuse_shared(model, chosen, ("weight",))
    with torch.inference_mode(False):  # in it, the new parameters could never learn
        for _, module in chosen:
            weight = module._parameters["weight"]
            module.__class__ = _WEIGHT_NORM[type(module)]
            assert isinstance(module, WeightNormLayer)
            module.replace_weight(weight)
    return model


def fold(model: Model) -> Model:
    """Takes weight norm off a model and keeps its outputs: the inverse of `convert`.

    Each weight-norm layer, the model itself included, becomes torch's layer of that kind with the
    parameter weight = g·v/‖v‖ (paper eq. 2), which needs a gradient if v or g did. It remains the
    same object.

    Args:
        model: changed in place.

    Returns:
        model.

    Raises:
        ValueError: v or g is shared with another module, which would part the two; or the layer
            is of a subclass or carries a torch parametrization. Nothing has been changed then.
    """
    chosen = []
    for name, module in model.named_modules():
        if not isinstance(module, WeightNormLayer):
            continue
        if type(module) not in _WEIGHT_NORM.values():
            raise ValueError(
                f"{_called(name, module)}: no plain torch layer does what this subclass of "
                f"{module.plain.__name__} with weight norm does"
            )
        chosen.append((name, module))
    refuse_shared(model, chosen, ("v", "g"))
    with torch.inference_mode(False), torch.no_grad():  # in the first, it could never learn
        for _, module in chosen:
            learns = module.v.requires_grad or module.g.requires_grad
            weight = nn.Parameter(module.weight, learns)
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
            output unit only `"weight"` can say; or a layer whose v or g has a torch
            parametrization, which no spelling can say.
    """
    if spelling not in get_args(Spelling):
        raise ValueError(
            f"spelling must be one of {', '.join(get_args(Spelling))}, got {spelling!r}"
        )
    state = model.state_dict()
    respelled: dict[str, dict[str, Tensor]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, WeightNormLayer):
            prefix = f"{name}." if name else ""
            respelled[prefix + "v"] = {
                prefix + key: tensor for key, tensor in _spell(module, spelling, name).items()
            }
            respelled[prefix + "g"] = {}
    items = [(key, respelled.get(key, {key: tensor})) for key, tensor in state.items()]
    metadata = getattr(state, "_metadata", None)
    state.clear()
    for _, tensors in items:
        state.update(tensors)
    if metadata is not None:
        state._metadata = metadata  # pyright: ignore[reportAttributeAccessIssue]
    return state


def _spell(layer: WeightNormLayer, spelling: Spelling, name: str) -> dict[str, Tensor]:
    if is_parametrized(layer, "v") or is_parametrized(layer, "g"):
        raise ValueError(
            f"{_called(name, layer)}: its v or g has a torch parametrization: remove that first "
            "(torch.nn.utils.parametrize.remove_parametrizations)"
        )
    if spelling == "weight":
        return {"weight": layer.weight}
    shape = layer.torch_g_shape()
    if shape is None:
        raise ValueError(
            f"{_called(name, layer)}: torch's weight norm has no g per output unit for a "
            "transposed convolution with groups; save it as 'weight'"
        )
    v, _ = layer.split_weight(layer.v)  # another v where ‖v‖ is 0 or overflows; w is 0 there
    v_by_unit, _, axes = layer._by_unit(layer.v, layer.g)
    length = norm_over(v_by_unit, axes).flatten()
    g = layer.g.masked_fill((length == 0) | length.isinf(), 0).view(shape)
    if spelling == "weight_g":
        return {"weight_g": g, "weight_v": v}
    return {"parametrizations.weight.original0": g, "parametrizations.weight.original1": v}


def _plain_kind(module: nn.Module) -> type[nn.Module] | None:
    """Which of torch's layers the module is, under a parametrization too; None for any other."""
    kind = type(module)
    if is_parametrized(module):
        kind = kind.__bases__[0]  # torch gives the parametrized module a class of its own
    return kind if kind in _WEIGHT_NORM else None


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


def _called(name: str, module: nn.Module) -> str:
    return f"{name!r} ({type(module).__name__})" if name else type(module).__name__
