"""The arms' units: one idea, six ways."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.nn import FrozenScale, Unit, WeightNormConv2d, fold

LINEAR = {
    "linear": (lambda: nn.Linear(6, 4), (5, 6)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=1), (5, 3, 7)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, stride=2), (5, 3, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(3, 4, 2), (5, 3, 4, 3, 4)),
}


def test_every_arm_has_a_unit_and_the_paper_has_five() -> None:
    assert set(PAPER_ARMS) < set(ARMS)
    assert len(PAPER_ARMS) == 5
    for arm in ARMS:
        assert Unit(arm, nn.Linear(2, 2)).arm == arm


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("arm", ARMS)
def test_a_unit_maps_and_learns_on_every_linear_map(arm: str, kind: str) -> None:
    make, shape = LINEAR[kind]
    unit = Unit(arm, make(), nn.LeakyReLU(0.1))
    plain = make()
    x = torch.randn(shape)
    y = unit(x)
    assert y.shape == plain(x).shape
    y.square().sum().backward()
    for name, p in unit.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name


@pytest.mark.parametrize("arm", ["plain", "wn", "mean_only_bn", "wn_mean_only_bn"])
def test_arms_start_from_the_same_weights(arm: str) -> None:
    x = torch.randn(50, 3, 8, 8, dtype=torch.float64)
    v = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    unit = Unit(arm, nn.Conv2d(3, 4, 3).double())
    unit.start_from_(v)
    t = nn.functional.conv2d(x, v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
    if "mean_only" in arm:
        t = t - t.mean((0, 2, 3), keepdim=True)
    torch.testing.assert_close(unit(x), t)


def test_starting_weights_come_from_the_generator_alone() -> None:
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(draws.__len__())
        unit = Unit("wn", nn.Linear(200, 100), generator=torch.Generator().manual_seed(seed))
        draws.append(unit.v.detach().clone())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].std().item() == pytest.approx(0.05, rel=0.02)


def test_v_g_and_b_are_the_papers_names_in_every_arm() -> None:
    for arm in ARMS:
        unit = Unit(arm, nn.Conv2d(3, 4, 3))
        assert unit.v.shape == (4, 3, 3, 3)
        assert unit.b.shape == (4,)
        has_g = arm in ("wn", "bn", "wn_mean_only_bn", "plain_frozen_scale")
        assert (unit.g is not None) == has_g


def test_a_wn_unit_holds_a_weight_norm_layer_that_folds_away() -> None:
    unit = Unit("wn", nn.Conv2d(3, 4, 3))
    assert isinstance(unit.linear, WeightNormConv2d)
    x = torch.randn(2, 3, 5, 5)
    folded = fold(copy.deepcopy(unit))
    assert type(folded.linear) is nn.Conv2d
    torch.testing.assert_close(folded(x), unit(x))


@pytest.mark.parametrize("arm", ARMS)
def test_units_can_be_copied_and_pickled(arm: str) -> None:
    unit = Unit(arm, nn.Linear(5, 4), nn.LeakyReLU(0.1))
    x = torch.randn(8, 5)
    for twin in (copy.deepcopy(unit), pickle.loads(pickle.dumps(unit))):  # noqa: S301
        assert torch.equal(twin(x), unit(x))


def test_what_a_unit_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown arm 'layer_norm'; choose from plain"):
        Unit("layer_norm", nn.Linear(2, 2))
    with pytest.raises(TypeError, match="ConvTranspose2d"):
        Unit("wn", nn.ConvTranspose2d(2, 2, 3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="bias=True"):
        Unit("wn", nn.Linear(2, 2, bias=False))
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        Unit("wn", nn.Linear(2, 2)).start_from_(torch.randn(2, 3))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("places", [(4,), (2, 3)])
def test_every_vector_is_an_example_to_a_linear_unit(arm: str, places: tuple[int, ...]) -> None:
    unit = Unit(arm, nn.Linear(6, 4), nn.LeakyReLU(0.1))
    x = torch.randn(5, *places, 6)
    torch.testing.assert_close(
        unit(x), copy.deepcopy(unit)(x.flatten(0, -2)).reshape(5, *places, 4)
    )


def test_a_unit_under_a_parametrization_is_set_through_it() -> None:
    class Doubled(nn.Module):
        def forward(self, half: torch.Tensor) -> torch.Tensor:
            return 2 * half

        def right_inverse(self, whole: torch.Tensor) -> torch.Tensor:
            return whole / 2

    for arm in ARMS:
        unit = Unit(arm, nn.Linear(6, 4))
        linear = unit.linear
        parametrize.register_parametrization(linear, "v" if "wn" in arm else "weight", Doubled())
        owner = linear if unit.linear.bias is not None else unit.normaliser
        parametrize.register_parametrization(owner, "bias", Doubled())
        nn.init.ones_(owner.get_parameter("parametrizations.bias.original"))
        expected = Unit(arm, nn.Linear(6, 4))
        v = torch.randn(4, 6)
        given = v.clone()
        for each in (unit, expected):
            each.start_from_(v)
        x = torch.randn(5, 6)
        torch.testing.assert_close(unit(x), expected(x))
        nn.init.zeros_(next(linear.parameters()))
        assert torch.equal(v, given)


def test_frozen_scale_checks_its_input_and_keeps_its_dtype() -> None:
    for shape in ((3,), (5, 4), (5, 4, 3)):
        with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
            FrozenScale(3)(torch.randn(shape))
    with torch.autocast("cpu", torch.bfloat16):
        dtypes = {Unit(arm, nn.Linear(6, 4))(torch.randn(5, 6)).dtype for arm in ARMS}
    assert dtypes == {torch.bfloat16}
