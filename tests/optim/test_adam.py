"""The paper's Adam: ε inside the root, β1 free to change. What all optimisers share: test_steps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wnrepro.models import build
from wnrepro.optim import Adam
from wnrepro.optim.adam import _have_kernel


class ReferenceAdam:
    """The update rule, one parameter at a time, as it is written in the docstring."""

    def __init__(self, p: Tensor, lr: float, beta2: float, eps: float) -> None:
        self.p, self.lr, self.beta2, self.eps = p, lr, beta2, eps
        self.m, self.s, self.t = torch.zeros_like(p), torch.zeros_like(p), 0

    def step(self, grad: Tensor, beta1: float) -> None:
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * grad
        self.s = self.beta2 * self.s + (1 - self.beta2) * grad * grad
        m_hat = self.m / (1 - beta1**self.t)
        s_hat = self.s / (1 - self.beta2**self.t)
        self.p = self.p - self.lr * m_hat / torch.sqrt(s_hat + self.eps)


@given(
    seed=st.integers(0, 2**31),
    lr=st.floats(1e-5, 1.0),
    beta1=st.floats(0, 0.99),
    late=st.floats(0, 0.99),
    beta2=st.floats(0.5, 0.9999),
    eps=st.sampled_from([1e-8, 1e-4, 1.0]),
    scale=st.sampled_from([1e-6, 1.0, 1e3]),
)
def test_every_step_is_the_update_rule(
    seed: int, lr: float, beta1: float, late: float, beta2: float, eps: float, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4), (5,), ()]
    start = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    params = [torch.nn.Parameter(p.clone()) for p in start]
    optimizer = Adam(params, lr, (beta1, beta2), eps)
    references = [ReferenceAdam(p, lr, beta2, eps) for p in start]
    for k in range(6):
        beta = beta1 if k < 3 else late
        optimizer.param_groups[0]["betas"] = (beta, beta2)
        for p, reference in zip(params, references, strict=True):
            p.grad = scale * torch.randn(p.shape, generator=generator, dtype=torch.float64)
            reference.step(p.grad, beta)
        optimizer.step()
        for p, reference in zip(params, references, strict=True):
            torch.testing.assert_close(p.detach(), reference.p, rtol=1e-10, atol=1e-10)


def run(optimizer_class: type, grad: float, **options: float) -> float:
    p = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = optimizer_class([p], lr=1.0, **options)
    for _ in range(3):
        p.grad = torch.tensor(grad, dtype=torch.float64)
        optimizer.step()
    return p.item()


def test_it_is_torchs_adam_where_the_gradient_is_large_and_not_where_it_is_small() -> None:
    assert run(Adam, 10.0) == pytest.approx(run(torch.optim.Adam, 10.0), rel=1e-6)
    # gradient 1e-6: ours divides by 1e-4, torch's by 1e-6
    assert run(Adam, 1e-6) == pytest.approx(-3e-2, rel=1e-3)
    assert run(torch.optim.Adam, 1e-6) == pytest.approx(-3, rel=2e-2)


def test_without_epsilon_it_is_torchs_adam() -> None:
    assert run(Adam, 1e-3, eps=0.0) == pytest.approx(run(torch.optim.Adam, 1e-3, eps=0.0))


def layouts(t: Tensor) -> list[Tensor]:
    """t, as it lies in memory otherwise: channels last, and with gaps."""
    apart = torch.zeros(*t.shape[:-1], 2 * t.shape[-1])[..., ::2].copy_(t)
    return [t, t.contiguous(memory_format=torch.channels_last), apart]


@given(
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e3]),
    eps=st.sampled_from([0.0, 1e-8, 1e-2]),
    beta2=st.sampled_from([0.0, 0.5, 0.999]),
    layout=st.integers(0, 2),
    layout_of_gradient=st.integers(0, 2),
)
def test_in_float32_it_is_the_update_rule_in_any_order_of_memory(
    seed: int, scale: float, eps: float, beta2: float, layout: int, layout_of_gradient: int
) -> None:
    """Where gradients stay far below √ε, at it and far above; β1 changes on the way."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(2, 3, 4, 5, generator=generator)
    p = torch.nn.Parameter(layouts(start)[layout])
    optimizer = Adam([p, torch.nn.Parameter(torch.ones(()))], 1e-2, (0.9, beta2), eps)
    reference = ReferenceAdam(start.double(), 1e-2, beta2, eps)
    for k in range(12):
        if k == 6:
            optimizer.param_groups[0]["betas"] = 0.5, beta2
        gradient = scale * torch.randn(start.shape, generator=generator)
        p.grad = layouts(gradient)[layout_of_gradient]
        before = p.detach().double().clone(), reference.p.clone()
        optimizer.step()
        reference.step(gradient.double(), 0.9 if k < 6 else 0.5)
        moved, expected = p.detach().double() - before[0], reference.p - before[1]
        # what float32 leaves of the step, and of the parameter that it is added to
        bound = 1e-4 * expected.abs().max() + 2e-7 * reference.p.abs().max()
        assert (moved - expected).abs().max() <= bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # with torch's kernel, without
def test_epsilon_and_beta2_count_from_the_step_on_at_which_they_are_changed(
    dtype: torch.dtype,
) -> None:
    p = torch.nn.Parameter(torch.zeros(3, dtype=dtype))
    optimizer = Adam([p], eps=1e-2)
    s = torch.zeros_like(p)
    changes = (0.9, 1e-2), (0.9, 1.0), (0.5, 1.0), (0.5, 0.0)
    for t, (beta2, eps) in enumerate(changes, start=1):
        optimizer.param_groups[0].update(betas=(0.0, beta2), eps=eps, lr=1.0)
        p.grad = torch.tensor([0.0, 0.3, -2.0], dtype=dtype)
        s = beta2 * s + (1 - beta2) * (p.grad**2 + eps)
        expected = p.detach() - p.grad / (s / (1 - beta2**t)).sqrt()
        optimizer.step()
        torch.testing.assert_close(p.detach(), expected)


def test_a_long_run_in_float32_keeps_epsilon_inside_the_root() -> None:
    """2,000 steps, each gradient ±1e-5 of a parameter's own sign: |p| grows by lr·0.1/√1.01."""
    p = torch.nn.Parameter(torch.zeros(64))
    optimizer = Adam([p], 1e-3)
    for _ in range(2000):
        p.grad = torch.full_like(p, 1e-5)
        optimizer.step()
    # ŝ = 1e-10 throughout, so m̂/√(ŝ + ε) = 1e-5/√(1.01e-8)
    torch.testing.assert_close(p.detach(), torch.full((64,), -2 * 0.0995037), rtol=1e-4, atol=0)


def test_a_training_step_of_the_convolutional_network_has_the_kernel() -> None:
    """Also its 1×1 convolutions, whose weights and gradients call one order by two names."""
    for arm in ("plain", "wn", "bn", "wn_mean_only_bn"):
        model = build("convpool_cnn_c", arm, (3, 12, 12), 10, width=4)
        model(torch.randn(6, 3, 12, 12)).square().sum().backward()
        params = [p for p in model.parameters() if p.grad is not None]
        optimizer = Adam(params)
        optimizer.step()
        gradients = [p.grad for p in params if p.grad is not None]
        states = [optimizer.state[p]["m"] for p in params]
        assert _have_kernel(params, gradients, states)
        # and not where the order is another one
        odd = [
            g.transpose(0, 1).contiguous().transpose(0, 1) if g.ndim == 4 else g for g in gradients
        ]
        assert not _have_kernel(params, odd, states)


def test_a_tensor_of_another_kind_does_not_have_the_kernel() -> None:
    """It may hold its numbers elsewhere, as those that are spread over several machines do."""

    class Other(Tensor):
        pass

    plain = torch.nn.Parameter(torch.ones(3))
    other = torch.ones(3).as_subclass(Other)
    gradient = torch.ones(3)
    assert _have_kernel([plain], [gradient], [gradient])
    assert _have_kernel([plain.detach()], [gradient], [gradient])
    assert not _have_kernel([other], [gradient], [gradient])
    assert not _have_kernel([plain, other], [gradient] * 2, [gradient] * 2)


def test_a_step_can_be_compiled() -> None:
    ends = []
    for compiled in (False, True):
        p = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = Adam([p], lr=0.1)
        step = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step
        for k in range(3):
            p.grad = torch.linspace(-1, 2, 5) * (k + 1)
            step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)
