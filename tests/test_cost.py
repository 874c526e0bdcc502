"""What a run takes: its arithmetic is exact, its time is of the right size."""

from collections.abc import Callable
from unittest.mock import MagicMock

import pytest

from wnrepro import cost
from wnrepro.config import Config

Compose = Callable[..., Config]


def test_the_arithmetic_of_an_mlp_is_that_of_its_products(compose: Compose) -> None:
    config = compose("norm=plain", "init=none", "epochs=7", "batch_size=100")
    weights = 64 * 256 + 256 * 256 + 256 * 10
    # Forward, and backward for weights and inputs; the images need no gradient.
    per_example = 2 * (3 * weights - 64 * 256)
    assert cost.steps(config) == 7 * (1437 // 100 + 2)
    assert cost.measure(config).flop == per_example * 100 * cost.steps(config)


def test_the_papers_network_takes_24_pflop(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """239 GFLOP a step of 100 images, 500 steps an epoch and a 15th of it for the evaluation."""
    monkeypatch.setattr(cost, "LONG_SEC", 0)
    found = cost.measure(compose("+exp=cifar_wn", "threads=1"))
    assert found.flop == pytest.approx(239.145e9 * 534 * 200, rel=0.001)
    assert found.seconds > 600


def test_what_a_first_step_takes_longer_counts_for_nothing(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, taken = [0.0], iter((100.0, 1.0))

    def train_step(batch: object) -> None:
        now[0] += next(taken)

    training = MagicMock(device="cpu", train_step=train_step)
    task = MagicMock(made_up=lambda *_: training)
    monkeypatch.setattr(cost, "part_of", lambda *_: task)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])
    config = compose("batch_size=100")
    # a second for a tenth of the batch: longer than LONG_SEC for all of it, which is not tried
    assert cost.measure(config).seconds == 10 * cost.steps(config)


def test_half_the_epochs_take_half_the_time(compose: Compose) -> None:
    whole, half = (cost.steps(compose(f"epochs={n}")) for n in (30, 15))
    assert whole == 2 * half


def test_what_is_averaged_is_evaluated_twice(compose: Compose) -> None:
    """20,000 images of evaluation an epoch are 67 steps of 100; without an average they are 34."""
    assert cost.steps(compose("+exp=vae_mnist_wn", "epochs=3")) == 3 * (500 + 67)
    assert cost.steps(compose("+exp=draw_wn", "epochs=3")) == 3 * (500 + 34)


def test_bf16_is_tried_only_where_products_are_twice_as_fast(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"float32": 12.0, "bf16": 3.0}
    monkeypatch.setattr(cost, "measure", lambda config: cost.Cost(1.0, seconds[config.precision]))
    times = iter((1.0, 0.6, 1.0, 0.4))
    monkeypatch.setattr(cost, "_product_sec", lambda matrix: next(times))
    assert cost.gain_of_bf16(compose()) == 1
    assert cost.gain_of_bf16(compose()) == 4


@pytest.mark.parametrize("experiment", ["draw_wn", "dqn_breakout_wn"])
def test_bf16_is_not_tried_where_the_task_refuses_it(
    experiment: str, compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"float32": 12.0, "bf16": 3.0}
    monkeypatch.setattr(cost, "measure", lambda config: cost.Cost(1.0, seconds[config.precision]))
    times = iter((1.0, 0.1))
    monkeypatch.setattr(cost, "_product_sec", lambda matrix: next(times))
    assert cost.gain_of_bf16(compose(f"+exp={experiment}")) == 1
