"""The VAEs against independent values."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from wnrepro.nn import (
    MaskedConv2d,
    MaskedLinear,
    NormalizedLayer,
    WeightNormMaskedConv2d,
    convert,
    fold,
)
from wnrepro.tasks.gaussian import log_density
from wnrepro.tasks.vae.cifar import CifarVAE
from wnrepro.tasks.vae.flow import (
    ConvolutionalStep,
    DenseFlow,
    DenseStep,
    degree_masks,
    raster_mask,
)
from wnrepro.tasks.vae.likelihood import discretised_logistic
from wnrepro.tasks.vae.mnist import MnistVAE

ARMS = ("plain", "wn")
F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(model: nn.Module, seed: int = 1) -> nn.Module:
    """In float64, each parameter a little elsewhere than at its start."""
    with torch.no_grad():
        for p in model.double().parameters():
            p.add_(torch.randn(p.shape, dtype=F64, generator=generator(seed)), alpha=0.2)
    return model


def _first_of(flow: nn.Module, c: Tensor, z: Tensor) -> Tensor:
    return flow(z, c)[0]


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_flows_log_determinant_is_that_of_its_jacobian(arm: str, depth: int) -> None:
    flow = moved(DenseFlow(arm, 5, 12, 3, depth, generator()))
    z, c = torch.randn(2, 5, dtype=F64), torch.randn(2, 3, dtype=F64)
    _, log_det = flow(z, c)
    for of_one, x, context in zip(log_det, z.split(1), c.split(1), strict=True):
        jacobian = torch.autograd.functional.jacobian(partial(_first_of, flow, context), x)
        assert of_one.item() == pytest.approx(
            torch.linalg.slogdet(jacobian.reshape(5, 5))[1].item(), abs=1e-12
        )


@pytest.mark.parametrize("arm", ARMS)
def test_a_dense_step_is_triangular_exactly(arm: str) -> None:
    step = moved(DenseStep(arm, 6, 17, 3, generator()))
    z, c = torch.randn(1, 6, dtype=F64), torch.randn(1, 3, dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda x: step(x, c)[0], z).reshape(6, 6)
    assert (jacobian.triu(1) == 0).all()
    assert (jacobian.tril(-1)[1:].abs().sum(1) > 0).all()
    # output i sees every input before it
    assert (jacobian.tril(-1) != 0).sum() == 15


@pytest.mark.parametrize("arm", ARMS)
def test_between_two_steps_the_order_is_reversed(arm: str) -> None:
    """After two steps each element depends on each, and the first on all after the flip."""
    flow = moved(DenseFlow(arm, 4, 12, 2, 2, generator()))
    z, c = torch.randn(1, 4, dtype=F64), torch.randn(1, 2, dtype=F64)
    one, two = flow.get_submodule("steps.0"), flow.get_submodule("steps.1")
    first = torch.autograd.functional.jacobian(lambda x: one(x, c)[0], z).reshape(4, 4)
    between = one(z, c)[0].flip(1)
    second = torch.autograd.functional.jacobian(lambda x: two(x, c)[0], between)
    whole = torch.autograd.functional.jacobian(lambda x: flow(x, c)[0], z).reshape(4, 4)
    torch.testing.assert_close(whole, second.reshape(4, 4) @ first.flip(0))
    assert (second.reshape(4, 4).triu(1) == 0).all()


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize(("n", "hidden"), [(3, 3), (2, 5), (4, 2)])
def test_a_convolutional_step_is_triangular_over_raster_and_channel(
    arm: str, n: int, hidden: int
) -> None:
    step = moved(ConvolutionalStep(arm, n, hidden, generator()))
    z, c = torch.randn(1, n, 4, 3, dtype=F64), torch.randn(1, hidden, 4, 3, dtype=F64)

    def in_raster_order(x: Tensor) -> Tensor:
        maps = x.view(1, 4, 3, n).permute(0, 3, 1, 2)
        return step(maps, c)[0].permute(0, 2, 3, 1).flatten()

    ordered = z.permute(0, 2, 3, 1).flatten()
    jacobian = torch.autograd.functional.jacobian(in_raster_order, ordered)
    assert (jacobian.triu(1) == 0).all()
    assert (jacobian.tril(-1) != 0).any()
    log_det = step(z, c)[1].sum().item()
    assert log_det == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-12)


def test_masks_by_their_definition() -> None:
    to_hidden, to_output = degree_masks(4, 6)
    seen = (to_output.int() @ to_hidden.int()) > 0
    assert torch.equal(seen, torch.ones(4, 4).tril(-1).bool())
    assert to_output.any(1).all()  # the first sees a unit of degree 0, that is the context
    for includes in (True, False):
        mask = raster_mask(3, 3, 3, includes_itself=includes)
        for out, inp, y, x in itertools.product(range(3), repeat=4):
            before = (y, x) < (1, 1) or (
                (y, x) == (1, 1) and (inp < out or (includes and inp == out))
            )
            assert mask[out, inp, y, x].item() is before


def test_masked_weight_norm_is_of_what_is_used() -> None:
    mask = torch.rand(5, 4, 3, 3, generator=generator()) < 0.5
    mask[2] = False  # a unit that sees nothing
    layer = NormalizedLayer("wn", MaskedConv2d(mask, padding=1), generator=generator(2))
    assert isinstance(layer.linear, WeightNormMaskedConv2d)
    with torch.no_grad():
        layer.linear.v.copy_(torch.randn(mask.shape, generator=generator(3)))  # masked ones too
        layer.linear.g.copy_(torch.arange(1.0, 6.0))
    w = layer.linear.weight
    assert (w[~mask] == 0).all()
    v = layer.linear.v * mask
    for k in (0, 1, 3, 4):
        torch.testing.assert_close(w[k], (k + 1) * v[k] / v[k].square().sum().sqrt())
    layer(torch.randn(2, 4, 6, 6)).square().sum().backward()
    gradient = layer.linear.v.grad
    assert gradient is not None
    assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize("kind", [MaskedLinear, MaskedConv2d])
def test_masked_layers_convert_and_fold(kind: type[nn.Module]) -> None:
    mask = torch.rand(5, 4, *((3, 3) if kind is MaskedConv2d else ()), generator=generator()) < 0.6
    layer = kind(mask)
    x = torch.randn(2, 4, 6, 6) if kind is MaskedConv2d else torch.randn(2, 4)
    before = layer(x)
    torch.testing.assert_close(convert(layer)(x), before)
    torch.testing.assert_close(fold(layer)(x), before)
    assert type(layer) is kind


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.2, 0.999, 1.4])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 2.0])
def test_the_discretised_logistic_adds_up_to_one(mean: float, log_scale: float) -> None:
    x = torch.arange(256, dtype=F64) / 255
    log_p = discretised_logistic(x, torch.tensor(mean).double(), torch.tensor(log_scale).double())
    assert torch.isfinite(log_p).all()
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_bin_of_the_discretised_logistic() -> None:
    mean, scale, k = 0.4, 0.05, 120

    def cdf(x: float) -> float:
        return 1 / (1 + math.exp(-(x - mean) / scale))

    expected = math.log(cdf((k + 0.5) / 255) - cdf((k - 0.5) / 255))
    x, log_scale = torch.tensor(k / 255, dtype=F64), torch.tensor(math.log(scale), dtype=F64)
    got = discretised_logistic(x, torch.tensor(mean, dtype=F64), log_scale)
    assert got.item() == pytest.approx(expected, rel=1e-10)
    wide = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float32, requires_grad=True)
    discretised_logistic(torch.tensor([1.0, 0.0, 0.5]), wide, torch.tensor(-6.0)).sum().backward()
    assert torch.isfinite(wide.grad).all()


def mnist(arm: str, depth: int = 2) -> MnistVAE:
    sizes = {"width": 2, "latent": 3, "depth": depth, "hidden": 8}
    return MnistVAE(arm, (10, 9), **sizes, init=generator(), generator=generator(7))


def cifar(arm: str, free_bits: float = 0.0) -> CifarVAE:
    sizes = {"width": 4, "latent": 2, "depths": (2, 1), "free_bits": free_bits, "log_scale": -3.0}
    return CifarVAE(arm, (8, 12), **sizes, init=generator(), generator=generator(7))


def binary(n: int = 6) -> Tensor:
    return torch.randint(2, (n, 1, 10, 9), generator=generator(3)).float()


def coloured(n: int = 6) -> Tensor:
    return torch.randint(256, (n, 3, 8, 12), generator=generator(3)) / 255


@pytest.mark.parametrize(("build", "images"), [(mnist, binary), (cifar, coloured)])
def test_plain_and_weight_norm_start_as_one_function(build, images) -> None:
    plain, wn = build("plain"), build("wn")
    for one, other in zip(plain(images()), wn(images()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert all(p.grad is None for p in wn.parameters())
    wn(images()).loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in wn.parameters())


def test_the_bound_with_a_diagonal_posterior_is_the_closed_form() -> None:
    """Without a flow the KL divergence's mean over draws of z is the closed form."""
    model, x = mnist("wn", depth=0).double(), binary(1).double()
    h = model.encoder(x)
    q = torch.distributions.Normal(model.mean(h), model.log_std(h).exp())
    standard = torch.distributions.Normal(torch.zeros(3, dtype=F64), torch.ones(3, dtype=F64))
    exact = torch.distributions.kl_divergence(q, standard).sum().item()
    with torch.no_grad():
        kl = model(x.expand(4_000, -1, -1, -1)).kl
    assert kl.mean().item() == pytest.approx(exact, abs=4 * kl.std().item() / 4_000**0.5)


def test_free_bits_change_the_loss_and_not_the_bound() -> None:
    free, none = cifar("wn", 5.0)(coloured()), cifar("wn")(coloured())
    torch.testing.assert_close(free.kl, none.kl)
    torch.testing.assert_close(none.loss, (none.reconstruction + none.kl).mean())
    assert free.loss > none.loss
    # with a λ above every map's divergence, the loss is the reconstruction and λ a map
    much = cifar("wn", 1e4)(coloured())
    torch.testing.assert_close(much.loss, much.reconstruction.mean() + 3 * 2 * 1e4)


def test_log_density_against_torch() -> None:
    x, mean, log_std = (torch.randn(7, dtype=F64, generator=generator(k)) for k in range(3))
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(x)
    torch.testing.assert_close(log_density(x, mean, log_std), expected)
    torch.testing.assert_close(log_density(x), torch.distributions.Normal(0.0, 1.0).log_prob(x))


@pytest.mark.parametrize(("build", "images"), [(mnist, binary), (cifar, coloured)])
def test_pictures_have_the_images_shape(build, images) -> None:
    model, shape = build("wn"), images().shape
    for shown in (model.samples(), model.reconstructed(images())):
        assert shown.shape[-3:] == shape[1:]
        assert shown.min() >= 0
        assert shown.max() <= 1
