"""The optimisers' equations, step by step against torch's optimisers and numbers worked by hand."""

from collections.abc import Callable

import pytest
import torch
from comparison import assert_close, draw
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wnrepro.equations import adadelta, adam, adam_averaged, adamax, momentum, momentum_averaged

shapes = st.lists(st.integers(1, 4), max_size=3)
seeds = st.integers(0, 2**31)
rates = st.floats(1e-4, 1.0)
decays = st.floats(0, 0.999)
scales = st.sampled_from([1e-100, 1e-6, 1.0, 1e3, 1e100])
STEPS = 6


def number(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def gradients(shape: list[int], seed: int, scale: float = 1.0) -> list[Tensor]:
    return [scale * draw(*shape, seed=seed + k) for k in range(STEPS)]


def torchs(
    optimizer: Callable[..., torch.optim.Optimizer], w: Tensor, steps: list[Tensor], **options
) -> list[Tensor]:
    """The way of w under an optimiser of torch; a list as `lr` holds one per step."""
    p = torch.nn.Parameter(w.clone())
    lr = options.pop("lr")
    rates = lr if isinstance(lr, list) else [lr] * len(steps)
    its = optimizer([p], lr=rates[0], **options)
    way = []
    for gradient, rate in zip(steps, rates, strict=True):
        its.param_groups[0]["lr"] = rate
        p.grad = gradient.clone()
        its.step()
        way.append(p.detach().clone())
    return way


@given(shape=shapes, seed=seeds, lr=rates, gamma=decays, scale=scales)
def test_momentum_is_torchs_sgd_and_both_forms_are_equal(shape, seed, lr, gamma, scale):
    steps = gradients(shape, seed, scale)
    w = averaged = scale * draw(*shape, seed=seed - 1)
    v = m = torch.zeros_like(w)
    reference = torchs(torch.optim.SGD, w, steps, lr=lr, momentum=gamma)
    eta = lr / (1 - gamma)  # η = η′(1 − γ)
    for gradient, expected in zip(steps, reference, strict=True):
        w, v = momentum(w, gradient, v, lr=lr, gamma=gamma)
        averaged, m = momentum_averaged(averaged, gradient, m, lr=eta, gamma=gamma)
        assert_close(w, expected, scale=scale)
        assert_close(averaged, w, scale=scale)
        assert_close(eta * m, v, scale=scale)


def test_a_learning_rate_that_changes_takes_effect_on_new_gradients_only():
    w = v = number(0.0)
    w, v = momentum(w, number(1.0), v, lr=1.0, gamma=0.5)
    w, v = momentum(w, number(1.0), v, lr=0.0, gamma=0.5)
    assert (w.item(), v.item()) == (-1.5, 0.5)
    way = torchs(torch.optim.SGD, number(0.0), [number(1.0)] * 2, lr=[1.0, 0.0], momentum=0.5)
    assert way[-1].item() == -1
    w = m = number(0.0)
    w, m = momentum_averaged(w, number(1.0), m, lr=2.0, gamma=0.5)
    w, m = momentum_averaged(w, number(1.0), m, lr=0.0, gamma=0.5)
    assert (w.item(), m.item()) == (-1, 0.75)


@given(shape=shapes, seed=seeds, lr=rates, gamma=decays, scale=scales)
def test_the_notes_adadelta_is_torchs_rmsprop_but_for_epsilon(shape, seed, lr, gamma, scale):
    steps = gradients(shape, seed, scale)
    w, g2 = draw(*shape, seed=seed - 1), torch.zeros(shape, dtype=torch.float64)
    reference = torchs(torch.optim.RMSprop, w, steps, lr=lr, alpha=gamma, eps=0.0)
    for gradient, expected in zip(steps, reference, strict=True):
        w, g2 = adadelta(w, gradient, g2, lr=lr, gamma=gamma, eps=0.0)
        assert_close(w, expected)


@given(seed=seeds, gamma=st.floats(0, 0.99), eps=st.sampled_from([1e-8, 1e-4, 1.0]))
def test_the_notes_adadelta_has_epsilon_inside_the_root(seed, gamma, eps):
    start, gradient = draw(3, seed=seed), draw(3, seed=seed + 1)
    moved, _ = adadelta(start, gradient, torch.zeros_like(start), lr=1.0, gamma=gamma, eps=eps)
    root = (1 - gamma) * gradient**2
    assert_close(moved, start - gradient / (root + eps).sqrt(), scale=gradient / eps**0.5)
    (outside,) = torchs(torch.optim.RMSprop, start, [gradient], lr=1.0, alpha=gamma, eps=eps)
    assert_close(outside, start - gradient / (root.sqrt() + eps), scale=gradient / eps)


def test_epsilon_inside_and_outside_the_root_at_a_small_gradient():
    small = [number(1e-6)]
    (outside,) = torchs(torch.optim.RMSprop, number(0.0), small, lr=1.0, alpha=0.0, eps=1e-8)
    inside, _ = adadelta(number(0.0), small[0], number(0.0), lr=1.0, gamma=0.0, eps=1e-8)
    assert outside.item() == pytest.approx(-1 / 1.01, rel=1e-12)
    assert inside.item() == pytest.approx(-(10001**-0.5), rel=1e-12)


@given(shape=shapes, seed=seeds, gamma=st.floats(0, 0.99), eps=st.sampled_from([1e-6, 1e-3]))
def test_torchs_adadelta_is_this_one_times_the_root_mean_square_of_its_past_steps(
    shape, seed, gamma, eps
):
    steps = gradients(shape, seed)
    start = draw(*shape, seed=seed - 1)
    theirs = torchs(torch.optim.Adadelta, start, steps, lr=1.0, rho=gamma, eps=eps)
    before, g2, past = start, torch.zeros_like(start), torch.zeros_like(start)
    ours = step = start
    for k, (gradient, after) in enumerate(zip(steps, theirs, strict=True)):
        ours, g2 = adadelta(torch.zeros_like(start), gradient, g2, lr=1.0, gamma=gamma, eps=eps)
        step = (past + eps).sqrt() * ours
        assert_close(after, before + step, scale=start.abs().max() + 1)
        past = gamma * past + (1 - gamma) * step**2
        before = after
        if k == 0:
            assert_close(step, eps**0.5 * ours)
    assert (ours.abs() > step.abs()).all()


@given(shape=shapes, seed=seeds, lr=rates, beta1=decays, beta2=decays, scale=scales)
def test_adam_without_epsilon_is_torchs_and_both_forms_are_equal(
    shape, seed, lr, beta1, beta2, scale
):
    steps = gradients(shape, seed, scale)
    w = averaged = draw(*shape, seed=seed - 1)
    m = s = torch.zeros_like(w)
    m_hat, s_hat = draw(*shape, seed=seed - 2), draw(*shape, seed=seed - 3)
    numbers = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": 0.0}
    reference = torchs(torch.optim.Adam, w, steps, lr=lr, betas=(beta1, beta2), eps=0.0)
    # A step can be as long as lr·STEPS^½/(1 − β2)^½, and with it the rounding error of w.
    size = w.abs().max() + 100 * lr
    for t, (gradient, expected) in enumerate(zip(steps, reference, strict=True), 1):
        w, m, s = adam(w, gradient, m, s, t, **numbers)
        averaged, m_hat, s_hat = adam_averaged(averaged, gradient, m_hat, s_hat, t, **numbers)
        assert_close(w, expected, scale=size)
        assert_close(averaged, w, scale=size)
        assert_close(m_hat, m / (1 - beta1**t), scale=scale)
        assert_close(s_hat, s / (1 - beta2**t), scale=scale**2)


@given(gradient=st.floats(1e-9, 10), lr=rates, beta1=decays, beta2=decays)
@pytest.mark.parametrize("eps", [1e-8, 1.0])
def test_adam_on_a_constant_gradient_steps_by_it_over_the_root_with_epsilon(
    eps, gradient, lr, beta1, beta2
):
    w = m = s = number(0.0)
    for t in range(1, STEPS + 1):
        w, m, s = adam(w, number(gradient), m, s, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    expected = -STEPS * lr * gradient / (gradient**2 + eps) ** 0.5
    assert_close(w, number(expected))


def test_adam_worked_by_hand_where_beta1_changes():
    w = m = s = number(0.0)
    m_hat = s_hat = before = number(0.0)
    for t, beta1 in enumerate([0.9, 0.9, 0.9, 0.5], 1):
        numbers = {"lr": 1.0, "beta1": beta1, "beta2": 0.0, "eps": 3.0}
        before = w
        w, m, s = adam(w, number(1.0), m, s, t, **numbers)
        _, m_hat, s_hat = adam_averaged(w, number(1.0), m_hat, s_hat, t, **numbers)
    # m = 0.271·0.5 + 0.5; corrected with the β1 in force, 1 − 0.5⁴; √(1 + 3) = 2
    assert (before - w).item() == pytest.approx(0.6355 / 0.9375 / 2, rel=1e-12)
    # of a constant, an average is that constant
    assert m_hat.item() == pytest.approx(1, rel=1e-12)


@given(shape=shapes, seed=seeds, lr=rates, beta1=decays, beta2=decays, scale=scales)
def test_adamax_is_torchs_without_its_bias_correction(shape, seed, lr, beta1, beta2, scale):
    steps = gradients(shape, seed, scale)
    w = draw(*shape, seed=seed - 1)
    m = u = torch.zeros_like(w)
    undone = [lr * (1 - beta1**t) for t in range(1, STEPS + 1)]
    reference = torchs(torch.optim.Adamax, w, steps, lr=undone, betas=(beta1, beta2), eps=0.0)
    for gradient, expected in zip(steps, reference, strict=True):
        w, m, u = adamax(w, gradient, m, u, lr=lr, beta1=beta1, beta2=beta2, eps=0.0)
        # m can be far above the newest u: rounding errors are those of the longest step
        assert_close(w, expected, scale=w.abs().max() + lr)


def test_adamax_worked_by_hand():
    numbers = {"lr": 1.0, "beta1": 0.5, "beta2": 0.25, "eps": 1.0}
    w = torch.zeros(2, dtype=torch.float64)
    first, second = torch.tensor([[4.0, -1.0], [0.5, 3.0]], dtype=torch.float64)
    w, m, u = adamax(w, first, w, w, **numbers)
    assert w.tolist() == [-2 / 5, 0.5 / 2]
    assert (m.tolist(), u.tolist()) == ([2, -0.5], [4, 1])
    w, m, u = adamax(w, second, m, u, **numbers)
    assert (m.tolist(), u.tolist()) == ([1.25, 1.25], [1, 3])
    assert w.tolist() == pytest.approx([-2 / 5 - 1.25 / 2, 0.25 - 1.25 / 4], rel=1e-15)


def test_adamax_starts_shorter_than_torchs():
    one = number(1.0)
    (theirs,) = torchs(torch.optim.Adamax, number(0.0), [one], lr=0.002, betas=(0.9, 0.999))
    zero = number(0.0)
    ours, _, _ = adamax(zero, one, zero, zero, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-6)
    assert theirs.item() == pytest.approx(-0.002, rel=1e-6)
    assert ours.item() == pytest.approx(-0.0002 / (1 + 1e-6), rel=1e-12)


TWO = {"lr": 0.1, "gamma": 0.9}
THREE = {**TWO, "eps": 1e-8}
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
EVERY = [
    (momentum, 3, (), TWO),
    (momentum_averaged, 3, (), TWO),
    (adadelta, 3, (), THREE),
    (adam, 4, (1,), ADAM),
    (adam_averaged, 4, (1,), ADAM),
    (adamax, 4, (), ADAM),
]


@pytest.mark.parametrize(("step", "count", "rest", "numbers"), EVERY)
def test_nothing_is_changed_in_place(step, count, rest, numbers):
    tensors = [draw(2, 3, seed=k).abs() for k in range(count)]
    copies = [t.clone() for t in tensors]
    out = step(*tensors, *rest, **numbers)
    assert all(torch.equal(t, copy) for t, copy in zip(tensors, copies, strict=True))
    assert all(o.data_ptr() != t.data_ptr() for o in out for t in tensors)


@pytest.mark.parametrize(("step", "count", "rest", "numbers"), EVERY)
def test_what_every_step_refuses(step, count, rest, numbers):
    def refused(message: str, *tensors: Tensor, rest=rest, **changed: float) -> None:
        with pytest.raises(ValueError, match=message) as raised:
            step(*tensors, *rest, **{**numbers, **changed})
        assert "\n" not in str(raised.value)

    good = [torch.ones(2, 3, dtype=torch.float64) for _ in range(count)]
    for k in range(count):
        refused("must be float64, got float32", *good[:k], good[k].float(), *good[k + 1 :])
        refused("must be float64, got int64", *good[:k], good[k].long(), *good[k + 1 :])
    for k in range(1, count):  # broadcasting would be silent
        refused(r"shape of w, \(2, 3\), got \(3,\)", *good[:k], good[k][0], *good[k + 1 :])
    for name in numbers.keys() - {"lr", "eps"}:
        refused(r"must lie in \[0, 1\), got 1.0", *good, **{name: 1.0})
        refused("must lie in", *good, **{name: -0.1})
    if "eps" in numbers:
        refused("eps must be at least 0, got -1.0", *good, eps=-1.0)
    if rest:
        refused("t counts steps from 1, got 0", *good, rest=(0,))
