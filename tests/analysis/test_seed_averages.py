"""Mean curves against numbers by hand."""

from pathlib import Path

import numpy as np
import pytest
from example import configs, run, write

from wnrepro.analysis.averages import over_seeds
from wnrepro.analysis.records import Records, load
from wnrepro.statistics import t_interval

WN = [c for c in configs("digits_arms") if c["norm"]["name"] == "wn"]


def records(tmp_path: Path, n: int, diverged: tuple[int, ...] = ()) -> Records:
    """Seed s has the error 10·(s + 1)/epoch: at epoch 1 10, 20, 30, …"""
    runs = [
        run(config, lambda c, epoch: 10 * (c["seed"] + 1) / epoch, config["seed"] in diverged)
        for config in WN[:n]
    ]
    return load(write(tmp_path / "results", runs))


def test_mean_and_interval_at_each_epoch(tmp_path: Path) -> None:
    average = over_seeds(records(tmp_path, 3), "wn", "train_error_percent")
    assert average is not None
    assert list(average.x) == list(range(1, 31))
    assert average.n == 3
    for epoch in (1, 2, 30):
        by_hand = t_interval([10 / epoch, 20 / epoch, 30 / epoch])
        drawn = average.mean[epoch - 1], average.low[epoch - 1], average.high[epoch - 1]
        assert drawn == pytest.approx((by_hand.estimate, by_hand.low, by_hand.high))


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    average = over_seeds(records(tmp_path, 1), "wn", "train_error_percent")
    assert average.n == 1
    assert average.mean[0] == 10
    assert np.isnan(average.low).all()
    assert np.isnan(average.high).all()


def test_against_time_it_is_the_sum_of_the_epochs_times(tmp_path: Path) -> None:
    average = over_seeds(records(tmp_path, 2), "wn", "train_error_percent", "train_time_sec")
    assert average.x == pytest.approx(2.5 * np.arange(1, 31))


def test_a_run_that_diverged_is_no_part_of_the_mean_at_any_epoch_and_does_not_vanish(
    tmp_path: Path,
) -> None:
    average = over_seeds(records(tmp_path, 3, diverged=(2,)), "wn", "train_error_percent")
    assert average.n == 2
    assert average.mean[0] == pytest.approx(15)
    assert average.mean[-1] == pytest.approx(15 / 30)
    ((x, y),) = average.stopped
    assert list(x) == [1, 2, 3]
    assert list(y) == [30, 15, 90]


def test_all_diverged(tmp_path: Path) -> None:
    average = over_seeds(records(tmp_path, 2, diverged=(0, 1)), "wn", "train_error_percent")
    assert average.n == 0
    assert len(average.stopped) == 2
    assert len(average.x) == 0


def test_nothing_there(tmp_path: Path) -> None:
    found = records(tmp_path, 2)
    assert over_seeds(found, "bn", "train_error_percent") is None
    assert over_seeds(found, "wn", "held_out_error_percent") is None
