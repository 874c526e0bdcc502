"""Layer norm against its equation in plain tensors."""

import pytest
import torch
from torch import Tensor, nn

from wnrepro.nn import LayerNorm, NormalizedLayer

SHAPES = [(5, 7), (5, 7, 3), (5, 7, 3, 4), (5, 7, 2, 3, 4)]


def reference(t: Tensor, g: Tensor, b: Tensor, eps: float = 1e-6) -> Tensor:
    """Ba, Kiros & Hinton (2016), eq. 3 and 4, one example after the other."""
    out = torch.empty_like(t)
    for n, example in enumerate(t):
        mean = example.sum() / example.numel()
        variance = ((example - mean) ** 2).sum() / example.numel()
        for c, channel in enumerate(example):
            out[n, c] = g[c] * (channel - mean) / (variance + eps) ** 0.5 + b[c]
    return out


def layer_norm(*shape: int) -> tuple[LayerNorm, Tensor]:
    layer = LayerNorm(shape[1], dtype=torch.float64)
    nn.init.normal_(layer.g)
    nn.init.normal_(layer.bias)
    return layer, torch.randn(shape, dtype=torch.float64) * 0.01 + 2  # so that ε matters


@pytest.mark.parametrize("shape", SHAPES)
def test_the_output_is_the_equations(shape: tuple[int, ...]) -> None:
    layer, t = layer_norm(*shape)
    expected = reference(t, layer.g.detach(), layer.bias.detach())
    for mode in (True, False):
        torch.testing.assert_close(layer.train(mode)(t), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(expected, reference(t, layer.g, layer.bias, 1e-5), rtol=1e-3)


def test_it_is_torchs_layer_norm_and_group_norm() -> None:
    layer, t = layer_norm(5, 7)
    theirs = nn.LayerNorm(7, eps=1e-6, dtype=torch.float64)
    theirs.load_state_dict({"weight": layer.g, "bias": layer.bias})
    torch.testing.assert_close(layer(t), theirs(t))
    layer, t = layer_norm(5, 7, 3, 4)
    theirs = nn.GroupNorm(1, 7, eps=1e-6, dtype=torch.float64)
    theirs.load_state_dict({"weight": layer.g, "bias": layer.bias})
    torch.testing.assert_close(layer(t), theirs(t))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2), (2, 3, 2, 2)])
def test_its_gradients_are_those_of_finite_differences(shape: tuple[int, ...]) -> None:
    layer = LayerNorm(3, dtype=torch.float64)
    tensors = [torch.randn(size, dtype=torch.float64) for size in (shape, (3,), (3,))]

    def output(t: Tensor, g: Tensor, b: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"g": g, "bias": b}, (t,))

    inputs = tuple(each.requires_grad_() for each in tensors)
    assert torch.autograd.gradcheck(output, inputs)
    assert torch.autograd.gradgradcheck(output, inputs)


@pytest.mark.parametrize(
    ("linear", "shape"),
    [
        (nn.Linear(6, 4), (5, 6)),
        (nn.Conv2d(3, 4, 3), (5, 3, 6, 7)),
        (nn.ConvTranspose2d(3, 4, 3, stride=2), (5, 3, 6, 7)),
    ],
)
def test_the_arm_is_w_x_normalised_per_example(linear: nn.Linear, shape: tuple[int, ...]) -> None:
    layer = NormalizedLayer("layer_norm", linear.double(), nn.LeakyReLU(0.1))
    assert layer.g is not None
    nn.init.normal_(layer.g)
    nn.init.normal_(layer.b)
    x = torch.randn(shape, dtype=torch.float64)
    t = layer.linear(x)
    y = reference(t, layer.g, layer.b)
    torch.testing.assert_close(layer(x), torch.where(y > 0, y, 0.1 * y))
    torch.testing.assert_close(layer(x[:1]), layer(x)[:1])  # a batch of one will do
    assert {name for name, _ in layer.named_parameters()} == {
        *("linear.weight", "normaliser.g", "normaliser.bias"),
    }


def test_what_it_cannot_normalise_is_refused() -> None:
    for shape in ((3,), (5, 4), (5, 4, 3)):
        with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
            LayerNorm(3)(torch.randn(shape))
    with pytest.raises(ValueError, match="at least two values per example"):
        LayerNorm(1)(torch.randn(5, 1))
    with pytest.raises(ValueError, match="eps must be at least 0"):
        LayerNorm(3, eps=-1e-6)
    assert LayerNorm(3)(torch.randn(0, 3)).shape == (0, 3)
    assert LayerNorm(1)(torch.randn(5, 1, 2)).shape == (5, 1, 2)
