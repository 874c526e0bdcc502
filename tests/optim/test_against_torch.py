"""Each optimiser against torch's: where the two are the same, and by how much they differ."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from wnrepro.optim import Adadelta, Adam, Adamax, AveragedMomentum, Momentum

GENERATOR = torch.Generator()


def gradients(steps: int = 40) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(steps)]


def trace(
    optimiser: type[torch.optim.Optimizer],
    grads: Iterable[Tensor | float],
    rates: Iterable[float] | None = None,
    **settings: Any,
) -> list[Tensor]:
    """The parameter after each step, from 0. rates: the learning rate of each, else constant."""
    grads = [torch.as_tensor(grad, dtype=torch.float64) for grad in grads]
    p = torch.nn.Parameter(torch.zeros_like(grads[0]))
    optimizer: Any = optimiser([p], **settings)
    values = []
    for grad, rate in zip(grads, rates or [None] * len(grads), strict=True):
        if rate is not None:
            optimizer.param_groups[0]["lr"] = rate
        p.grad = grad.clone()
        optimizer.step()
        values.append(p.detach().clone())
    return values


def same(one: list[Tensor], other: list[Tensor], rtol: float = 1e-12) -> None:
    torch.testing.assert_close(torch.stack(one), torch.stack(other), rtol=rtol, atol=1e-14)


RATES = [0.1 / (k + 1) for k in range(40)]


def test_momentum_is_torchs_while_the_rate_is_constant() -> None:
    ours = trace(Momentum, gradients(), lr=0.1, gamma=0.9)
    same(ours, trace(torch.optim.SGD, gradients(), lr=0.1, momentum=0.9))


def test_a_rate_that_changes_acts_on_new_gradients_only_in_torch_on_all() -> None:
    # One gradient of 1, then none: what is left of it is 0.9 of it, at the old rate or the new.
    steps = {"grads": [1.0, 0.0], "rates": [0.1, 0.01]}
    first, second = trace(Momentum, **steps, gamma=0.9)
    assert (second - first).item() == pytest.approx(-0.9 * 0.1)
    first, second = trace(torch.optim.SGD, **steps, momentum=0.9)
    assert (second - first).item() == pytest.approx(-0.9 * 0.01)


def test_averaged_momentum_is_torchs_with_the_rate_times_one_minus_gamma_also_if_it_changes() -> (
    None
):
    ours = trace(AveragedMomentum, gradients(), RATES, gamma=0.9)
    torchs = trace(torch.optim.SGD, gradients(), [0.1 * rate for rate in RATES], momentum=0.9)
    same(ours, torchs, rtol=1e-11)
    # The two forms of the notes agree while it does not.
    constant = trace(AveragedMomentum, gradients(), lr=0.5, gamma=0.9)
    same(constant, trace(Momentum, gradients(), lr=0.05, gamma=0.9), rtol=1e-11)
    assert (trace(Momentum, gradients(), RATES, gamma=0.9)[-1] - ours[-1]).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_momentum_it_is_plain_gradient_descent_to_the_last_bit(dtype: torch.dtype) -> None:
    p = torch.nn.Parameter(torch.randn(1000, dtype=dtype, generator=GENERATOR.manual_seed(0)))
    expected = p.detach().clone()
    optimizer = Momentum([p], lr=0.3, gamma=0.0)
    for k in range(20):
        optimizer.param_groups[0]["lr"] = lr = 0.3 / (k + 1)
        p.grad = torch.randn(1000, dtype=dtype, generator=GENERATOR)
        optimizer.step()
        expected = expected - lr * p.grad
        assert torch.equal(p, expected)


def test_without_momentum_it_is_torchs_sgd() -> None:
    same(trace(Momentum, gradients(), RATES, gamma=0.0), trace(torch.optim.SGD, gradients(), RATES))


def test_adadelta_is_torchs_rmsprop_but_for_the_place_of_epsilon() -> None:
    def both(grads: Iterable[Tensor | float], **settings: float) -> tuple[Tensor, Tensor]:
        ours = trace(Adadelta, grads, gamma=0.9, **settings)
        torchs = trace(torch.optim.RMSprop, grads, alpha=0.9, **settings)
        if settings["eps"] == 0:
            same(ours, torchs)
        return ours[-1], torchs[-1]

    both(gradients(), lr=0.01, eps=0.0)
    ours, torchs = both([1.0], lr=1.0, eps=1e-8)
    assert ours.item() == pytest.approx(-1 / 0.1**0.5, rel=1e-6)
    assert torchs.item() == pytest.approx(-1 / 0.1**0.5, rel=1e-6)
    # Gradient 1e-6: ours divides by 1e-4, torch's by √0.1·1e-6.
    ours, torchs = both([1e-6], lr=1.0, eps=1e-8)
    assert ours.item() == pytest.approx(-1e-2, rel=1e-4)
    assert torchs.item() == pytest.approx(-1 / (0.1**0.5 + 0.01), rel=1e-6)


def test_adadelta_is_not_torchs_adadelta() -> None:
    (ours,) = trace(Adadelta, [1.0], lr=1.0, gamma=0.9, eps=1e-6)
    (torchs,) = trace(torch.optim.Adadelta, [1.0], lr=1.0, rho=0.9, eps=1e-6)
    assert (torchs / ours).item() == pytest.approx(1e-6**0.5)


def test_adam_is_torchs_without_epsilon() -> None:
    ours = trace(Adam, gradients(), RATES, eps=0.0)
    same(ours, trace(torch.optim.Adam, gradients(), RATES, eps=0.0), rtol=1e-11)


def test_adamax_is_torchs_without_bias_correction() -> None:
    """Their first steps differ by 1 − β1, the later ones by 1 − β1ᵗ, which goes to 1."""
    ours = trace(Adamax, [1.0] * 100, lr=1.0, betas=(0.9, 0.999), eps=0.0)
    torchs = trace(torch.optim.Adamax, [1.0] * 100, lr=1.0, betas=(0.9, 0.999), eps=0.0)
    assert ours[0].item() == pytest.approx(-0.1)
    assert torchs[0].item() == pytest.approx(-1)
    assert (ours[1] - ours[0]).item() == pytest.approx(-0.19)
    assert (ours[-1] - ours[-2]).item() == pytest.approx(-(1 - 0.9**100))
    assert (torchs[-1] - torchs[-2]).item() == pytest.approx(-1)
    # The same to the end where the rate makes up for it.
    rates = [0.01 / (1 - 0.9 ** (k + 1)) for k in range(40)]
    corrected = trace(Adamax, gradients(), rates, eps=0.0)
    same(corrected, trace(torch.optim.Adamax, gradients(), lr=0.01, eps=0.0), rtol=1e-11)


def test_the_adamaxes_have_epsilon_in_different_places() -> None:
    """In torch's it stays in the maximum: after a gradient of 0 it is worth β2·ε, here still ε."""
    for optimiser, below in ((Adamax, 0.5e-6 + 1e-6), (torch.optim.Adamax, 0.5 * 2e-6)):
        first, second = trace(optimiser, [1e-6, 0.0], lr=1.0, betas=(0.0, 0.5), eps=1e-6)
        assert first.item() == pytest.approx(-1e-6 / 2e-6)
        first, second = trace(optimiser, [1e-6, 0.0], lr=1.0, betas=(0.5, 0.5), eps=1e-6)
        m, correction = 0.25e-6, (1 if optimiser is Adamax else 1 - 0.5**2)
        assert (second - first).item() == pytest.approx(-m / correction / below)
