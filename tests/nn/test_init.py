"""Data-dependent init: eq. 5, 6, in anybody's network."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from wnrepro.arms import ARMS
from wnrepro.models import build
from wnrepro.nn import (
    Dropout,
    GaussianNoise,
    MeanOnlyBatchNorm2d,
    NormalizedLayer,
    WeightNormConv2d,
    WeightNormConvTranspose2d,
    WeightNormLinear,
    convert,
    data_dependent_init,
)

INIT_ARMS = ["plain", "plain_frozen_scale", "wn", "mean_only_bn", "wn_mean_only_bn"]


def pre_activations(model: nn.Module, x: Tensor, layers: list[nn.Module]) -> list[Tensor]:
    """What `layers` give in one forward pass."""
    outputs: list[Tensor] = []
    hooks = [m.register_forward_hook(lambda m, i, o: outputs.append(o)) for m in layers]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return outputs


def assert_normalised(t: Tensor, channel: int = 1, tolerance: float = 1e-9) -> None:
    axes = [a for a in range(t.ndim) if a != channel % t.ndim]
    var, mean = torch.var_mean(t, axes, correction=0)
    assert mean.abs().max() < tolerance
    assert (var - 1).abs().max() < tolerance


@pytest.mark.parametrize("arm", INIT_ARMS)
@pytest.mark.parametrize("depth", [1, 8, 64])
def test_every_pre_activation_is_normalised_at_any_depth(arm: str, depth: int) -> None:
    torch.manual_seed(depth)
    model = build("mlp", arm, (1, 4, 5), 10, width=30, depth=depth).double()
    x = torch.randn(200, 1, 4, 5, dtype=torch.float64) * 3 + 2
    names = data_dependent_init(model, x)
    units = [m for m in model.modules() if isinstance(m, NormalizedLayer)]
    assert len(names) == len(units) == depth + 1
    for t in pre_activations(model, x, [unit.normaliser for unit in units]):
        assert_normalised(t)


@pytest.mark.parametrize("arm", INIT_ARMS)
def test_noise_and_dropout_are_on_and_drawn_again_by_the_next_pass(arm: str) -> None:
    model = build("convpool_cnn_c", arm, (3, 12, 12), 10, width=4).double()
    x = torch.randn(50, 3, 12, 12, dtype=torch.float64)
    data_dependent_init(model, x)
    units = [m for m in model.modules() if isinstance(m, NormalizedLayer)]
    for t in pre_activations(model, x, [unit.normaliser for unit in units]):
        assert_normalised(t)


def test_random_streams_modes_and_running_statistics_are_left_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(
        GaussianNoise(0.5, generator),
        WeightNormConv2d(3, 6, 3, bias=False),
        MeanOnlyBatchNorm2d(6),
        nn.BatchNorm2d(6),
        nn.Dropout(0.5),
        Dropout(0.5, generator),
        WeightNormConv2d(6, 2, 3),
    )
    model[3].eval()
    modes = [m.training for m in model.modules()]
    buffers = {k: v.clone() for k, v in model.named_buffers()}
    before, named = torch.get_rng_state(), generator.get_state()
    data_dependent_init(model, torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, buffers[k]) for k, v in model.named_buffers())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generator.get_state(), named)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_model_in_evaluation_mode_is_initialised_as_such() -> None:
    model = nn.Sequential(nn.Dropout(0.9), WeightNormLinear(5, 4), nn.Dropout(0.9)).double().eval()
    x = torch.randn(30, 5, dtype=torch.float64)
    data_dependent_init(model, x)
    assert not model.training
    assert_normalised(model(x))


class OutOfOrder(nn.Module):
    """Calls its layers in another order than that of their registration; one twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last = WeightNormLinear(6, 3)
        self.unused = WeightNormLinear(6, 3)
        self.shared = WeightNormLinear(6, 6)
        self.first = WeightNormLinear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.shared(x))
        return self.last(torch.relu(self.shared(x)))


def test_layers_are_initialised_in_the_order_in_which_they_are_called() -> None:
    model = OutOfOrder().double()
    unused = copy.deepcopy(model.unused.state_dict())
    x = torch.randn(100, 5, dtype=torch.float64)
    assert data_dependent_init(model, x) == ["first", "shared", "last"]
    first, shared, _, last = pre_activations(model, x, [model.first, model.shared, model.last])
    for t in (first, shared, last):
        assert_normalised(t)
    assert all(torch.equal(v, unused[k]) for k, v in model.unused.state_dict().items())


def test_a_converted_model_and_transposed_convolutions() -> None:
    torch.manual_seed(0)
    model = convert(
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 6, 3, groups=2),
            nn.ReLU(),
            nn.Flatten(2),
            nn.Linear(64, 7),
        )
    ).double()
    x = torch.randn(40, 3, 8, 8, dtype=torch.float64)
    data_dependent_init(model, x)
    assert isinstance(model[2], WeightNormConvTranspose2d)
    conv, transposed, linear = pre_activations(model, x, [model[0], model[2], model[5]])
    assert_normalised(conv)
    assert_normalised(transposed)
    assert_normalised(linear, channel=-1)


def test_it_sets_eq_5_and_6() -> None:
    layer = WeightNormLinear(5, 4).double()
    v = layer.v.detach().clone()
    with torch.no_grad():
        layer.g.fill_(1)
        layer.bias.zero_()
    x = torch.randn(64, 5, dtype=torch.float64)
    data_dependent_init(layer, x)
    t = x @ (v / v.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(layer.g.detach(), 1 / t.std(0, correction=0))
    torch.testing.assert_close(layer.bias.detach(), -t.mean(0) / t.std(0, correction=0))
    assert torch.equal(layer.v, v)


def test_doing_it_twice_changes_nothing() -> None:
    model = build("mlp", "wn", (1, 4, 5), 10, width=16, depth=3).double()
    x = torch.randn(100, 1, 4, 5, dtype=torch.float64)
    data_dependent_init(model, x)
    once = copy.deepcopy(model.state_dict())
    data_dependent_init(model, x)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, once[key])


def test_a_batch_may_be_a_tuple_or_a_mapping() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = WeightNormLinear(5, 4)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.layer(a + b)

    a, b = torch.randn(2, 30, 5, dtype=torch.float64)
    for batch in ((a, b), {"a": a, "b": b}):
        model = Two().double()
        data_dependent_init(model, batch)
        assert_normalised(model(a, b))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e5])
def test_a_constant_unit_is_an_error_that_names_it_and_nothing_changes(value: float) -> None:
    model = nn.Sequential(WeightNormLinear(5, 4), nn.ReLU(), WeightNormLinear(4, 3))
    with torch.no_grad():
        first = model[0].get_parameter("v")
        first[2] = 0
        first[2, 0] = 1
    x = torch.randn(30, 5)
    x[:, 0] = value
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="unit 2 of layer '0' has variance 0"):
        data_dependent_init(model, x)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_an_error_in_a_later_layer_puts_the_earlier_ones_back() -> None:
    model = nn.Sequential(WeightNormLinear(5, 4), nn.Threshold(1e9, 0.0), WeightNormLinear(4, 3))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="unit 0 of layer '2' has variance 0"):
        data_dependent_init(model, torch.randn(30, 5))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_is_not_finite_is_an_error() -> None:
    x = torch.randn(30, 5)
    x[3, 2] = torch.nan
    with pytest.raises(ValueError, match="unit 0 of layer '' has variance not finite"):
        data_dependent_init(WeightNormLinear(5, 4), x)


def test_a_model_without_such_layers_is_an_error() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="nothing to initialise"):
        data_dependent_init(model, torch.randn(30, 5))


@pytest.mark.parametrize("arm", ARMS)
def test_a_loop_over_arms_may_call_it_for_each(arm: str) -> None:
    model = build("mlp", arm, (1, 4, 5), 10, width=8, depth=2)
    before = copy.deepcopy(model.state_dict())
    names = data_dependent_init(model, torch.randn(30, 1, 4, 5))
    changed = any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert (len(names) == 3) == changed == ARMS[arm].takes_init


def test_half_precision_is_normalised_as_well_as_it_can_be() -> None:
    model = build("mlp", "wn", (1, 8, 8), 10, width=32, depth=2)
    x = 7 * torch.randn(500, 1, 8, 8) + 3
    with torch.autocast("cpu", torch.bfloat16):
        data_dependent_init(model, x)
        units = [m for m in model.modules() if isinstance(m, NormalizedLayer)]
        for t in pre_activations(model, x, [unit.normaliser for unit in units]):
            assert_normalised(t.float(), tolerance=0.1)


class Exp(nn.Module):
    """g = e^s (paper, sec. 2)."""

    def forward(self, s: Tensor) -> Tensor:
        return s.exp()

    def right_inverse(self, g: Tensor) -> Tensor:
        return g.log()


def test_a_parametrized_g_and_a_parametrized_weight_are_set() -> None:
    layer = WeightNormLinear(5, 4).double()
    parametrize.register_parametrization(layer, "g", Exp())
    unit = NormalizedLayer("plain", nn.Linear(5, 4).double())
    nn.init.ones_(unit.linear.get_parameter("weight"))
    parametrize.register_parametrization(unit.linear, "weight", Exp())
    x = torch.randn(30, 5, dtype=torch.float64)
    for model in (layer, unit):
        data_dependent_init(model, x)
        assert_normalised(model(x))


@pytest.mark.parametrize(
    "compiled",
    [
        lambda model: torch.compile(model, backend="eager"),
        lambda model: model.compile(backend="eager") or model,
        lambda model: model[0].compile(backend="eager") or model,
    ],
    ids=["torch.compile", "in place", "one layer"],
)
def test_a_compiled_model_that_has_run_is_initialised(compiled) -> None:
    layers = [WeightNormLinear(5, 4).double(), WeightNormLinear(4, 3).double()]
    model = compiled(nn.Sequential(*layers))
    x = torch.randn(30, 5, dtype=torch.float64)
    with torch.no_grad():
        model(x)
    assert len(data_dependent_init(model, x)) == 2
    hidden = layers[0](x)
    assert_normalised(hidden)
    assert_normalised(layers[1](hidden))
    torch.testing.assert_close(model(x), layers[1](hidden))
    torch.compiler.reset()  # torch 2.11 compiles only so many models in one process


@pytest.mark.parametrize("arm", INIT_ARMS)
def test_a_unit_on_sequences_is_normalised_along_its_last_axis(arm: str) -> None:
    unit = NormalizedLayer(arm, nn.Linear(5, 4).double())
    x = torch.randn(30, 4, 5, dtype=torch.float64)  # as many places as units
    data_dependent_init(unit, x)
    assert_normalised(unit(x), channel=-1)


def test_a_lazy_layer_without_an_input_is_refused() -> None:
    model = nn.Sequential(WeightNormLinear(5, 4), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"1\.weight is not there yet .*call the model once first"):
        data_dependent_init(model, torch.randn(30, 5))


def test_a_layer_that_returns_no_tensor_is_named() -> None:
    class Pair(WeightNormLinear):
        def forward(self, input: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
            return input @ self.weight.T, None

    with pytest.raises(TypeError, match=r"layer '0' \(Pair\) returns tuple"):
        data_dependent_init(nn.Sequential(Pair(5, 4)), torch.randn(30, 5))


def test_units_that_are_constant_at_the_start_can_be_left_alone() -> None:
    torch.manual_seed(0)
    first, some, none = nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(4, 3)
    nn.init.zeros_(some.weight[1])
    nn.init.zeros_(none.weight)
    model = convert(nn.Sequential(first, nn.Tanh(), some, nn.Tanh(), none)).double()
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(100, 5, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"unit 1 of layer '2' has variance 0 .*='leave'"):
        data_dependent_init(model, x)
    with pytest.warns(UserWarning, match="data-dependent init") as warned:
        assert data_dependent_init(model, x, constant="leave") == ["0", "2"]
    assert [str(each.message) for each in warned] == [
        "data-dependent init: 1 of 4 units of layer '2' are constant on this batch and were left "
        "alone: 1",
        "data-dependent init: 3 of 3 units of layer '4' are constant on this batch and were left "
        "alone: all",
    ]
    t = model[:3](x)
    assert_normalised(t[:, [0, 2, 3]])
    after = model.state_dict()
    for key in ("4.v", "4.g", "4.bias", "2.v"):
        assert torch.equal(after[key], before[key])
    for key in ("2.g", "2.bias"):
        assert torch.equal(after[key][1], before[key][1])
    with pytest.raises(ValueError, match="not finite"):
        data_dependent_init(model, x / 0, constant="leave")
    with pytest.raises(ValueError, match="constant must be 'refuse' or 'leave', got 'skip'"):
        data_dependent_init(model, x, constant="skip")


@pytest.mark.parametrize("name", ["g", "bias"])
def test_what_would_be_rescaled_twice_is_refused(name: str) -> None:
    model = nn.Sequential(WeightNormLinear(4, 4), WeightNormLinear(4, 4))
    setattr(model[1], name, getattr(model[0], name))
    with pytest.raises(ValueError, match=rf"0\.{name} and 1\.{name} are one parameter"):
        data_dependent_init(model, torch.randn(30, 4))


@pytest.mark.parametrize(("arm", "name"), [("wn", "g"), ("wn", "bias"), ("plain", "weight")])
def test_what_is_computed_from_something_else_is_refused(arm: str, name: str) -> None:
    model = NormalizedLayer(arm, nn.Linear(4, 5))
    prune.random_unstructured(model.linear, name, 0.5)
    with pytest.raises(ValueError, match=f"{name} of layer 'linear' is computed from another"):
        data_dependent_init(model, torch.randn(30, 4))


def test_a_shared_v_is_none_of_its_business() -> None:
    model = nn.Sequential(WeightNormLinear(4, 4), WeightNormLinear(4, 4)).double()
    setattr(model[1], "v", model[0].v)  # noqa: B010
    x = torch.randn(30, 4, dtype=torch.float64)
    data_dependent_init(model, x)
    assert_normalised(model(x))


def test_a_weight_shared_with_another_module_is_refused() -> None:
    unit = NormalizedLayer("plain", nn.Linear(4, 5))
    embedding = nn.Embedding(5, 4)
    embedding.weight = unit.linear.get_parameter("weight")
    model = nn.Sequential(embedding, unit)
    with pytest.raises(ValueError, match=r"0\.weight and 1\.linear\.weight are one parameter"):
        data_dependent_init(model, torch.arange(5))


def test_another_standard_deviation_than_1() -> None:
    layer = WeightNormLinear(5, 3)
    x = 4 * torch.randn(50, 5) + 1
    data_dependent_init(layer, x, std=0.1)
    torch.testing.assert_close(layer(x).std(0, correction=0), torch.full((3,), 0.1))
    torch.testing.assert_close(layer(x).mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="std must be a number above 0, got 0"):
        data_dependent_init(layer, x, std=0)
