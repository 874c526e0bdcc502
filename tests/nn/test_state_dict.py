"""Weight-norm layers load torch's spellings of a weight, and are saved in them."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from wnrepro.nn.convert import convert, torch_state_dict
from wnrepro.nn.layers import WeightNormLinear

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

TORCH = {"weight_g": nn.utils.weight_norm, "parametrizations": parametrizations.weight_norm}
KEYS = {
    "weight_g": ("weight_g", "weight_v"),
    "parametrizations": (
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ),
}
every_spelling = pytest.mark.parametrize("spelling", TORCH)

LAYERS: list[tuple[Any, tuple[int, ...]]] = [
    (lambda: nn.Linear(4, 6), (2, 4)),
    (lambda: nn.Linear(4, 1, bias=False), (2, 4)),
    (lambda: nn.Conv1d(4, 6, 3, groups=2), (2, 4, 5)),
    (lambda: nn.Conv2d(4, 6, 3), (2, 4, 5, 5)),
    (lambda: nn.Conv3d(4, 6, 2), (2, 4, 3, 3, 3)),
    (lambda: nn.ConvTranspose1d(4, 6, 3), (2, 4, 5)),
    (lambda: nn.ConvTranspose2d(4, 6, 3), (2, 4, 5, 5)),
    (lambda: nn.ConvTranspose3d(1, 6, 2, bias=False), (2, 1, 3, 3, 3)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
]
every_layer = pytest.mark.parametrize(
    ("make", "shape"), LAYERS, ids=[f"{make()}" for make, _ in LAYERS]
)


def perturb(model: nn.Module) -> Any:
    """As after some training: ‖v‖ and g are no longer the same."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def grouped_transposed(layer: nn.Module) -> bool:
    return isinstance(layer, nn.ConvTranspose2d) and layer.groups > 1


def output_dim(layer: nn.Module) -> int:
    return 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0


@every_layer
@every_spelling
@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_loads_torchs_weight_norm_of_any_dim(make, shape, spelling, dim):
    theirs = perturb(TORCH[spelling](make(), dim=dim))
    ours = convert(make())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))
    per_unit = dim == output_dim(ours) and not grouped_transposed(ours)
    if per_unit:
        state = theirs.state_dict()
        g, v = (state[key] for key in KEYS[spelling])
        assert torch.equal(ours.v, v)
        assert torch.equal(ours.g, g.flatten())


@every_layer
@every_spelling
def test_is_loaded_by_torchs_weight_norm(make, shape, spelling):
    ours = perturb(convert(make()))
    if grouped_transposed(ours):
        with pytest.raises(ValueError, match=r"'0' .*transposed convolution with groups"):
            torch_state_dict(nn.Sequential(ours), spelling)
        return
    theirs = TORCH[spelling](make(), dim=output_dim(ours))
    theirs.load_state_dict(torch_state_dict(ours, spelling), strict=True)
    x = torch.randn(shape)
    torch.testing.assert_close(theirs(x), ours(x))
    assert torch.equal(theirs.state_dict()[KEYS[spelling][1]], ours.v)


@every_layer
def test_loads_a_plain_weight_bit_for_bit(make, shape):
    plain, ours = perturb(make()), convert(make())
    parameters = [id(p) for p in ours.parameters()]
    ours.load_state_dict(plain.state_dict(), strict=True)
    x = torch.randn(shape)
    assert torch.equal(ours(x), plain(x))
    assert [id(p) for p in ours.parameters()] == parameters


@every_spelling
def test_a_whole_model_with_its_other_layers(spelling):
    def model(wrap: Any = lambda layer: layer) -> nn.Sequential:
        first, last = wrap(nn.Conv2d(3, 4, 3)), wrap(nn.Linear(4, 2))
        return nn.Sequential(first, nn.BatchNorm2d(4), nn.Sequential(nn.Flatten(), last)).eval()

    ours, theirs = perturb(convert(model())), model(TORCH[spelling])
    state = torch_state_dict(ours, spelling)
    assert set(state) == set(theirs.state_dict())
    theirs.load_state_dict(state, strict=True)
    x = torch.randn(2, 3, 3, 3)
    torch.testing.assert_close(theirs(x), ours(x))
    again = convert(model())
    again.load_state_dict(theirs.state_dict(), strict=True)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True)
    )


@every_spelling
def test_a_v_of_zeros_is_saved_as_a_weight_of_zeros_that_torch_can_compute(spelling):
    ours: Any = perturb(convert(nn.Linear(4, 3)))
    nn.init.zeros_(ours.v[1])
    theirs = TORCH[spelling](nn.Linear(4, 3))
    theirs.load_state_dict(torch_state_dict(ours, spelling))
    x = torch.randn(2, 4)
    torch.testing.assert_close(theirs(x), ours(x))
    assert ours.v[1].abs().sum() == 0


def test_a_checkpoint_of_another_dtype_is_rounded_as_torch_rounds_it():
    plain, target = perturb(nn.Linear(4, 6).double()), nn.Linear(4, 6)
    ours = convert(nn.Linear(4, 6))
    target.load_state_dict(plain.state_dict())
    ours.load_state_dict(plain.state_dict())
    assert ours.v.dtype == torch.float32
    assert torch.equal(ours.weight, target.weight)


def test_memory_format_of_the_layer_is_kept():
    plain = perturb(nn.Conv2d(4, 6, 3))
    ours: Any = convert(nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last))
    ours.load_state_dict(plain.state_dict())
    assert torch.equal(ours.weight, plain.weight)
    assert ours.v.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("spelling", ["weight", *TORCH])
def test_assign_fills_a_model_on_the_meta_device(spelling):
    source = perturb(convert(nn.Linear(4, 6))).double()
    state = torch_state_dict(source, spelling)
    ours = WeightNormLinear(4, 6, device="meta")
    ours.load_state_dict(state, assign=True)
    assert {p.dtype for p in ours.parameters()} == {torch.float64}
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in ours.parameters())
    torch.testing.assert_close(ours.weight, source.weight)


def test_the_given_state_dict_is_left_as_it_was():
    state = nn.Linear(4, 6).state_dict()
    keys = list(state)
    convert(nn.Linear(4, 6)).load_state_dict(state)
    assert list(state) == keys


V, G, B = torch.ones(6, 4), torch.ones(6, 1), torch.ones(6)
BAD: dict[str, tuple[dict[str, Tensor], list[str]]] = {
    "no weight": ({"bias": B}, ['Missing key(s) in state_dict: "v", "g"']),
    "no bias": ({"weight": V}, ['Missing key(s) in state_dict: "bias"']),
    "v alone": ({"v": V, "bias": B}, ['Missing key(s) in state_dict: "g"']),
    "torch v alone": (
        {"weight_v": V, "bias": B},
        ['Missing key(s) in state_dict: "v", "g"', 'Unexpected key(s) in state_dict: "weight_v"'],
    ),
    "half of two spellings": (
        {"weight_v": V, "parametrizations.weight.original0": G, "bias": B},
        ['Missing key(s) in state_dict: "v", "g"', "weight_v", "original0"],
    ),
    "two spellings": (
        {"weight": V, "weight_g": G, "weight_v": V, "bias": B},
        ['Missing key(s) in state_dict: "v", "g"', '"weight"', '"weight_g"', '"weight_v"'],
    ),
    "own and plain": (
        {"v": V, "g": B, "weight": V, "bias": B},
        ['Unexpected key(s) in state_dict: "weight"'],
    ),
    "wrong own g": ({"v": V, "g": G, "bias": B}, ["size mismatch for g"]),
    "wrong weight": ({"weight": V.T, "bias": B}, ["size mismatch for weight", "[4, 6]", "[6, 4]"]),
    "wrong torch v": (
        {"weight_g": G, "weight_v": V[:, :3], "bias": B},
        ["size mismatch for weight_v", "[6, 3]"],
    ),
    "wrong torch g": (
        {"weight_g": G[:4], "weight_v": V, "bias": B},
        ["size mismatch for weight_g", "[4, 1]", "[6, 1]"],
    ),
    "one torch g": (
        {"weight_g": G[:1], "weight_v": V, "bias": B},
        ["size mismatch for weight_g", "[1, 1]", "[6, 1]"],
    ),
    "flat torch g": ({"weight_g": B, "weight_v": V, "bias": B}, ["size mismatch for weight_g"]),
    "torch g of v's shape": (
        {"parametrizations.weight.original0": V, "parametrizations.weight.original1": V, "bias": B},
        ["size mismatch for parametrizations.weight.original0"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_anything_else_is_torchs_usual_error(case):
    state, complaints = BAD[case]
    layer = WeightNormLinear(4, 6)
    with pytest.raises(RuntimeError, match="Error") as error:
        layer.load_state_dict(state)
    message = str(error.value)
    assert all(complaint in message for complaint in complaints)
    assert ("Missing" in message) == any("Missing" in complaint for complaint in complaints)
    inside = nn.ModuleDict({"layer": layer})
    with pytest.raises(RuntimeError, match=r"layer\.") as error:
        inside.load_state_dict({f"layer.{key}": tensor for key, tensor in state.items()})
    assert str(error.value).count("\n") == message.count("\n")


OWN = ("no bias", "v alone", "own and plain", "wrong own g")


@pytest.mark.parametrize("case", [case for case in BAD if case not in OWN])
def test_no_half_of_a_foreign_weight_is_ever_loaded(case):
    state, complaints = BAD[case]
    layer = WeightNormLinear(4, 6)
    before = copy.deepcopy(layer.state_dict())
    if "size mismatch" in complaints[0]:
        with pytest.raises(RuntimeError, match="size mismatch"):
            layer.load_state_dict(state, strict=False)
    else:
        assert layer.load_state_dict(state, strict=False).missing_keys == ["v", "g"]
    assert torch.equal(layer.v, before["v"])
    assert torch.equal(layer.g, before["g"])


@every_spelling
def test_a_v_whose_squares_overflow_is_saved_as_a_weight_of_zeros_as_it_is(spelling):
    ours: Any = perturb(convert(nn.Linear(4, 3)))
    nn.init.constant_(ours.v[1], 1e20)
    theirs = TORCH[spelling](nn.Linear(4, 3))
    theirs.load_state_dict(torch_state_dict(ours, spelling))
    x = torch.randn(2, 4)
    torch.testing.assert_close(theirs(x), ours(x))


def test_a_float16_v_whose_norm_alone_overflows_keeps_its_g():
    ours: Any = perturb(convert(nn.Linear(4, 3))).half()
    nn.init.constant_(ours.v[1], 6e4)
    assert torch.equal(torch_state_dict(ours, "weight_g")["weight_g"].flatten(), ours.g)


def test_a_parametrized_layer_loads_no_half_of_a_foreign_weight():
    layer: Any = WeightNormLinear(4, 6)
    parametrize.register_parametrization(layer, "g", nn.Identity())
    v = layer.v.detach().clone()
    assert "v" in layer.load_state_dict(nn.Linear(4, 6).state_dict(), strict=False).missing_keys
    assert torch.equal(layer.v, v)


@every_spelling
@every_layer
def test_a_single_g_of_shape_1_as_before_torch_1_13(make, shape, spelling):
    theirs = perturb(TORCH[spelling](make(), dim=None))
    state = theirs.state_dict()
    g = KEYS[spelling][0]
    state[g] = state[g].reshape(1)
    ours = convert(make())
    ours.load_state_dict(state, strict=True)
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))
