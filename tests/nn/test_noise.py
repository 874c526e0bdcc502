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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # drawn in two ways
def test_dropout_is_elementwise_and_keeps_the_mean(dtype: torch.dtype) -> None:
    dropout = Dropout(0.25, torch.Generator().manual_seed(0))
    x = torch.ones(20, 10, 30, 40, dtype=dtype)
    y = dropout(x)
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75], dtype=dtype))
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert (y == 0).any((2, 3)).all(), "whole channels would be dropped or kept"
    assert torch.equal(dropout.eval()(x), x)


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
