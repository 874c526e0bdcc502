"""Epochs to a level, with curves made by hand; times relative to plain."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example import configs, run, write

from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import load
from wnrepro.analysis.thresholds import Reach, first_epoch, in_paper, reach, relative_times

NAN = math.nan


def curve(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(values) + 1), "train_error_percent": values})


@pytest.mark.parametrize(
    ("values", "percent", "epoch"),
    [
        ((9.0, 6.0, 4.0, 3.0), 5.0, 3),
        ((9.0, 5.0), 5.0, 2),  # at most: the level itself counts
        ((9.0, 4.0, 6.0, 2.0), 5.0, 2),  # the first time, though it rises again
        ((9.0, 8.0, 7.0), 5.0, None),
        ((9.0, NAN, 4.0), 5.0, 3),
        ((NAN, NAN), 5.0, None),
        ((1.0,), 5.0, 1),
        ((), 5.0, None),
    ],
)
def test_first_epoch(values: tuple[float, ...], percent: float, epoch: int | None) -> None:
    assert first_epoch(curve(*values), percent) == epoch


def test_order_of_rows_does_not_count() -> None:
    shuffled = curve(9.0, 4.0, 6.0, 2.0).iloc[[3, 0, 2, 1]]
    assert first_epoch(shuffled, 5.0) == 2


def test_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.uniform(0, 10, size=12)
        values[rng.integers(12)] = NAN
        loop = next((i + 1 for i, v in enumerate(values) if v <= 3), None)
        assert first_epoch(curve(*values), 3.0) == loop


def test_a_level_that_one_seed_did_not_reach_has_no_mean() -> None:
    assert Reach({0: 10, 1: 14}, 30).interval().estimate == 12
    censored = Reach({0: 10, 1: None, 2: 14}, 30)
    assert censored.interval() is None
    assert (censored.reached, censored.n) == (2, 3)
    assert Reach({0: None}, 30).interval() is None


def test_reach_counts_every_run_and_a_diverged_one_did_not_reach(tmp_path: Path) -> None:
    wn = [c for c in configs("digits_arms") if c["norm"]["name"] == "wn"][:3]
    # 10·(s+1)/epoch: at most 5 at epochs 2, 4, 6; the run that diverges ends at epoch 3.
    runs = [
        run(c, lambda c, epoch: 10 * (c["seed"] + 1) / epoch, diverged=c["seed"] == 2) for c in wn
    ]
    records = load(write(tmp_path / "results", runs))
    found = reach(records, "wn", 5.0)
    assert found.epochs == {0: 2, 1: 4, 2: None}
    assert found.within == 30
    assert found.interval() is None
    assert reach(records, "bn", 5.0) is None


def test_the_papers_own_numbers(theirs: Paper) -> None:
    """Facts of results/paper, as one reads the figure: wn gets to 5 % long before plain."""
    assert in_paper(theirs.figure1, "wn", 5.0) == 36
    assert in_paper(theirs.figure1, "plain", 3.0) == 101
    assert in_paper(theirs.figure1, "wn", 3.0) == 54
    assert in_paper(theirs.figure1, "plain", 0.01) is None
    assert in_paper(theirs.figure1, "plain_frozen_scale", 5.0) is None


def test_relative_times_pair_seeds_on_equal_hardware(tmp_path: Path) -> None:
    chosen = [c for c in configs("digits_arms") if c["norm"]["name"] in ("wn", "plain")]
    seconds = {("wn", 0): "3.0", ("plain", 0): "2.0", ("wn", 1): "5.0", ("plain", 1): "2.0"}
    seconds |= {("wn", 2): "9.0", ("plain", 2): "1.0", ("wn", 3): "", ("plain", 3): "1.0"}
    seconds |= {("wn", 4): "7.0", ("plain", 4): "1.0"}
    machines = {("wn", 2): "another CPU"}
    runs = []
    for config in chosen:
        key = (config["norm"]["name"], config["seed"])
        if key in seconds:
            cpu = machines.get(key, "A CPU")
            lost = key == ("wn", 4)
            runs.append(run(config, diverged=lost, time_per_epoch_sec=seconds[key], cpu=cpu))
    records = load(write(tmp_path / "results", runs))
    assert relative_times(records, "wn") == {0: 1.5, 1: 2.5}
    assert relative_times(records, "bn") == {}
