"""A model's parameters in the usual two groups: with weight decay and without."""

from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from wnrepro.nn.layers import WeightNormLayer


def parameter_groups(
    model: nn.Module, weight_decay: float, *, decay_v: bool = False, decay_g: bool = True
) -> list[dict[str, Any]]:
    """Two parameter groups for an optimiser of torch: with `weight_decay`, and with 0.

    With decay are the parameters of two axes or more, as is usual: weights, not biases or the
    scales of normalisers. Of a weight-norm layer v and g are as one chooses. ‖w‖² is the sum of g²
    (paper eq. 2), so the default, g alone, is the decay that a plain layer's w has. Decay of v
    leaves w as it is; it keeps ‖v‖ from growing, and with it the effective learning rate from
    falling (paper, sec. 2.1). A parameter with `_no_weight_decay` set to true has none.

    Every parameter is in one of the groups, once, frozen ones too, so that none is forgotten.

    Args:
        model: not changed.
        weight_decay: of the first group.
        decay_v: whether the v of weight-norm layers are in the first group.
        decay_g: likewise for their g.
    """
    chosen: dict[int, bool] = {}
    for layer in model.modules():
        if isinstance(layer, WeightNormLayer):
            for name, decay in (("v", decay_v), ("g", decay_g)):
                parametrized = is_parametrized(layer, name)
                owner: Any = layer  # so that its parametrizations have types
                owner = owner.parametrizations[name] if parametrized else owner
                for key, parameter in owner.named_parameters(recurse=parametrized):
                    if parametrized or key in (name, f"{name}_orig"):  # the second if pruned
                        chosen[id(parameter)] = decay
    groups = ([], [])
    for parameter in model.parameters():
        decay = chosen.get(id(parameter), parameter.ndim > 1)
        decay = decay and not getattr(parameter, "_no_weight_decay", False)
        groups[0 if decay else 1].append(parameter)
    return [
        {"params": groups[0], "weight_decay": weight_decay},
        {"params": groups[1], "weight_decay": 0.0},
    ]
