"""The arms' layers: one idea, a record for each arm."""

import copy
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.nn import (
    FrozenScale,
    MeanOnlyBatchNorm2d,
    NormalizedLayer,
    Unit,
    WeightNormConv2d,
    WeightNormConvTranspose2d,
    data_dependent_init,
    fold,
    normalized_layer,
)

LINEAR = {
    "linear": (lambda: nn.Linear(6, 4), (5, 6)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=1), (5, 3, 7)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, stride=2), (5, 3, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(3, 4, 2), (5, 3, 4, 3, 4)),
    "transposed1d": (lambda: nn.ConvTranspose1d(3, 4, 3), (5, 3, 7)),
    "transposed2d": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), (5, 3, 5, 6)),
    "transposed3d": (lambda: nn.ConvTranspose3d(3, 4, 2), (5, 3, 4, 3, 4)),
    "transposed in groups": (lambda: nn.ConvTranspose2d(6, 4, 3, groups=2), (5, 6, 5, 6)),
}
TAKES_INIT = [arm.id for arm in ARMS.values() if arm.takes_init]


def test_every_arm_has_a_layer_and_the_paper_has_five() -> None:
    assert set(PAPER_ARMS) < set(ARMS)
    assert PAPER_ARMS == ("plain", "wn", "bn", "mean_only_bn", "wn_mean_only_bn")
    assert Unit is NormalizedLayer
    for arm in ARMS:
        assert NormalizedLayer(arm, nn.Linear(2, 2)).arm == arm


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("arm", ARMS)
def test_a_layer_maps_and_learns_on_every_linear_map(arm: str, kind: str) -> None:
    make, shape = LINEAR[kind]
    layer = NormalizedLayer(arm, make(), nn.LeakyReLU(0.1))
    plain = make()
    x = torch.randn(shape)
    y = layer(x)
    assert y.shape == plain(x).shape
    y.square().sum().backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name


@pytest.mark.parametrize("arm", ["plain", "wn", "mean_only_bn", "wn_mean_only_bn"])
def test_arms_start_from_the_same_weights(arm: str) -> None:
    x = torch.randn(50, 3, 8, 8, dtype=torch.float64)
    v = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    layer = NormalizedLayer(arm, nn.Conv2d(3, 4, 3).double())
    layer.start_from_(v)
    t = nn.functional.conv2d(x, v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
    if "mean_only" in arm:
        t = t - t.mean((0, 2, 3), keepdim=True)
    torch.testing.assert_close(layer(x), t)


def test_starting_weights_come_from_the_generator_alone() -> None:
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(draws.__len__())
        layer = NormalizedLayer(
            "wn", nn.Linear(200, 100), generator=torch.Generator().manual_seed(seed)
        )
        draws.append(layer.v.detach().clone())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].std().item() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("kind", ["linear", "conv2d", "transposed in groups"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_layer_that_has_run_starts_again_as_a_new_one(arm: str, kind: str) -> None:
    make, shape = LINEAR[kind]
    used, new = (NormalizedLayer(arm, make()) for _ in range(2))
    used(torch.randn(shape) * 3 + 1)
    v, g, b = torch.randn(new.v.shape), 1 + torch.rand(new.b.shape), torch.randn(new.b.shape)
    x = torch.randn(shape)
    for values in ((v,), (v, g), (v, g, b)):
        for layer in (used, new):
            layer.start_from_(*values)
        assert torch.equal(used.eval()(x), new.eval()(x))
    used.train()(x)
    for layer in (used, new):
        layer.reset_parameters(torch.Generator().manual_seed(0))
    assert torch.equal(used.eval()(x), new.eval()(x))


@pytest.mark.parametrize("arm", ["plain", "wn", "mean_only_bn", "wn_mean_only_bn"])
def test_v_g_and_b_are_set_in_one_call(arm: str) -> None:
    x, v = torch.randn(50, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    g, b = torch.rand(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    layer = NormalizedLayer(arm, nn.Linear(6, 4).double())
    layer.start_from_(v, g=g, b=b)
    t = x @ (g[:, None] * v / v.norm(dim=1, keepdim=True)).T
    if "mean_only" in arm:
        t = t - t.mean(0)
    torch.testing.assert_close(layer(x), t + b)
    layer.start_from_(v, g=v.norm(dim=1))
    weight = layer.linear.weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(weight, v)


def test_g_and_b_of_a_normaliser_are_set_where_they_are() -> None:
    v, g, b = torch.randn(4, 6), torch.rand(4), torch.randn(4)
    for arm in ("bn", "layer_norm", "plain_frozen_scale"):
        layer = NormalizedLayer(arm, nn.Linear(6, 4))
        layer.start_from_(v, g, b)
        assert layer.g is not None
        for own, given in ((layer.v, v), (layer.g, g), (layer.b, b)):
            assert torch.equal(own, given)


@pytest.mark.parametrize("arm", ARMS)
def test_nothing_is_rounded_without_a_word(arm: str) -> None:
    layer = NormalizedLayer(arm, nn.Linear(6, 4))
    before = copy.deepcopy(layer.state_dict())
    v, one = torch.randn(4, 6), torch.ones(4)
    wrong = [
        ("v is torch.float64, the layer torch.float32", (v.double(), one, one)),
        ("g is torch.float64", (v, one.double(), one)),
        ("b is torch.complex64", (v, one, one.to(torch.complex64))),
    ]
    for message, values in wrong:
        with pytest.raises(TypeError, match=message):
            layer.start_from_(*values)
    with pytest.raises(ValueError, match=r"g has shape \(6,\), the layer \(4,\)"):
        layer.start_from_(v, torch.ones(6))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    layer.start_from_(v.bfloat16(), one.long())  # holds each of them
    layer.double().start_from_(v)


def test_running_averages_have_a_name() -> None:
    has = {"running_mean": {"bn", "mean_only_bn", "wn_mean_only_bn"}, "running_var": {"bn"}}
    for arm in ARMS:
        layer = NormalizedLayer(arm, nn.Linear(6, 4))
        for name, arms in has.items():
            average = getattr(layer, name)
            assert (average is not None) == (arm in arms)
            assert average is getattr(layer.normaliser, name, None)


def test_v_g_and_b_are_the_papers_names_in_every_arm() -> None:
    for arm in ARMS:
        layer = NormalizedLayer(arm, nn.Conv2d(3, 4, 3))
        assert layer.v.shape == (4, 3, 3, 3)
        assert layer.b.shape == (4,)
        assert (layer.g is None) == (arm in ("plain", "mean_only_bn"))


def test_a_wn_layer_holds_a_weight_norm_layer_that_folds_away() -> None:
    layer = NormalizedLayer("wn", nn.Conv2d(3, 4, 3))
    assert isinstance(layer.linear, WeightNormConv2d)
    x = torch.randn(2, 3, 5, 5)
    folded = fold(copy.deepcopy(layer))
    assert type(folded.linear) is nn.Conv2d
    torch.testing.assert_close(folded(x), layer(x))


@pytest.mark.parametrize("arm", ARMS)
def test_layers_can_be_copied_and_pickled(arm: str) -> None:
    layer = NormalizedLayer(arm, nn.Linear(5, 4), nn.LeakyReLU(0.1))
    x = torch.randn(8, 5)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301
        assert torch.equal(twin(x), layer(x))


@pytest.mark.parametrize("arm", ARMS)
def test_a_linear_map_without_a_bias_has_none_unless_a_normaliser_does(arm: str) -> None:
    layer = NormalizedLayer(arm, nn.Linear(5, 4, bias=False))
    assert (layer.b is None) == (ARMS[arm].normaliser is None)
    layer.reset_parameters()
    layer.start_from_(torch.randn(4, 5))
    assert layer(torch.randn(8, 5)).shape == (8, 4)


def test_what_a_layer_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown arm 'nothing'; choose from plain"):
        NormalizedLayer("nothing", nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"Bilinear is none of Linear, .*ConvTranspose3d"):
        NormalizedLayer("wn", nn.Bilinear(2, 2, 2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        NormalizedLayer("wn", nn.Linear(2, 2)).start_from_(torch.randn(2, 3))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("places", [(4,), (2, 3)])
def test_every_vector_is_an_example_to_a_linear_layer(arm: str, places: tuple[int, ...]) -> None:
    layer = NormalizedLayer(arm, nn.Linear(6, 4), nn.LeakyReLU(0.1))
    x = torch.randn(5, *places, 6)
    torch.testing.assert_close(
        layer(x), copy.deepcopy(layer)(x.flatten(0, -2)).reshape(5, *places, 4)
    )


def test_a_layer_under_a_parametrization_is_set_through_it() -> None:
    class Doubled(nn.Module):
        def forward(self, half: torch.Tensor) -> torch.Tensor:
            return 2 * half

        def right_inverse(self, whole: torch.Tensor) -> torch.Tensor:
            return whole / 2

    for arm in ARMS:
        layer = NormalizedLayer(arm, nn.Linear(6, 4))
        linear = layer.linear
        parametrize.register_parametrization(linear, "v" if "wn" in arm else "weight", Doubled())
        owner = linear if layer.linear.bias is not None else layer.normaliser
        parametrize.register_parametrization(owner, "bias", Doubled())
        nn.init.ones_(owner.get_parameter("parametrizations.bias.original"))
        expected = NormalizedLayer(arm, nn.Linear(6, 4))
        v = torch.randn(4, 6)
        given = v.clone()
        for each in (layer, expected):
            each.start_from_(v)
        x = torch.randn(5, 6)
        torch.testing.assert_close(layer(x), expected(x))
        nn.init.zeros_(next(linear.parameters()))
        assert torch.equal(v, given)


def test_frozen_scale_checks_its_input_and_keeps_its_dtype() -> None:
    for shape in ((3,), (5, 4), (5, 4, 3)):
        with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
            FrozenScale(3)(torch.randn(shape))
    with torch.autocast("cpu", torch.bfloat16):
        dtypes = {NormalizedLayer(arm, nn.Linear(6, 4))(torch.randn(5, 6)).dtype for arm in ARMS}
    assert dtypes == {torch.bfloat16}


def transposed(groups: int = 1) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(6, 4, 3, stride=2, groups=groups).double()


def unit_of(v: torch.Tensor, unit: int, groups: int) -> torch.Tensor:
    """The weights of one output channel, (in/groups, k, k), in what a transposed layer stores."""
    n_in, per_group = v.shape[0] // groups, v.shape[1]
    group = unit // per_group
    return v[group * n_in : (group + 1) * n_in, unit % per_group]


@pytest.mark.parametrize("groups", [1, 2])
def test_the_units_of_a_transposed_convolution_are_its_output_channels(groups: int) -> None:
    v = torch.randn(6, 4 // groups, 3, 3, dtype=torch.float64)
    for arm in ARMS.values():
        layer = NormalizedLayer(arm.id, transposed(groups))
        layer.start_from_(v)
        assert layer.v.shape == v.shape
        assert layer.b.shape == (4,)
        by_unit = layer.by_unit(layer.v)
        for unit in range(4):
            expected = unit_of(v, unit, groups)
            if arm.start == "unit":
                expected = expected / expected.norm()
            torch.testing.assert_close(by_unit[unit], expected)
            torch.testing.assert_close(unit_of(layer.v, unit, groups), expected)
        if layer.g is not None:
            assert torch.equal(layer.g, torch.ones(4, dtype=v.dtype))


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_wn_starts_as_plains_function(groups: int) -> None:
    v = torch.randn(6, 4 // groups, 3, 3, dtype=torch.float64)
    x = torch.randn(5, 6, 4, 5, dtype=torch.float64)
    plain, wn, mean_only, both = (
        NormalizedLayer(arm, transposed(groups))
        for arm in ("plain", "wn", "mean_only_bn", "wn_mean_only_bn")
    )
    for layer in (plain, wn, mean_only, both):
        layer.start_from_(v)
    assert isinstance(wn.linear, WeightNormConvTranspose2d)
    assert isinstance(both.normaliser, MeanOnlyBatchNorm2d)
    torch.testing.assert_close(wn(x), plain(x))
    torch.testing.assert_close(both(x), mean_only(x))
    for layer in (plain, wn):  # after the init too
        data_dependent_init(layer, x)
    torch.testing.assert_close(wn(x), plain(x))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("arm", TAKES_INIT)
def test_the_init_normalises_transposed_convolutions(arm: str, groups: int) -> None:
    layer = NormalizedLayer(arm, transposed(groups), nn.Identity())
    x = torch.randn(50, 6, 4, 5, dtype=torch.float64) * 3 + 2
    for seed in range(2):  # also from what an init has left, and from other g and b
        data_dependent_init(layer, x + seed)
        var, mean = torch.var_mean(layer(x + seed), (0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
        torch.testing.assert_close(var, torch.ones_like(var), rtol=0, atol=1e-9)


def test_transposed_glorot_weights_have_the_limits_of_their_groups() -> None:
    for groups in (1, 2):
        layer = NormalizedLayer("plain_frozen_scale", nn.ConvTranspose2d(40, 60, 3, groups=groups))
        limit = (6 / ((40 / groups + 60) * 9)) ** 0.5  # as of a convolution from 40 to 60
        assert 0.99 * limit < layer.v.abs().max().item() <= limit


def test_an_arm_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new combination of what is there needs nothing but a record."""
    new = replace(ARMS["wn"], id="wn_layer_norm", normaliser="layer_norm", init_scales=None)
    monkeypatch.setitem(ARMS, new.id, new)
    layer = NormalizedLayer(new.id, nn.Linear(6, 4))
    assert {name for name, _ in layer.named_parameters()} == {
        *("linear.v", "linear.g", "normaliser.g", "normaliser.bias"),
    }


def test_every_word_for_a_normaliser_has_its_class() -> None:
    assert {arm.normaliser for arm in ARMS.values()} - {None} <= set(normalized_layer._NORMALISERS)


def test_the_documented_network_beside_other_code() -> None:
    page = Path(__file__).parents[2] / "docs" / "layers.md"
    (example,) = re.findall(r"```python\n(.*?ARMS.*?)```", page.read_text(), re.DOTALL)
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    exec(example, found)
    scores = found["scores"]
    assert set(scores) == set(ARMS)
    for same in (("plain", "wn"), ("mean_only_bn", "wn_mean_only_bn")):
        torch.testing.assert_close(*(scores[arm] for arm in same), rtol=1e-3, atol=1e-4)
    for arm in TAKES_INIT:
        assert scores[arm].var(0, correction=0).mean().item() == pytest.approx(1, abs=1e-3)
