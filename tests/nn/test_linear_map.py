"""The data-dependent init measures the linear map itself, whatever a subclass does around it."""

import copy

import pytest
import torch
from torch import Tensor, nn

from wnrepro.nn import (
    FrozenScale,
    WeightNormConv2d,
    WeightNormConvTranspose1d,
    WeightNormLinear,
    data_dependent_init,
)
from wnrepro.nn.linear_map import is_plain


def assert_normalised(t: Tensor, tolerance: float = 1e-9) -> None:
    var, mean = torch.var_mean(t, [a for a in range(t.ndim) if a != 1], correction=0)
    assert mean.abs().max() < tolerance
    assert (var - 1).abs().max() < tolerance


class DenseReLU(WeightNormLinear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu_()  # in place


class Residual(WeightNormLinear):
    def forward(self, input: Tensor) -> Tensor:
        return input + nn.functional.dropout(super().forward(input).tanh(), 0.3, self.training)


class Masked(WeightNormLinear):
    def forward(self, input: Tensor) -> Tensor:
        w = self.weight.tril()
        return nn.functional.elu(nn.functional.linear(bias=self.bias, weight=w, input=input))


class Pair(WeightNormLinear):
    def forward(self, input: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        t = super().forward(input)
        return t.sigmoid() * t, t


class WrittenOut(WeightNormLinear):
    def forward(self, input: Tensor) -> Tensor:
        return input @ self.weight.T + self.bias


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layer", [DenseReLU, Residual, Masked, Pair, WrittenOut])
def test_the_linear_map_of_a_subclass_is_normalised(layer: type, bias: bool) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = layer(6, 6, bias=bias), WeightNormLinear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return self.last(y[0] if isinstance(y, tuple) else y)

    if layer is WrittenOut and not bias:
        return
    torch.manual_seed(1)
    model, x = Network().double(), torch.randn(200, 6, dtype=torch.float64) * 3 + 2
    state = torch.get_rng_state()
    assert data_dependent_init(model, x) == ["first", "last"]
    assert torch.equal(torch.get_rng_state(), state)
    w = model.first.weight.tril() if layer is Masked else model.first.weight
    t = x @ w.T + (model.first.bias if bias else 0)
    torch.testing.assert_close(t.var(0, correction=0), torch.ones_like(t[0]))
    if bias:
        assert_normalised(t)
    torch.set_rng_state(state)  # the residual layer draws
    assert_normalised(model(x))


def test_a_convolution_inside_a_subclass_and_under_autocast() -> None:
    class Gated(WeightNormConv2d):
        def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return super()._conv_forward(input, weight, bias).relu()

    torch.manual_seed(0)
    x = torch.randn(50, 3, 8, 8) + 1
    for context in (torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False)):
        layer = Gated(3, 6, 3, padding=1, padding_mode="circular")
        with context:
            data_dependent_init(nn.Sequential(layer), x)
        plain = WeightNormConv2d(3, 6, 3, padding=1, padding_mode="circular")
        plain.load_state_dict(layer.state_dict())
        assert_normalised(plain(x), tolerance=0.02)


def test_a_forward_put_on_the_layer_itself_counts_as_a_subclass() -> None:
    layer = WeightNormLinear(5, 4).double()
    torchs = layer.forward
    layer.forward = lambda input: torchs(input).relu()
    x = torch.randn(30, 5, dtype=torch.float64)
    data_dependent_init(layer, x)
    assert_normalised(torchs(x))


def test_a_subclass_whose_linear_map_cannot_be_told_is_refused() -> None:
    class Hidden(WeightNormLinear):
        def forward(self, input: Tensor) -> Tensor:
            return (input @ self.weight.T + self.bias).relu()

    class Standardised(WeightNormLinear):  # g has no effect
        def forward(self, input: Tensor) -> Tensor:
            return nn.functional.linear(input, nn.functional.normalize(self.weight), self.bias)

    for layer in (Hidden(5, 4), Standardised(5, 4)):
        model = nn.Sequential(WeightNormLinear(5, 5), layer)
        before = copy.deepcopy(model.state_dict())
        name = type(layer).__name__
        with pytest.raises(ValueError, match=rf"{name}.forward of layer '1' does more than"):
            data_dependent_init(model, torch.randn(30, 5) * 3)
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    "layer",
    [
        *(WeightNormLinear(2, 2), WeightNormConv2d(2, 2, 1), WeightNormConvTranspose1d(2, 2, 1)),
        *(FrozenScale(2), nn.Linear(2, 2), nn.ConvTranspose1d(2, 2, 1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_as_it_is_needs_one_forward_pass(layer: nn.Module) -> None:
    assert is_plain(layer)
    assert not is_plain(DenseReLU(2, 2))
