"""The networks."""

import copy

import pytest
import torch
from torch import nn

from wnrepro.arms import ARMS
from wnrepro.models import MLP, ConvPoolCNNC
from wnrepro.nn import Dropout, GaussianNoise, NormalizedLayer
from wnrepro.randomness import Streams


def test_the_papers_network_has_the_papers_number_of_parameters() -> None:
    units = [m for m in ConvPoolCNNC("wn").modules() if isinstance(m, NormalizedLayer)]
    assert sum(u.v.numel() for u in units) == 1_405_344
    assert sum(u.g.numel() for u in units if u.g is not None) == 1_450
    assert sum(u.b.numel() for u in units) == 1_450
    assert sum(p.numel() for p in ConvPoolCNNC("wn").parameters()) == 1_405_344 + 2 * 1_450


def test_the_papers_network_has_the_papers_noise_and_dropout() -> None:
    """Table 3: Gaussian noise of 0.15 on the input, dropout of 0.5 after each max-pool."""
    model = ConvPoolCNNC("wn", width=2)
    assert [m.std for m in model.modules() if isinstance(m, GaussianNoise)] == [0.15]
    assert [m.p for m in model.modules() if isinstance(m, Dropout)] == [0.5, 0.5]


def shapes(model: nn.Module, x: torch.Tensor) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for m in model.modules():
        if isinstance(m, NormalizedLayer):
            m.register_forward_hook(lambda m, i, o: found.append(tuple(o.shape[1:])))
    model(x)
    return found


def test_the_papers_network_has_the_papers_shapes() -> None:
    assert shapes(ConvPoolCNNC("wn"), torch.randn(2, 3, 32, 32)) == [
        *[(96, 32, 32)] * 3,
        *[(192, 16, 16)] * 3,
        *[(192, 6, 6)] * 3,
        (10,),
    ]


@pytest.mark.parametrize("arm", ARMS)
def test_mnist_images_and_other_widths_will_do(arm: str) -> None:
    model = ConvPoolCNNC(arm, (1, 28, 28), 10, width=5)
    assert shapes(model, torch.randn(3, 1, 28, 28))[-2:] == [(10, 5, 5), (10,)]


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_mlp_has_its_depth_and_width(arm: str, depth: int) -> None:
    model = MLP(arm, (1, 8, 8), 10, width=7, depth=depth, dropout=0.2, noise_std=0.1)
    assert shapes(model, torch.randn(4, 1, 8, 8)) == [*[(7,)] * depth, (10,)]


def test_the_last_layer_is_linear_and_the_others_leaky() -> None:
    for model in (ConvPoolCNNC("wn", width=2), MLP("wn")):
        units = [m for m in model.modules() if isinstance(m, NormalizedLayer)]
        assert isinstance(units[-1].nonlinearity, nn.Identity)
        for unit in units[:-1]:
            x = torch.tensor([-2.0, 3.0])
            torch.testing.assert_close(unit.nonlinearity(x), torch.tensor([-0.2, 3.0]))


def test_arms_of_one_seed_start_from_one_draw() -> None:
    def directions(arm: str) -> list[torch.Tensor]:
        model = ConvPoolCNNC(arm, width=4, streams=Streams(5))
        units = [m for m in model.modules() if isinstance(m, NormalizedLayer)]
        return [nn.functional.normalize(u.v.detach().flatten(1)) for u in units]

    reference = directions("wn")
    for arm in ("plain", "bn", "mean_only_bn", "wn_mean_only_bn"):
        for ours, theirs in zip(directions(arm), reference, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_noise_and_dropout_draw_from_their_own_streams() -> None:
    x = torch.randn(4, 3, 32, 32)
    streams = Streams(0)
    model = ConvPoolCNNC("wn", width=4, streams=streams)
    first = model(x)
    torch.manual_seed(9)
    streams.start_epoch(-1)
    assert torch.equal(model(x), first)
    streams["noise"].manual_seed(1)
    streams["dropout"].manual_seed(1)
    assert not torch.equal(model(x), first)
    copied = copy.deepcopy(model.eval())
    assert torch.equal(copied(x), model(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConvPoolCNNC("wn", (1, 8, 8)),
        lambda: ConvPoolCNNC("wn", width=0),
        lambda: MLP("wn", width=0),
        lambda: MLP("wn", depth=-1),
        lambda: MLP("nothing"),
    ],
)
def test_what_cannot_be_built_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"pixels|width|unknown arm"):
        make()
