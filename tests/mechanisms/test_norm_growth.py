"""Norm growth: the law on a tiny problem, and the verdict on made-up tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from wnrepro.mechanisms import norm_growth
from wnrepro.mechanisms.training import training, units

TINY = {
    "optimiser": "gd", "learning_rate": 0.3, "seed": 0, "arm": "wn", "other_rate": 0.1,
    "epochs": 1, "batch_size": 100, "width": 8, "depth": 1, "noise_std": 1.0,
    "shown_units_per_layer": 2,
}  # fmt: skip


def test_gradient_descent_keeps_the_law():
    found = norm_growth.measure(TINY)
    (row,) = found["norm_growth"]
    assert row["unit_steps"] == 14 * (8 + 10)
    assert row["law_error_max_relative"] < 1e-6
    assert row["falls"] == 0
    assert row["norm_after_over_before"] > 1
    points = pd.DataFrame(found["norm_growth_points"])
    assert set(points.step) == {1, 2, 4, 8}
    law = np.sqrt(1 + points.c**2) - 1
    assert np.allclose(points.growth_relative, law, rtol=1e-2, atol=2e-7)


def test_the_ruler_sees_a_step_that_breaks_the_law():
    """A step along v: c = 0.1, but ‖v‖ grows by 0.1, or falls by as much."""
    run = training(TINY)
    v = units(run.model)["hidden1"].v
    for sign in (1, -1):
        ruler = norm_growth.Ruler(run.optimizer, [v])
        ruler.before()
        with torch.no_grad():
            v.mul_(1 + 0.1 * sign)
        ruler.after()
        assert np.allclose(ruler.c, 0.1, atol=1e-6)
        assert np.allclose(ruler.growth, 1 + 0.1 * sign, atol=1e-6)


def test_adam_lets_norms_fall():
    (row,) = norm_growth.measure(TINY | {"optimiser": "adam", "learning_rate": 0.001})[
        "norm_growth"
    ]
    assert row["falls"] > 0
    assert row["law_error_max_relative"] > 1e-5


def table(error=1e-7, falls=0, rising=True, seeds=5):
    rows = [
        {
            "optimiser": optimiser, "learning_rate": rate, "seed": seed, "diverged": 0,
            "unit_steps": 1000, "falls": falls if optimiser == "gd" else 200,
            "grew_beyond_law": 500, "law_error_q99_relative": error / 2,
            "law_error_max_relative": error,
            "norm_after_over_before": 1 + (rate if rising else 1 / (1 + rate)),
        }
        for optimiser in ("gd", "momentum", "adam")
        for rate in (0.01, 0.1, 1.0, 10.0)
        for seed in range(seeds)
    ]  # fmt: skip
    return {"norm_growth": pd.DataFrame(rows)}


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, "reproduced"),
        ({"error": 1e-4}, "not reproduced"),
        ({"falls": 1}, "not reproduced"),
        ({"rising": False}, "reproduced"),  # a correlation without a control is not judged
        ({"seeds": 2}, "inconclusive"),
        ({"seeds": 1}, "inconclusive"),
    ],
)
def test_verdict(options, outcome):
    verdict = norm_growth.verdict(table(**options))
    assert verdict.outcome == outcome
    assert all(finding.n for finding in verdict.findings)
