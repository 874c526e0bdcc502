"""convert takes over a model that has torch's own weight norm, in both its forms."""

import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from wnrepro.nn.convert import convert, fold
from wnrepro.nn.layers import WeightNormLayer, WeightNormLinear

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
FORMS = [nn.utils.weight_norm, parametrizations.weight_norm]
both_forms = pytest.mark.parametrize("wrap", FORMS, ids=["hook", "parametrization"])
LAYERS: list[tuple[Any, tuple[int, ...]]] = [
    (lambda: nn.Linear(4, 6), (2, 4)),
    (lambda: nn.Conv1d(4, 6, 3, groups=2, bias=False), (2, 4, 5)),
    (lambda: nn.Conv2d(4, 6, 3), (2, 4, 5, 5)),
    (lambda: nn.ConvTranspose1d(4, 6, 3), (2, 4, 5)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
]


def perturb(model: nn.Module) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) / 3)
    return model


@both_forms
@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[f"{make()}" for make, _ in LAYERS])
def test_with_the_same_outputs_and_parameters(make, shape, dim, wrap):
    kind, ndim = type(make()), make().weight.ndim
    if dim is not None and dim >= ndim:
        return
    theirs = perturb(wrap(make(), dim=dim))
    x, names = torch.randn(shape), [name for name, _ in make().named_parameters()]
    expected, state = theirs(x), list(theirs.state_dict().values())
    g, v = state[-2:]
    ours: Any = convert(theirs)
    assert ours is theirs
    assert isinstance(ours, WeightNormLayer)
    assert [name for name, _ in ours.named_parameters()] == ["v", "g", *names[1:]]
    torch.testing.assert_close(ours(x), expected)
    per_unit = {nn.ConvTranspose1d: 1, nn.ConvTranspose2d: "none with groups"}.get(kind, 0)
    if dim == per_unit:
        assert torch.equal(ours.v, v)
        assert torch.equal(ours.g, g.flatten())
    again = pickle.loads(pickle.dumps(ours))  # noqa: S301
    torch.testing.assert_close(again(x), expected)
    ours(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in ours.parameters())
    assert type(fold(ours)) is kind
    torch.testing.assert_close(ours(x), expected)


@both_forms
def test_in_a_model_beside_plain_layers_with_flags_and_attributes(wrap):
    def model(wrap=lambda layer: layer):
        return nn.Sequential(nn.Linear(3, 4), wrap(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2))

    theirs = perturb(model(wrap))
    g, v = list(theirs[1].parameters())[-2:]
    v.requires_grad_(False)
    g.note = "of g"
    x = torch.randn(2, 3)
    expected, state = theirs(x), theirs.state_dict()
    calls = []
    theirs[1].register_forward_pre_hook(lambda module, args: calls.append(type(module)))
    ours: Any = convert(theirs)
    torch.testing.assert_close(ours(x), expected)
    assert calls == [WeightNormLinear]
    assert [ours[1].v.requires_grad, ours[1].g.requires_grad] == [False, True]
    assert ours[1].g.note == "of g"
    assert not hasattr(ours[1].v, "note")
    other: Any = convert(model())
    other.load_state_dict(state)
    torch.testing.assert_close(other(x), expected)


@both_forms
def test_whatever_more_there_is_is_refused_before_anything_is_changed(wrap):
    def twice(layer: nn.Module) -> None:
        parametrize.register_parametrization(layer, "weight", nn.Identity())

    def bias(layer: nn.Module) -> None:
        parametrize.register_parametrization(layer, "bias", nn.Identity())

    def hooked(layer: nn.Module) -> None:
        list(layer.parameters())[-1].register_hook(lambda grad: 2 * grad)

    def tied(layer: nn.Module) -> None:
        layer.other = nn.Linear(4, 4)
        layer.other.bias = list(layer.parameters())[2]

    def sharded(layer: nn.Module) -> None:
        list(layer.parameters())[1].data = torch.zeros(2, 1)

    for change in (twice, bias, hooked, tied, sharded):
        if change is twice and wrap is nn.utils.weight_norm:
            continue
        model = nn.Sequential(nn.Linear(4, 4), wrap(nn.Linear(4, 4)))
        change(model[1])
        before = [type(each) for each in model.modules()], list(model.state_dict())
        with pytest.raises(ValueError, match=r"'1'|1\."):
            convert(model)
        assert ([type(each) for each in model.modules()], list(model.state_dict())) == before
    assert isinstance(convert(model, lambda name, _: name == "0")[0], WeightNormLinear)


@both_forms
def test_under_inference_mode_it_learns_all_the_same(wrap):
    with torch.inference_mode():
        layer: Any = convert(wrap(nn.Linear(4, 3)))
    layer(torch.randn(2, 4)).square().sum().backward()
    assert layer.v.grad.any()
    assert layer.g.grad.any()
