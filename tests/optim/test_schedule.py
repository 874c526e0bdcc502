"""The schedule: exact at both ends, and the authors' in between."""

import pytest

from wnrepro.optim import Schedule


def test_the_papers_200_epochs() -> None:
    schedule = Schedule(200, 0.003)
    for epoch in range(200):
        authors = 0.003 * min(2.0 - epoch / 100.0, 1.0)
        assert schedule.learning_rate(epoch) == pytest.approx(authors, rel=1e-12)
        assert schedule.beta1_at(epoch) == (0.9 if epoch < 100 else 0.5)


def test_exact_in_the_first_and_the_last_epoch() -> None:
    schedule = Schedule(200, 1.0)
    assert schedule.learning_rate(0) == 1.0
    assert schedule.learning_rate(100) == 1.0
    assert schedule.learning_rate(199) == 0.01


@pytest.mark.parametrize("epochs", [1, 12, 100])
def test_constant_is_the_first_half_of_a_schedule_twice_as_long(epochs: int) -> None:
    constant, twice = Schedule(epochs, 0.003, constant=True), Schedule(2 * epochs, 0.003)
    for epoch in range(epochs):
        assert constant.learning_rate(epoch) == twice.learning_rate(epoch) == 0.003
        assert constant.beta1_at(epoch) == twice.beta1_at(epoch) == 0.9


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 30])
def test_any_number_of_epochs_starts_full_and_ends_near_nothing(epochs: int) -> None:
    schedule = Schedule(epochs, 0.5)
    rates = [schedule.learning_rate(epoch) for epoch in range(epochs)]
    assert rates[0] == 0.5
    assert rates[-1] == min(0.5, 0.5 * 2 / epochs)
    assert rates == sorted(rates, reverse=True)
    assert all(rate > 0 for rate in rates)
    assert schedule.beta1_at(0) == 0.9
    assert schedule.beta1_at(epochs - 1) == (0.9 if epochs == 1 else 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "at least 1 epoch, not 0"),
        ({"epochs": -3}, "at least 1 epoch, not -3"),
        ({"lr": -0.1}, "learning rate must be at least 0"),
        ({"lr": float("nan")}, "learning rate must be at least 0"),
        ({"beta1": 1.0}, "beta must lie"),
        ({"beta1_late": 1.5}, r"beta must lie in \[0, 1\), not 0.9 and then 1.5"),
        ({"beta1_late": float("nan")}, "beta must lie"),
    ],
)
def test_values_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**{"epochs": 10, "lr": 0.1, **settings})


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("epoch", [-1, 10, 12])
def test_there_is_no_epoch_outside_the_schedule(epoch: int, constant: bool) -> None:
    schedule = Schedule(10, 0.1, constant=constant)
    for ask in (schedule.learning_rate, schedule.beta1_at):
        with pytest.raises(ValueError, match=f"there is no epoch {epoch}$"):
            ask(epoch)
