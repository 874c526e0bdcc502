"""Every optimiser, step by step: its equation, and what all of them share."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor

from wnrepro import equations
from wnrepro.optim import OPTIMISERS, Adadelta, Adam, Adamax, AveragedMomentum, Momentum
from wnrepro.optim.foreach import ForeachOptimizer

Settings = dict[str, Any]
State = tuple[Tensor, ...]
Step = Callable[[Tensor, Tensor, State, int, Settings], tuple[Tensor, ...]]


def with_gamma(equation: Callable) -> Step:
    def step(w: Tensor, grad: Tensor, state: State, t: int, s: Settings) -> tuple[Tensor, ...]:
        others = {key: s[key] for key in ("gamma", "eps") if key in s}
        return equation(w, grad, *state, lr=s["lr"], **others)

    return step


def with_betas(equation: Callable, *, counts: bool) -> Step:
    def step(w: Tensor, grad: Tensor, state: State, t: int, s: Settings) -> tuple[Tensor, ...]:
        beta1, beta2 = s["betas"]
        number = (t,) if counts else ()
        numbers = {"lr": s["lr"], "beta1": beta1, "beta2": beta2, "eps": s["eps"]}
        return equation(w, grad, *state, *number, **numbers)

    return step


EQUATIONS: dict[type[ForeachOptimizer], Step] = {
    Momentum: with_gamma(equations.momentum),
    AveragedMomentum: with_gamma(equations.momentum_averaged),
    Adadelta: with_gamma(equations.adadelta),
    Adam: with_betas(equations.adam, counts=True),
    Adamax: with_betas(equations.adamax, counts=False),
}


def in_the_state(optimizer: ForeachOptimizer, p: Tensor, name: str) -> float:
    """What a state has more than the equation's: Adam's s averages ∇² + ε."""
    if not (isinstance(optimizer, Adam) and name == "s"):
        return 0.0
    group = next(g for g in optimizer.param_groups if any(p is each for each in g["params"]))
    return group["eps"] * (1 - group["betas"][1] ** optimizer.state[p]["step"])


each_optimiser = pytest.mark.parametrize("optimiser", EQUATIONS)


def test_these_are_all() -> None:
    params = [torch.nn.Parameter(torch.ones(1))]
    assert set(EQUATIONS) == {type(each(params, lr=0.1)) for each in OPTIMISERS.values()}


decays = st.floats(0, 0.999)
settings_of_a_group = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-5, 1.0),
        "gamma": decays,
        "betas": st.tuples(decays, decays),
        "eps": st.sampled_from([1e-8, 1e-4, 1.0]),
    }
)
shapes = st.lists(st.integers(1, 5), max_size=4)


@each_optimiser
@examples(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    groups=st.lists(
        st.tuples(settings_of_a_group, st.lists(shapes, min_size=1, max_size=3)),
        min_size=2,
        max_size=3,
    ),
    scale=st.sampled_from([1e-6, 1.0, 1e3]),
    rates=st.lists(st.floats(0, 2), min_size=20, max_size=20),
    late=decays,
)
def test_every_step_is_the_equation(
    optimiser: type[ForeachOptimizer],
    seed: int,
    groups: list[tuple[Settings, list[list[int]]]],
    scale: float,
    rates: list[float],
    late: float,
) -> None:
    """20 steps, several groups, every rate and decay changing, gradients missing now and then."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: Any) -> Tensor:
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    taken = optimiser([torch.zeros(1)]).defaults
    param_groups = [
        {
            "params": [torch.nn.Parameter(draw(shape)) for shape in of_group],
            **{key: value for key, value in settings.items() if key in taken},
        }
        for settings, of_group in groups
    ]
    optimizer = optimiser(param_groups)
    expected = {
        p: (p.detach().clone(), *(torch.zeros_like(p) for _ in optimiser.state_names))
        for group in optimizer.param_groups
        for p in group["params"]
    }
    done = dict.fromkeys(expected, 0)
    largest: dict[tuple[Tensor, str], float] = {}

    def close(p: Tensor, name: str, a: Tensor, b: Tensor) -> None:
        """To 1e-12 of the largest value that the tensor has had: its elements may cancel."""
        largest[p, name] = max(largest.get((p, name), 0.0), b.abs().max().item())
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * largest[p, name])

    for p, (w, *_) in expected.items():
        close(p, "w", p.detach(), w)
    for k, rate in enumerate(rates):
        for group, (settings, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = rate * settings["lr"]
            if k == 10 and "gamma" in group:
                group["gamma"] = late
            if k == 10 and "betas" in group:
                group["betas"] = (late, group["betas"][1])
            for p in group["params"]:
                p.grad = draw(p.shape)
                if torch.rand((), generator=generator) < 0.2:
                    p.grad = None
                    continue
                done[p] += 1
                w, *state = expected[p]
                expected[p] = EQUATIONS[optimiser](w, p.grad, tuple(state), done[p], group)
        optimizer.step()
        for p, (w, *state) in expected.items():
            close(p, "w", p.detach(), w)
            for name, tensor in zip(optimiser.state_names, state, strict=True):
                if done[p]:
                    have = optimizer.state[p][name]
                    close(p, name, have, tensor + in_the_state(optimizer, p, name))


@each_optimiser
def test_parameters_without_a_gradient_are_left_alone_and_their_time_stands_still(
    optimiser: type[ForeachOptimizer],
) -> None:
    a, b = (torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))
    optimizer = optimiser([a, b])
    for k in range(4):
        a.grad = torch.ones_like(a)
        b.grad = torch.ones_like(b) if k == 3 else None
        assert torch.equal(b, torch.ones_like(b))
        assert b not in optimizer.state
        optimizer.step()
    alone = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    alone.grad = torch.ones_like(alone)
    optimiser([alone]).step()
    assert torch.equal(b, alone)


@each_optimiser
def test_state_round_trip_goes_on_bit_for_bit(optimiser: type[ForeachOptimizer]) -> None:
    def steps(optimizer: ForeachOptimizer, p: Tensor, seeds: range) -> None:
        for seed in seeds:
            p.grad = torch.randn(7, generator=torch.Generator().manual_seed(seed))
            optimizer.step()

    p = torch.nn.Parameter(torch.ones(7))
    optimizer = optimiser([p], lr=0.07)
    steps(optimizer, p, range(5))
    q = torch.nn.Parameter(p.detach().clone())
    other = optimiser([q])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert set(optimizer.state[p]) == {"step", *optimiser.state_names}
    steps(optimizer, p, range(5, 9))
    steps(other, q, range(5, 9))
    assert torch.equal(p, q)


@each_optimiser
def test_state_has_the_memory_format_and_type_of_its_parameter(
    optimiser: type[ForeachOptimizer],
) -> None:
    images = torch.ones(2, 3, 4, 5, dtype=torch.bfloat16)
    p = torch.nn.Parameter(images.to(memory_format=torch.channels_last))
    p.grad = torch.ones_like(p)
    optimizer = optimiser([p])
    for _ in range(2):
        optimizer.step()
    for name in optimiser.state_names:
        tensor = optimizer.state[p][name]
        assert (tensor.stride(), tensor.dtype) == (p.stride(), p.dtype)
    assert p.is_contiguous(memory_format=torch.channels_last)


@each_optimiser
def test_closure_and_groups(optimiser: type[ForeachOptimizer]) -> None:
    p = torch.nn.Parameter(torch.tensor([2.0]))
    still = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = optimiser([{"params": [p]}, {"params": [still], "lr": 0.0}], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p**2 + still**2).sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss is not None
    assert loss.item() == 8.0
    assert p.item() < 2
    assert still.item() == 2


@each_optimiser
def test_sparse_gradients_are_refused(optimiser: type[ForeachOptimizer]) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match=f"{optimiser.__name__} takes dense gradients only"):
        optimiser([p]).step()
    optimizer = optimiser([p])
    p.grad = torch.ones(3)
    optimizer.step()
    p.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match=f"{optimiser.__name__} takes dense gradients only"):
        optimizer.step()


@each_optimiser
def test_a_step_that_is_refused_does_not_count(optimiser: type[ForeachOptimizer]) -> None:
    """Nor does it change anything, wherever the gradient lies that is refused."""
    a, b, c = (torch.nn.Parameter(torch.ones(3)) for _ in range(3))
    optimizer = optimiser([{"params": [a, b]}, {"params": [c]}])
    for k in range(3):
        for p in (a, b, c):
            p.grad = torch.full_like(p, 0.3)
        refused = (a, b, c)[k]
        refused.grad = torch.ones(3).to_sparse()
        before = copy.deepcopy(optimizer.state_dict()), [p.detach().clone() for p in (a, b, c)]
        with pytest.raises(RuntimeError, match="dense"):
            optimizer.step()
        after = optimizer.state_dict(), [p.detach() for p in (a, b, c)]
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        refused.grad = torch.full_like(refused, 0.3)
        optimizer.step()
        assert [optimizer.state[p]["step"] for p in (a, b, c)] == [k + 1] * 3


@each_optimiser
def test_complex_parameters_are_refused(optimiser: type[ForeachOptimizer]) -> None:
    real = torch.nn.Parameter(torch.ones(3))
    complex_one = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
    with pytest.raises(ValueError, match=f"{optimiser.__name__} takes real parameters only"):
        optimiser([real, complex_one])
    optimizer = optimiser([real])
    with pytest.raises(ValueError, match="real parameters only"):
        optimizer.add_param_group({"params": complex_one})
    assert [group["params"] for group in optimizer.param_groups] == [[real]]


@each_optimiser
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype_of_rate", [torch.float32, torch.float64])
def test_a_learning_rate_may_be_a_tensor(
    optimiser: type[ForeachOptimizer], dtype: torch.dtype, dtype_of_rate: torch.dtype
) -> None:
    """Of any type, from the start or later, and changed in place: as the number it holds."""
    rate = torch.tensor(0.25, dtype=dtype_of_rate)
    p, q, r = (torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(3))
    from_the_start, later, numbers = optimiser([p], lr=rate), optimiser([q]), optimiser([r])
    later.param_groups[0]["lr"] = rate
    for k in range(3):
        rate.fill_(0.25 / 2**k)
        numbers.param_groups[0]["lr"] = 0.25 / 2**k
        for each in (p, q, r):
            each.grad = torch.full_like(each, 0.3 + k)
        for optimizer in (from_the_start, later, numbers):
            optimizer.step()
    assert torch.equal(p, r)
    assert torch.equal(q, r)


@each_optimiser
def test_values_out_of_range_are_refused(optimiser: type[ForeachOptimizer]) -> None:
    params = [torch.nn.Parameter(torch.ones(1))]
    bad = {
        "lr": (-1.0, float("nan")),
        "betas": ((1.0, 0.9), (0.9, -0.1), (0.9, float("nan")), (), (0.9,), (0.9, 0.9, 0.9)),
        "gamma": (1.0, -0.1, float("nan")),
        "eps": (-1e-8, float("nan")),
    }
    taken = optimiser(params).defaults
    for key, values in bad.items():
        for value in values if key in taken else ():
            with pytest.raises(ValueError, match="must"):
                optimiser(params, **{key: value})
            with pytest.raises(ValueError, match="must"):
                optimiser([{"params": params, key: value}])
