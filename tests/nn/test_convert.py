"""convert and fold change how a model is parameterised, and never what it computes."""

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm

from wnrepro.nn.convert import convert, fold, torch_state_dict
from wnrepro.nn.layers import WeightNormConv2d, WeightNormLayer, WeightNormLinear

PLAIN: list[tuple[Any, tuple[int, ...]]] = [
    (lambda: nn.Linear(4, 6), (2, 4)),
    (lambda: nn.Linear(4, 6, bias=False), (2, 4)),
    (lambda: nn.Conv1d(4, 6, 3, groups=2), (2, 4, 5)),
    (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (2, 4, 5, 5)),
    (lambda: nn.Conv3d(4, 6, 2, stride=2, bias=False), (2, 4, 4, 4, 4)),
    (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2), (2, 4, 5)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (2, 4, 5, 5)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), (2, 4, 5, 5)),
    (lambda: nn.ConvTranspose3d(4, 6, 2), (2, 4, 3, 3, 3)),
]
every_layer = pytest.mark.parametrize(
    ("make", "shape"), PLAIN, ids=[f"{make()}" for make, _ in PLAIN]
)


def network() -> Any:
    return nn.Sequential(
        OrderedDict(
            up=nn.ConvTranspose2d(3, 4, 2),
            conv=nn.Conv2d(4, 4, 3, groups=2),
            norm=nn.BatchNorm2d(4),
            body=nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2)),
        )
    )


X = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def perturb(model: nn.Module) -> Any:
    """As after some training: ‖v‖ and g are no longer the same."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def kinds(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules()]


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_convert_and_fold_keep_every_bit_of_the_output(make, shape, dtype):
    layer, x = make().to(dtype), torch.randn(shape, dtype=dtype)
    kind, state = type(layer), copy.deepcopy(layer.state_dict())
    before = layer(x)
    converted = convert(layer)
    assert isinstance(converted, WeightNormLayer)
    assert converted.plain is kind
    assert torch.equal(converted(x), before)
    folded = fold(converted)
    assert type(folded) is kind
    assert torch.equal(folded(x), before)
    assert list(folded.state_dict()) == list(state)
    assert all(torch.equal(folded.state_dict()[key], state[key]) for key in state)
    assert list(dict(folded.named_parameters())) == list(state)


@every_layer
def test_g_may_start_from_a_number(make, shape):
    layer, x = make().double(), torch.randn(shape, dtype=torch.float64)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    before, norms = layer(x), convert(copy.deepcopy(layer)).g
    converted = convert(layer, g=0.3)
    assert converted.g.tolist() == [0.3] * 6
    assert converted.g.requires_grad
    # each unit's output is as before, times what its weight's length has become
    scale = (0.3 / norms).view(-1, *(1,) * (-1 - converted.output_axis))
    torch.testing.assert_close(converted(x), before * scale)


def test_g_from_a_number_takes_torchs_place_and_spares_what_is_not_chosen():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.Linear(4, 5))
    first: Any = model[0]
    second: Any = model[1]
    torchs = first.parametrizations.weight.original1.detach().clone()
    before = second.weight.detach().clone()
    convert(model, lambda name, _: name == "0", g=2)
    first = model[0]
    assert first.g.tolist() == [2.0] * 4
    assert torch.equal(first.v, torchs)
    assert torch.equal(second.weight, before)


@pytest.mark.parametrize(
    ("g", "error", "said"),
    [
        (-1, ValueError, "finite number of 0 or more, not -1"),
        (float("inf"), ValueError, "not inf"),
        (float("nan"), ValueError, "not nan"),
        (1e39, ValueError, r"'0' \(Linear\): its torch.float32 cannot hold g=1e\+39"),
        ("unit", TypeError, "\"norm\" or a number, not 'unit'"),
        (True, TypeError, "not True"),
        (None, TypeError, "not None"),
        (torch.ones(4), TypeError, "not tensor"),
    ],
)
def test_what_g_cannot_start_from_is_refused_before_anything_is_changed(g, error, said):
    model = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(error, match=said) as raised:
        convert(model, g=g)
    assert "\n" not in str(raised.value)
    assert type(model[0]) is nn.Linear


def test_converts_every_layer_of_a_model_and_only_those():
    model = network()
    before = kinds(model)
    y = model.eval()(X)
    assert convert(model) is model
    assert torch.equal(model(X), y)
    layers = [m for m in model.modules() if isinstance(m, WeightNormLayer)]
    assert [m.plain for m in layers] == [nn.ConvTranspose2d, nn.Conv2d, nn.Linear, nn.Linear]
    assert type(model.norm) is nn.BatchNorm2d
    fold(model)
    assert kinds(model) == before
    assert torch.equal(model(X), y)


def test_a_converted_model_learns_as_v_and_g():
    model = convert(network())
    model(X).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    for layer in model.modules():
        if isinstance(layer, WeightNormLinear):  # ∇_v ⟂ v
            assert layer.v.grad is not None
            along = (layer.v.grad * layer.v).sum(1)
            torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-5)


def test_fold_takes_it_off_a_model_that_convert_never_saw():
    model = nn.Sequential(WeightNormConv2d(3, 4, 3), nn.Flatten(), WeightNormLinear(4, 2))
    perturb(model)
    y = model(X)
    assert kinds(fold(model)) == [nn.Sequential, nn.Conv2d, nn.Flatten, nn.Linear]
    assert torch.equal(model(X), y)


def test_twice_is_once():
    model = convert(network())
    layers, parameters = kinds(model), [id(p) for p in model.parameters()]
    convert(model)
    assert kinds(model) == layers
    assert [id(p) for p in model.parameters()] == parameters
    fold(model)
    parameters = [id(p) for p in model.parameters()]
    fold(model)
    assert [id(p) for p in model.parameters()] == parameters


def test_where_selects_by_name_and_layer():
    seen = []

    def where(name: str, layer: nn.Module) -> bool:
        seen.append(name)
        return name.startswith("body") and getattr(layer, "out_features", 0) == 8

    model = convert(network(), where)
    assert seen == ["up", "conv", "body.1", "body.3"]
    chosen = [name for name, m in model.named_modules() if isinstance(m, WeightNormLayer)]
    assert chosen == ["body.1"]
    assert type(convert(nn.Linear(2, 2), lambda name, _: name == "")) is WeightNormLinear


def test_hooks_flags_mode_and_references_survive():
    model = network().eval()
    layer = model.body[3]
    layer.bias.requires_grad_(False)
    model.conv.weight.requires_grad_(False)
    layer.note = "kept"
    calls = []
    handle = layer.register_forward_hook(lambda module, args, out: calls.append(type(module)))
    convert(model)
    assert model.body[3] is layer
    model(X)
    fold(model)
    model(X)
    assert calls == [WeightNormLinear, nn.Linear]
    handle.remove()
    convert(model)(X)
    assert len(calls) == 2
    assert layer.note == "kept"
    assert not layer.training
    assert [layer.v.requires_grad, layer.g.requires_grad, layer.bias.requires_grad] == [1, 1, 0]
    assert not model.conv.v.requires_grad
    assert not model.conv.g.requires_grad
    fold(model)
    assert layer.weight.requires_grad
    assert not model.conv.weight.requires_grad


def test_device_and_memory_format_survive():
    model = convert(network().to("meta"))
    assert {p.device.type for p in model.parameters()} == {"meta"}
    model = convert(network().to(memory_format=torch.channels_last))
    assert model.conv.v.is_contiguous(memory_format=torch.channels_last)
    fold(model)
    assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_layer_under_two_names_stays_one_layer():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    x = torch.randn(2, 4)
    y = model(x)
    convert(model)
    assert model[0] is model[2]
    assert len(list(model.parameters())) == 3
    assert torch.equal(model(x), y)
    fold(model)
    assert model[0] is model[2]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.first = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight


def test_tied_weights_are_refused_before_anything_is_changed():
    model = Tied()
    state = list(model.state_dict())
    with pytest.raises(ValueError, match=r"embedding\.weight and head\.weight are one parameter"):
        convert(model)
    assert list(model.state_dict()) == state
    convert(model, lambda name, _: name == "first")
    assert model.head.weight is model.embedding.weight
    model = convert(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)))
    model[0].v = model[1].v
    with pytest.raises(ValueError, match=r"0\.v and 1\.v are one parameter"):
        fold(model)
    assert kinds(model) == [nn.Sequential, WeightNormLinear, WeightNormLinear]


@pytest.mark.filterwarnings("ignore:.*spectral_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.orthogonal,
        spectral_norm,
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    ],
)
def test_a_weight_that_is_computed_already_is_refused(wrap):
    model = nn.Sequential(nn.Linear(4, 4), wrap(nn.Linear(4, 4)))
    before = kinds(model)
    with pytest.raises(ValueError, match=r"'1' .*: its weight is no plain parameter"):
        convert(model)
    assert kinds(model) == before
    assert kinds(convert(model, lambda name, _: name == "0"))[1] is WeightNormLinear


def test_subclasses_of_torchs_layers_are_left_alone():
    attention = nn.MultiheadAttention(4, 2)
    before = kinds(attention)
    assert kinds(convert(attention)) == before


def test_fold_refuses_what_no_plain_layer_does():
    class Loud(WeightNormLinear):
        pass

    model = nn.Sequential(WeightNormLinear(2, 2), Loud(2, 2))
    with pytest.raises(ValueError, match=r"'1' .Loud.: no plain torch layer"):
        fold(model)
    model = nn.Sequential(WeightNormLinear(2, 2))
    parametrize.register_parametrization(model[0], "bias", nn.Identity())
    with pytest.raises(ValueError, match="no plain torch layer"):
        fold(model)
    assert isinstance(model[0], WeightNormLinear)


def test_a_tensor_of_zeros_and_a_nearly_dead_unit_keep_their_outputs():
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight[0] = 0
        layer.weight[1] = 1e-30
    x = torch.randn(2, 4)
    y = layer(x)
    assert torch.equal(convert(layer)(x), y)


@every_layer
def test_the_plain_spelling_is_loaded_by_torchs_layer(make, shape):
    ours = perturb(convert(make()))
    plain = make()
    plain.load_state_dict(torch_state_dict(ours, "weight"), strict=True)
    x = torch.randn(shape)
    assert torch.equal(plain(x), ours(x))


def test_a_whole_model_is_saved_without_its_outputs_changing():
    ours = perturb(convert(network())).eval()
    own = {key: tensor.clone() for key, tensor in ours.state_dict().items()}
    state = torch_state_dict(ours)
    theirs = network().eval()
    assert list(state) == list(theirs.state_dict())
    assert not any(tensor.requires_grad for tensor in state.values())
    theirs.load_state_dict(state)
    assert torch.equal(theirs(X), ours(X))
    assert all(torch.equal(tensor, own[key]) for key, tensor in ours.state_dict().items())
    with pytest.raises(ValueError, match="spelling must be one of weight, weight_g, param"):
        torch_state_dict(ours, "original")  # pyright: ignore[reportArgumentType]


def test_a_layer_under_two_names_is_saved_under_both():
    shared = perturb(convert(nn.Linear(4, 4)))
    plain = nn.Linear(4, 4)
    theirs = nn.Sequential(plain, plain)
    theirs.load_state_dict(torch_state_dict(nn.Sequential(shared, shared)))
    assert torch.equal(plain.weight, shared.weight)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_a_weight_of_another_kind_of_number_is_refused_before_anything_is_changed(dtype):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4))
    model[1].weight = nn.Parameter(torch.zeros(4, 4, dtype=dtype))
    with pytest.raises(TypeError, match=rf"'1' \(Linear\): its weight .*not {dtype}"):
        convert(model)
    assert kinds(model) == [nn.Sequential, nn.Linear, nn.Linear]


def test_under_inference_mode_the_new_parameters_learn_all_the_same():
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    for change in (convert, fold):
        with torch.inference_mode():
            change(layer)
        assert not any(p.is_inference() for p in layer.parameters())
        layer(x).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("name", ["v", "g"])
@pytest.mark.parametrize("spelling", ["weight", "weight_g", "parametrizations"])
def test_no_spelling_says_a_parametrized_layer(name, spelling):
    model = nn.Sequential(WeightNormLinear(2, 2))
    parametrize.register_parametrization(model[0], name, nn.Identity())
    with pytest.raises(ValueError, match=r"'0' .*: its v or g has a torch parametrization"):
        torch_state_dict(model, spelling)


class Masked(Tensor):
    """A subclass of torch's tensor."""


def hooked(weight: Tensor) -> nn.Parameter:
    parameter = nn.Parameter(weight)
    parameter.register_hook(lambda grad: 0 * grad)
    return parameter


def accumulated(weight: Tensor) -> nn.Parameter:
    parameter = nn.Parameter(weight)
    parameter.register_post_accumulate_grad_hook(lambda _: None)
    return parameter


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (lambda w: nn.Parameter(w.to_sparse()), TypeError, "sparse_coo"),
        (lambda w: nn.Parameter(w.to_sparse_csr()), TypeError, "sparse_csr"),
        (lambda w: nn.Parameter(w.as_subclass(Masked)), TypeError, "not Masked"),
        (hooked, ValueError, "has hooks, which would be lost"),
        (accumulated, ValueError, "has hooks, which would be lost"),
    ],
)
def test_what_could_not_be_kept_is_refused_before_anything_is_changed(make, error, what):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4))
    model[1].weight = weight = make(torch.randn(4, 4))
    with pytest.raises(error, match=rf"'1' \(Linear\): its weight .*{what}"):
        convert(model)
    assert kinds(model) == [nn.Sequential, nn.Linear, nn.Linear]
    assert model[1].weight is weight
    assert isinstance(convert(model, lambda name, _: name == "0")[0], WeightNormLinear)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("shape", [(0,), (18,), (3, 3, 1), (4, 3, 1, 1), None])
def test_a_shape_that_no_such_layer_has_is_refused_before_anything_is_changed(shape):
    """As the shards of others' tools have."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ConvTranspose1d(4, 6, 1, groups=2))
    nested = torch.nested.nested_tensor([torch.zeros(4, 3), torch.zeros(2, 3)])
    model[1].weight = nn.Parameter(nested if shape is None else torch.zeros(shape))
    with pytest.raises((ValueError, TypeError), match=r"'1' .*(no such layer has|nested)"):
        convert(model)
    assert kinds(model) == [nn.Sequential, nn.Linear, nn.ConvTranspose1d]


def test_attributes_of_the_weight_are_carried_over_and_back():
    layer: Any = nn.Linear(3, 4)
    layer.weight._no_weight_decay = True
    convert(layer)
    assert layer.v._no_weight_decay
    assert layer.g._no_weight_decay
    layer.g.only_g = 1
    fold(layer)
    assert vars(layer.weight) == {"_no_weight_decay": True, "only_g": 1}


@pytest.mark.parametrize("change", ["prune v", "prune g", "hook on v", "subclass"])
def test_fold_refuses_what_would_be_lost_before_anything_is_changed(change):
    model: Any = convert(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)))
    if change.startswith("prune"):
        prune.random_unstructured(model[1], change[-1], 0.5)
        with pytest.raises(ValueError, match=r"'1' .*not in the state dict as such: make pruning"):
            torch_state_dict(model)
    elif change == "hook on v":
        model[1].v.register_hook(lambda grad: 0 * grad)
    else:
        model[1].v = nn.Parameter(model[1].v.detach().as_subclass(Masked))
    before = kinds(model), list(model.state_dict())
    with pytest.raises((ValueError, TypeError), match=rf"'1' .*its {change[-1]} |'1' .*its v "):
        fold(model)
    assert (kinds(model), list(model.state_dict())) == before
