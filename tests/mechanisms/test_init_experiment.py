"""Data-dependent init: moments through layers, and the verdict on made-up tables."""

import pandas as pd
import pytest

from wnrepro.mechanisms import init
from wnrepro.mechanisms.training import training

PART = {
    "kind": "moments", "arm": "wn", "init": 1, "depth": 6, "seed": 0, "optimiser": "adam",
    "learning_rate": 0.001, "epochs": 1, "batch_size": 100, "width": 64,
}  # fmt: skip


@pytest.mark.parametrize("arm", ["wn", "plain"])
def test_the_init_normalises_every_layer(arm):
    rows = init.layers(training(PART | {"arm": arm}))
    assert [row["layer"] for row in rows] == list(range(1, 8))
    for row in rows:
        assert row["init_batch_largest_mean"] < 1e-5
        assert row["init_batch_lowest_variance"] == pytest.approx(1, abs=1e-5)
        assert row["init_batch_highest_variance"] == pytest.approx(1, abs=1e-5)
        assert 0.5 < row["other_median_variance"] < 2
        assert row["gradient_rms"] > 0


def test_without_it_the_variance_halves_from_layer_to_layer():
    rows = init.layers(training(PART | {"init": 0, "depth": 12, "width": 128}))
    variances = [row["init_batch_median_variance"] for row in rows[:-1]]
    rate = (variances[-1] / variances[1]) ** (1 / (len(variances) - 2))
    assert 0.2 < rate < 0.6


def test_looking_does_not_change_the_network():
    once, twice = (init.layers(training(PART)) for _ in range(2))
    assert once == twice
    run = training(PART)
    init.layers(run)
    assert not any(module._forward_hooks for module in run.model.modules())


def test_a_training_part_gives_a_loss():
    found = init.measure(PART | {"kind": "training", "depth": 1})
    (row,) = found["init"]
    assert row["train_loss_nats"] == row["train_loss_first_epoch_nats"]
    assert set(found) == {"init"}


def table(reach=(4, 8), off=1e-4, seeds=5, uneven=False):
    """Training that starts up to reach[init] layers."""
    depths, rates = (2, 4, 8, 16), (0.001, 0.01)
    runs = [
        {
            "arm": arm, "init": has_init, "depth": depth, "seed": seed, "learning_rate": rate,
            "train_loss_nats": 0.1
            if rate == 0.01 and depth <= (reach[has_init] if not (uneven and seed % 2) else 4)
            else 2.3,
        }
        for arm in ("wn", "plain") for has_init in (0, 1) for depth in depths
        for seed in range(seeds) for rate in rates
    ]  # fmt: skip
    layers = [
        {
            "arm": "wn", "init": has_init, "depth": depth, "seed": seed, "layer": layer,
            "init_batch_largest_mean": off, "init_batch_lowest_variance": 1 - off,
            "init_batch_highest_variance": 1 + off, "other_median_variance": 1.1 + 0.01 * seed,
        }
        for has_init in (0, 1) for depth in depths for seed in range(seeds)
        for layer in range(1, depth + 2)
    ]  # fmt: skip
    return {"init": pd.DataFrame(runs), "init_layers": pd.DataFrame(layers)}


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, "reproduced"),
        ({"off": 0.1}, "not reproduced"),
        ({"reach": (8, 8)}, "not reproduced"),
        ({"reach": (8, 4)}, "not reproduced"),
        ({"uneven": True}, "inconclusive"),
        ({"seeds": 2}, "inconclusive"),
    ],
)
def test_verdict(options, outcome):
    assert init.verdict(table(**options)).outcome == outcome


def test_the_deepest_start_has_no_gap_below_it():
    runs = table()["init"]
    runs.loc[(runs.depth == 4) & (runs.init == 1), "train_loss_nats"] = 2.3
    assert init.deepest(runs, "wn", 1) == [2] * 5
    runs.loc[runs.depth == 2, "train_loss_nats"] = float("inf")
    assert init.deepest(runs, "wn", 1) == [1] * 5
