"""The paper's Adam: ε inside the root, β1 free to change."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wnrepro.optim import Adam


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


def test_parameters_without_a_gradient_are_left_alone_and_their_time_stands_still() -> None:
    a, b = (torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))
    optimizer = Adam([a, b], lr=0.1)
    for k in range(4):
        a.grad = torch.ones_like(a)
        b.grad = torch.ones_like(b) if k == 3 else None
        optimizer.step()
    alone = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    alone.grad = torch.ones_like(alone)
    Adam([alone], lr=0.1).step()
    assert torch.equal(b, alone)


def test_state_round_trip_goes_on_bit_for_bit() -> None:
    def steps(optimizer: Adam, p: Tensor, seeds: range) -> None:
        for seed in seeds:
            p.grad = torch.randn(7, generator=torch.Generator().manual_seed(seed))
            optimizer.step()

    p = torch.nn.Parameter(torch.ones(7))
    optimizer = Adam([p])
    steps(optimizer, p, range(5))
    q = torch.nn.Parameter(p.detach().clone())
    other = Adam([q])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, p, range(5, 9))
    steps(other, q, range(5, 9))
    assert torch.equal(p, q)


def test_closure_and_groups() -> None:
    p = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = Adam([{"params": [p], "lr": 0.5}], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss is not None
    assert loss.item() == 4.0
    assert p.item() == pytest.approx(1.5)


@pytest.mark.parametrize(
    "options", [{"lr": -1.0}, {"lr": float("nan")}, {"betas": (1.0, 0.9)}, {"eps": -1e-8}]
)
def test_values_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        Adam([torch.nn.Parameter(torch.ones(1))], **options)
