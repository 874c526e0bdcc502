"""Every parameter is in one of the two groups, and v and g in the one that was chosen."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from wnrepro.nn import WeightNormLinear, convert, parameter_groups


def names(model: nn.Module, **choice: bool) -> list[list[str]]:
    called = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, 0.1, **choice)
    assert [group["weight_decay"] for group in groups] == [0.1, 0]
    found = [[called[id(p)] for p in group["params"]] for group in groups]
    assert sorted([*found[0], *found[1]]) == sorted(called.values())
    return found


def network() -> Any:
    """A plain layer, a converted one, and one whose weight is the first one's."""
    model = nn.Sequential(nn.Linear(4, 4), WeightNormLinear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    model[3].weight = model[0].weight
    return model


@pytest.mark.parametrize("decay_v", [False, True])
@pytest.mark.parametrize("decay_g", [False, True])
def test_v_and_g_are_decayed_as_chosen(decay_v, decay_g):
    decayed, rest = names(network(), decay_v=decay_v, decay_g=decay_g)
    assert ("1.v" in decayed, "1.g" in decayed) == (decay_v, decay_g)
    assert set(decayed) - {"1.v", "1.g"} == {"0.weight"}
    assert set(rest) - {"1.v", "1.g"} == {"0.bias", "1.bias", "2.weight", "2.bias", "3.bias"}


def test_the_default_decays_w_as_a_plain_layers_is():
    plain: Any = nn.Linear(4, 3)
    layer: Any = convert(nn.Linear(4, 3))
    layer.load_state_dict(plain.state_dict())
    for model in (plain, layer):
        optimiser = torch.optim.SGD(parameter_groups(model, 0.5), lr=0.1)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
    assert not torch.equal(layer.weight, layer.v)
    torch.testing.assert_close(layer.weight, plain.weight)
    assert torch.equal(layer.bias, plain.bias)


def test_marked_frozen_parametrized_and_pruned_parameters():
    model: Any = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
    model[0].weight._no_weight_decay = True
    convert(model)
    model[1].g.requires_grad_(False)
    parametrize.register_parametrization(model[2], "v", nn.Identity())
    prune.random_unstructured(model[3], "v", 0.5)
    decayed, rest = names(model)
    assert decayed == ["1.g", "2.g", "3.g"]
    assert {"0.v", "0.g", "1.v", "2.parametrizations.v.original", "3.v_orig"} <= set(rest)
    decayed, _ = names(model, decay_v=True, decay_g=False)
    assert decayed == ["1.v", "2.parametrizations.v.original", "3.v_orig"]
