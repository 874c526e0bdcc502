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
    of torch's layers and layers that have weight norm already are left alone.

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
    """
    chosen = []
    for name, module in model.named_modules():
        kind = _plain_kind(module)
        if kind is None or (where is not None and not where(name, module)):
            continue
        if type(module) is not kind or not isinstance(module._parameters.get("weight"), Tensor):
            raise ValueError(
                f"{_called(name, module)}: its weight is no plain parameter (a torch "
                "parametrization, weight_norm, spectral_norm or pruning?): remove that first, or "
                "leave the layer out by `where`"
            )
        chosen.append((name, module))
    _refuse_shared(model, chosen, ("weight",))
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
    _refuse_shared(model, chosen, ("v", "g"))
    for _, module in chosen:
        weight = nn.Parameter(
            module.weight.detach(), module.v.requires_grad or module.g.requires_grad
        )
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
        A new dict. A v of norm 0, which torch would turn into NaN, is given a direction and g = 0.

    Raises:
        ValueError: another spelling; or a transposed convolution with groups > 1, whose g per
            output unit only `"weight"` can say.
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
    if spelling == "weight":
        return {"weight": layer.weight}
    shape = layer.torch_g_shape()
    if shape is None:
        raise ValueError(
            f"{_called(name, layer)}: torch's weight norm has no g per output unit for a "
            "transposed convolution with groups; save it as 'weight'"
        )
    v, _ = layer.split_weight(layer.v)
    g = layer.g.masked_fill(layer.v_norm == 0, 0).view(shape)
    if spelling == "weight_g":
        return {"weight_g": g, "weight_v": v}
    return {"parametrizations.weight.original0": g, "parametrizations.weight.original1": v}


def _plain_kind(module: nn.Module) -> type[nn.Module] | None:
    """Which of torch's layers the module is, under a parametrization too; None for any other."""
    kind = type(module)
    if is_parametrized(module):
        kind = kind.__bases__[0]  # torch gives the parametrized module a class of its own
    return kind if kind in _WEIGHT_NORM else None


def _refuse_shared(
    model: nn.Module, chosen: list[tuple[str, nn.Module]], names: tuple[str, ...]
) -> None:
    owners: dict[int, list[str]] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                path = f"{prefix}.{name}" if prefix else name
                owners.setdefault(id(parameter), []).append(path)
    for _, module in chosen:
        for name in names:
            shared = owners[id(module._parameters[name])]
            if len(shared) > 1:
                raise ValueError(
                    f"{' and '.join(shared)} are one parameter, and would no longer be: give each "
                    "its own first, or leave the layers as they are"
                )


def _called(name: str, module: nn.Module) -> str:
    return f"{name!r} ({type(module).__name__})" if name else type(module).__name__
