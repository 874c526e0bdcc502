"""Gaussian noise and dropout from named streams."""

import pytest
import torch

from wnrepro.nn import Dropout, GaussianNoise


def test_gaussian_noise_has_its_standard_deviation_in_training_only() -> None:
    noise = GaussianNoise(0.15, torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 1, 200_000)
    added = noise(x) - x
    assert added.mean().abs() < 2e-3
    assert added.std().item() == pytest.approx(0.15, rel=0.01)
    assert torch.equal(noise.eval()(x), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_dropout_is_elementwise_and_keeps_the_mean(dtype: torch.dtype) -> None:
    dropout = Dropout(0.25, torch.Generator().manual_seed(0))
    x = torch.ones(20, 10, 30, 40, dtype=dtype)
    y = dropout(x)
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75], dtype=dtype))
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert (y == 0).any((2, 3)).all(), "whole channels would be dropped or kept"
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.75, 1 - 1e-9])
def test_dropout_drops_with_its_probability(p: float) -> None:
    n = 2_000_003  # no multiple of what is drawn at once
    kept = Dropout(p, torch.Generator().manual_seed(1))(torch.ones(n)).count_nonzero().item()
    assert kept / n == pytest.approx(1 - p, abs=2**-16 + 4 * ((p * (1 - p) + 2**-16) / n) ** 0.5)


def test_masks_are_of_independent_draws() -> None:
    x = torch.ones(4, 8, 64, 64)
    dropout = Dropout(0.5, torch.Generator().manual_seed(2))
    first, second = ((dropout(x) / 2).flatten() for _ in range(2))
    shifted = [first.roll(k) for k in (1, 2, 3, 4, 8, 64, 4096)]
    for other in (second, *shifted):
        assert torch.corrcoef(torch.stack((first, other)))[0, 1].abs() < 4 / len(first) ** 0.5


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_mask_lies_in_memory_as_its_input_does(order: torch.memory_format) -> None:
    x = torch.ones(2, 3, 5, 7).to(memory_format=order)
    y = Dropout(0.5)(x)
    assert y.stride() == x.stride()
    assert Dropout(0.5)(x[:, :, ::2, 1:]).shape == (2, 3, 3, 6)
    assert Dropout(0.5)(x[:0]).numel() == 0
    assert Dropout(0.5)(torch.ones(())).shape == ()


@pytest.mark.parametrize("layer", [GaussianNoise, Dropout])
def test_the_stream_is_the_generator_and_nothing_else(layer: type) -> None:
    x = torch.randn(1000)
    before = torch.get_rng_state()
    first = layer(0.5, torch.Generator().manual_seed(7))(x)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert torch.equal(layer(0.5, torch.Generator().manual_seed(7))(x), first)
    assert not torch.equal(layer(0.5, torch.Generator().manual_seed(8))(x), first)
    torch.manual_seed(7)
    assert torch.equal(layer(0.5)(x), first), "without one it draws from torch's own"


@pytest.mark.parametrize(
    ("layer", "value"),
    [(GaussianNoise, -0.1), (GaussianNoise, float("nan")), (Dropout, 1.0), (Dropout, -0.1)],
)
def test_values_out_of_range_are_refused(layer: type, value: float) -> None:
    with pytest.raises(ValueError, match="must"):
        layer(value)
