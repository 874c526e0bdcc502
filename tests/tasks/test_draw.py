"""DRAW against independent values, and its parts at their corners."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import NormalizedLayer
from wnrepro.nn.layers import WeightNormLayer
from wnrepro.tasks.draw.attention import TOLERANCE, Window, Windows
from wnrepro.tasks.draw.network import Draw
from wnrepro.tasks.gaussian import kl_to_standard, log_density

ARMS_AND_STARTS = [(arm, start) for arm in ("plain", "wn") for start in ("normal", "unit")]


def network(arm: str = "wn", start: str = "unit", glimpses: int = 3, seed: int = 0) -> Draw:
    sizes = {"units": 7, "latent": 4, "read": 2, "write": 3}
    latent = torch.Generator().manual_seed(seed)
    draw = Draw(arm, (8, 6), glimpses=glimpses, **sizes, start=start, generator=latent).double()
    draw.reset_parameters(torch.Generator().manual_seed(seed))
    return draw


def images(n: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(2, (n, 1, 8, 6), generator=generator).double()


def noise(n: int = 5, glimpses: int = 3) -> Tensor:
    return torch.randn(
        glimpses, n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def windows(l: Tensor, *sides: int, shape: tuple[int, int] = (28, 28)) -> list[Window]:  # noqa: E741
    """l: (B, K, 5)."""
    return Windows(sides, *shape).to(l.dtype)(l)


def test_a_filter_is_a_gaussian_over_its_sum_and_a_little() -> None:
    """Of two windows together, on an image that is no square, each of two examples."""
    sides, height, width = (4, 2), 9, 6
    l = torch.randn(2, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # noqa: E741
    for k, (n, place) in enumerate(zip(sides, windows(l, *sides, shape=(9, 6)), strict=True)):
        assert place.y.shape == (2, n, height)
        assert place.x.shape == (2, n, width)
        for b in range(2):
            centre_y, centre_x, stride, variance, gamma = l[b, k].tolist()
            assert place.gamma[b].item() == pytest.approx(math.exp(gamma))
            axes = ((centre_y, height, place.y), (centre_x, width, place.x))
            for (centre, size, f), i in itertools.product(axes, range(n)):
                mu = (centre + 1) / 2 * size
                mu += (i - (n - 1) / 2) * math.exp(stride) * (height - 1) / (n - 1)
                raw = [math.exp(-((a - mu) ** 2) / (2 * math.exp(variance))) for a in range(size)]
                expected = [r / (sum(raw) + 1e-4) for r in raw]
                assert f[b, i].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-300)
                assert f[b, i].sum().item() == pytest.approx(sum(raw) / (sum(raw) + TOLERANCE))


def test_at_the_start_a_window_of_two_filters_sits_in_the_corners() -> None:
    """l = 0: centres 14, stride 27: pixels 0.5 and 27.5; as the code that the paper used."""
    (place,) = windows(torch.zeros(1, 1, 5, dtype=torch.float64), 2)
    pixels = torch.arange(28, dtype=torch.float64)
    for axis in (place.y, place.x):
        below, above = (axis[0] * pixels).sum(1) / axis[0].sum(1)
        # the filters are cut off at the image's edge: by symmetry, equally
        assert below.item() == pytest.approx(27 - above.item() + 1, abs=1.0)
        assert axis[0, 0].argmax() in (0, 1)
        assert axis[0, 1].argmax() == 27
    assert place.gamma.item() == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "l",
    [
        (30.0, -30.0, 0, 0, 0),
        (0, 0, 20.0, 0, 0),
        (0, 0, 0, -200.0, 0),
        (0, 0, 0, -42.0, 0),  # d²/σ⁴ would overflow where the filter is 0
        (0, 0, 0, 100.0, 0),
        (0, 0, -60.0, 30.0, -5.0),
    ],
)
def test_windows_far_off_and_very_narrow_stay_finite(
    l: tuple[float, ...],  # noqa: E741
    dtype: torch.dtype,
) -> None:
    parameters = torch.tensor([[l]], dtype=dtype, requires_grad=True)
    (place,) = windows(parameters, 3)
    image, patch = torch.ones(1, 28, 28, dtype=dtype), torch.ones(1, 9, dtype=dtype)
    (place.read(image).sum() + place.write(patch, image).sum()).backward()
    for each in (place.y, place.x, parameters.grad):
        assert torch.isfinite(each).all()


def test_gradients_of_reading_and_writing() -> None:
    l = torch.randn(2, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # noqa: E741
    image = torch.rand(2, 6, 5, dtype=torch.float64)
    patch = torch.rand(2, 9, dtype=torch.float64)

    def both(l: Tensor, image: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:  # noqa: E741
        reading, writing = windows(l, 2, 3, shape=(6, 5))
        return reading.read(image, image**2), writing.write(patch, image)

    inputs = [each.requires_grad_() for each in (0.3 * l, image, patch)]
    assert torch.autograd.gradcheck(both, inputs)


def test_reading_is_a_sum_over_pixels() -> None:
    y, x = torch.rand(1, 3, 5, dtype=torch.float64), torch.rand(1, 3, 4, dtype=torch.float64)
    place = Window(y, x, gamma=column(2.0).unsqueeze(2))
    images = torch.rand(2, 1, 5, 4, dtype=torch.float64)
    read, patch = place.read(*images).view(2, 3, 3), torch.rand(3, 3, dtype=torch.float64)
    written = place.write(patch.view(1, 9), images[0])[0]
    for k, i, j in itertools.product(range(2), range(3), range(3)):
        terms = place.y[0, i, :, None] * images[k, 0] * place.x[0, j]
        assert read[k, i, j].item() == pytest.approx(2 * terms.sum().item())
    expected = images[0, 0] + sum(
        patch[i, j] * place.y[0, i, :, None] * place.x[0, j] / 2 for i in range(3) for j in range(3)
    )
    torch.testing.assert_close(written, expected)


def by_hand(draw: Draw, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """−log p(x|z) and the KL divergence, image by image, gate by gate."""
    layers = {k: m.linear for k, m in draw.named_children() if isinstance(m, NormalizedLayer)}
    w = {name: layer.weight for name, layer in layers.items()}
    bias = {name: layer.bias for name, layer in layers.items()}

    def lstm(a: Tensor, p: nn.Module, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        n = len(c)
        i = torch.sigmoid(a[:n] + p.p_i * c)
        f = torch.sigmoid(a[n : 2 * n] + p.p_f * c)
        new = f * c + i * torch.tanh(a[2 * n : 3 * n])
        o = torch.sigmoid(a[3 * n :] + p.p_o * new)
        return o * torch.tanh(new), new

    def filters(l: Tensor, n: int) -> tuple[Tensor, Tensor]:  # noqa: E741
        grid = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
        banks = []
        for centre, size in ((l[0], 8), (l[1], 6)):
            mu = (centre + 1) * size / 2 + grid * l[2].exp() * 7 / (n - 1)
            f = torch.exp(-((torch.arange(size) - mu[:, None]) ** 2) / (2 * l[3].exp()))
            banks.append(f / (f.sum(1, keepdim=True) + 1e-4))
        return banks[0], banks[1]

    reconstructions, kls = [], []
    for image, eps in zip(x[:, 0], noise.transpose(0, 1), strict=True):
        h_enc, c_enc, h_dec, c_dec = (torch.zeros(7, dtype=torch.float64) for _ in range(4))
        canvas, kl = torch.zeros(8, 6, dtype=torch.float64), torch.tensor(0.0)
        for t in range(len(eps)):
            l = w["read_window"] @ h_dec + bias["read_window"]  # noqa: E741
            y, z = filters(l, 2)
            error = image - 1 / (1 + torch.exp(-canvas))
            seen = [l[4].exp() * (y @ each @ z.T) for each in (image, error)]
            inputs = torch.cat([seen[0].flatten(), seen[1].flatten(), h_dec])
            a = w["encoder_input"] @ inputs + bias["encoder_input"] + w["encoder_recurrent"] @ h_enc
            h_enc, c_enc = lstm(a, draw.encoder, h_enc, c_enc)
            mean = w["mean"] @ h_enc + bias["mean"]
            std = torch.exp(w["log_std"] @ h_enc + bias["log_std"])
            q = torch.distributions.Normal(mean, std)
            standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(std))
            kl = kl + torch.distributions.kl_divergence(q, standard).sum()
            latent = mean + std * eps[t]
            a = w["decoder_input"] @ latent + bias["decoder_input"] + w["decoder_recurrent"] @ h_dec
            h_dec, c_dec = lstm(a, draw.decoder, h_dec, c_dec)
            l = w["write_window"] @ h_dec + bias["write_window"]  # noqa: E741
            y, z = filters(l, 3)
            patch = (w["write_patch"] @ h_dec + bias["write_patch"]).view(3, 3)
            canvas = canvas + y.T @ patch @ z / l[4].exp()
        p = torch.distributions.Bernoulli(logits=canvas)
        reconstructions.append(-p.log_prob(image).sum())
        kls.append(kl)
    return torch.stack(reconstructions), torch.stack(kls)


@pytest.mark.parametrize(("arm", "start"), ARMS_AND_STARTS)
def test_it_is_the_same_computed_by_hand(arm: str, start: str) -> None:
    draw, x, eps = network(arm, start), images(), noise()
    with torch.no_grad():
        for p in draw.parameters():  # beyond the start, where most of it is nearly 0
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(9)), alpha=0.3)
    last = draw.drawn(x, eps)[-1]
    reconstruction = F.binary_cross_entropy_with_logits(last.canvas, x[:, 0], reduction="none")
    ours = (reconstruction.sum((1, 2)), last.kl)
    for got, expected in zip(ours, by_hand(draw, x, eps), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    # and so are its gradients
    parameters = list(draw.parameters())
    got = torch.autograd.grad(torch.stack(ours).sum(), parameters)
    expected = torch.autograd.grad(torch.stack(by_hand(draw, x, eps)).sum(), parameters)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("start", ["normal", "unit"])
def test_plain_and_weight_norm_start_as_one_function(start: str) -> None:
    plain, wn = network("plain", start), network("wn", start)
    torch.testing.assert_close(
        plain.drawn(images(), noise())[-1], wn.drawn(images(), noise())[-1], rtol=1e-12, atol=1e-12
    )
    norms = wn.encoder_input.linear.weight.norm(dim=1)
    assert norms.mean().item() == pytest.approx(1.0 if start == "unit" else 0.01 * 15**0.5, rel=0.2)


def test_each_weight_is_computed_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = network(glimpses=6)
    kind = type(draw.mean.linear)
    weight, asked = vars(WeightNormLayer)["weight"], []
    monkeypatch.setattr(
        kind, "weight", property(lambda self: asked.append(self) or weight.fget(self))
    )
    draw(images())
    assert len(asked) == len(set(map(id, asked))) == 9


def test_the_latent_noise_is_another_at_each_glimpse_and_comes_from_its_stream() -> None:
    x = images()
    first, again, other = network(seed=0), network(seed=0), network(seed=0)
    other.generator.manual_seed(77)
    assert first(x).loss == again(x).loss
    assert first(x).loss != other(x).loss
    still = noise()
    still[1:] = still[0]
    draw = network()
    assert not torch.equal(draw.drawn(x, noise())[-1].canvas, draw.drawn(x, still)[-1].canvas)


def test_the_weight_of_a_draw_is_the_bound_on_average() -> None:
    """Its KL divergence is that of z itself; the bound has the closed form."""
    draw = network("plain", "normal")
    with torch.no_grad():
        for p in draw.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(9)), alpha=0.3)
        x = images(1).expand(3_000, -1, -1, -1)
        draw.generator.manual_seed(0)
        terms = draw(x)
        draw.generator.manual_seed(0)
        differences = draw.log_weight(x) + terms.reconstruction + terms.kl
    error = differences.std().item() / len(x) ** 0.5
    assert error > 1e-3
    assert differences.mean().item() == pytest.approx(0, abs=4 * error)


def test_a_sample_is_what_the_decoder_makes_of_z() -> None:
    """With the same z, the canvas does not depend on where z comes from."""
    draw, x, eps = network("plain", "normal"), images(), noise()
    with torch.no_grad():
        for layer in (draw.mean.linear, draw.log_std.linear):
            layer.weight.zero_()  # q = p: z is the noise
    canvases = draw.sampled(eps)
    for canvas, glimpse in zip(canvases, draw.drawn(x, eps), strict=True):
        torch.testing.assert_close(canvas[:, 0], torch.sigmoid(glimpse.canvas))
    assert draw.drawn(x, eps)[-1].kl.abs().max() < 1e-12


def test_pictures_have_the_images_shape() -> None:
    assert network(glimpses=3).samples().shape == (10, 3, 1, 8, 6)
    assert network(glimpses=30).samples().shape == (10, 10, 1, 8, 6)
    assert network().reconstructed(images()).shape == images().shape


def test_the_divergence_from_the_standard_gaussian_is_its_mean_over_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(6, dtype=torch.float64, generator=generator)
    log_std = 0.5 * torch.randn(6, dtype=torch.float64, generator=generator)
    eps = torch.randn(400_000, 6, dtype=torch.float64, generator=generator)
    z = mean + log_std.exp() * eps
    sampled = (log_density(z, mean, log_std) - log_density(z)).sum(1)
    exact = kl_to_standard(mean, log_std).item()
    assert sampled.mean().item() == pytest.approx(
        exact, abs=4 * sampled.std().item() / 400_000**0.5
    )
