"""Batch norm with the authors' ε, averages and variance correction."""

import pytest
import torch
from torch import Tensor, nn

from wnrepro.nn import BatchNorm


def written_out(t: Tensor, g: Tensor, b: Tensor) -> Tensor:
    axes = [a for a in range(t.ndim) if a != 1]
    mean = t.mean(axes, keepdim=True)
    var = (t - mean).square().mean(axes, keepdim=True)
    shape = mean.shape
    return (t - mean) / (var + 1e-6).sqrt() * g.view(shape) + b.view(shape)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 5), (2, 3, 2, 3, 4)])
def test_output_and_gradients_are_the_formulas(shape: tuple[int, ...]) -> None:
    t = (torch.randn(shape, dtype=torch.float64) * 3 + 1).requires_grad_()
    layer = BatchNorm(3, dtype=torch.float64)
    nn.init.normal_(layer.g)
    nn.init.normal_(layer.bias)
    inputs = (t, layer.g, layer.bias)
    y, expected = layer(t), written_out(t, layer.g, layer.bias)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
    upstream = torch.randn_like(y)
    for ours, theirs in zip(
        torch.autograd.grad(y, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_running_averages_correct_by_the_batch_size() -> None:
    layer = BatchNorm(3, dtype=torch.float64)
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for _ in range(4):
        t = torch.randn(7, 3, 4, 5, dtype=torch.float64) * 2 + 1
        layer(t)
        mean = 0.9 * mean + 0.1 * t.mean((0, 2, 3))
        var = 0.9 * var + 0.1 * 7 / 6 * t.var((0, 2, 3), correction=0)
    torch.testing.assert_close(layer.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.running_var, var, rtol=1e-12, atol=1e-12)
    layer.eval()
    t = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    expected = (t - mean.view(1, 3, 1, 1)) / (var + 1e-6).sqrt().view(1, 3, 1, 1)
    torch.testing.assert_close(layer(t), expected)
    torch.testing.assert_close(layer.running_mean, mean)


def test_it_differs_from_torchs_as_it_says() -> None:
    t = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    ours, torchs = BatchNorm(3, dtype=torch.float64), nn.BatchNorm2d(3, dtype=torch.float64)
    ours(t), torchs(t)
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    assert torchs.running_var is not None
    batch = (ours.running_var - 0.9) / (torchs.running_var - 0.9)
    torch.testing.assert_close(batch, torch.full((3,), (4 / 3) / (100 / 99), dtype=torch.float64))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6,), "got"),
        ((6, 4), "got"),
        ((1, 3, 5, 5), "two examples"),
        ((2, 3, 0, 5), "needs values"),
    ],
)
def test_wrong_input_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchNorm(3)(torch.randn(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": -1e-6}, "eps must be at least 0"),
        ({"eps": float("nan")}, "eps must be at least 0"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"momentum": None}, r"momentum must lie in \[0, 1\], got None"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchNorm(3, **options)
