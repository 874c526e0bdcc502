"""Epochs to a level, with curves made by hand; times relative to plain."""

import math
from pathlib import Path

import pytest
from example import configs, run, write

from wnrepro.analysis.evidence import select
from wnrepro.analysis.exhibits.thresholds import first_epoch, first_epochs, relative_times
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import load

NAN = math.nan


def curve(*values: float) -> dict[int, float]:
    return dict(enumerate(values, 1))


@pytest.mark.parametrize(
    ("values", "percent", "epoch"),
    [
        ((9.0, 6.0, 4.0, 3.0), 5.0, 3),
        ((9.0, 5.0), 5.0, 2),  # at most: the level itself counts
        ((9.0, 4.0, 6.0, 2.0), 5.0, 2),  # the first time, though it rises again
        ((9.0, 8.0, 7.0), 5.0, NAN),
        ((9.0, NAN, 4.0), 5.0, 3),
        ((NAN, NAN), 5.0, NAN),
        ((1.0,), 5.0, 1),
        ((), 5.0, NAN),
    ],
)
def test_first_epoch(values: tuple[float, ...], percent: float, epoch: float) -> None:
    assert first_epoch(curve(*values), percent) == pytest.approx(epoch, nan_ok=True)


def test_every_run_counts_and_a_diverged_one_did_not_get_there(tmp_path: Path) -> None:
    wn = [c for c in configs("digits_arms") if c["norm"]["name"] == "wn"][:3]
    # 10·(s+1)/epoch: at most 5 at epochs 2, 4, 6; the run that diverges ends at epoch 3.
    runs = [
        run(c, lambda c, epoch: 10 * (c["seed"] + 1) / epoch, diverged=c["seed"] == 2) for c in wn
    ]
    records = select(load(write(tmp_path / "results", runs)), "digits_arms")
    found = first_epochs(records, records.runs, 5.0)
    assert found == pytest.approx({0: 2, 1: 4, 2: NAN}, nan_ok=True)


def test_the_papers_own_numbers(theirs: Paper) -> None:
    found = {
        (arm, percent): first_epoch(theirs.training_error(arm), percent)
        for arm in ("plain", "wn", "bn")
        for percent in (5.0, 3.0)
    }
    assert (found["plain", 5.0], found["wn", 5.0], found["bn", 5.0]) == (49, 36, 32)
    assert (found["plain", 3.0], found["wn", 3.0]) == (101, 54)
    assert math.isnan(first_epoch(theirs.training_error("plain_frozen_scale"), 5.0))


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
