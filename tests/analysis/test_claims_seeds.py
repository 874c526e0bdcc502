"""What so many seeds can decide: against a simulation, and against the noncentral t."""

import math
from pathlib import Path

import numpy as np
import pytest
from claims_example import Run, records, table1
from scipy import stats

from wnrepro.analysis.claims import rendering
from wnrepro.analysis.claims.seeds import LIKELY, pairing, power, powers

EQUAL, LOWER = (-0.25, 0.25), (-math.inf, -0.1)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize(
    ("true", "region"), [(0.03, EQUAL), (-0.38, LOWER), (0.2, (0.1, math.inf))]
)
def test_a_simulation_has_the_same_share(n, true, region):
    draws = np.random.default_rng(n).normal(true, 0.2, (40_000, n))
    half = stats.t.ppf(0.975, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
    inside = (draws.mean(1) - half > region[0]) & (draws.mean(1) + half < region[1])
    assert power(n, 0.2, true, *region) == pytest.approx(inside.mean(), abs=0.01)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_with_one_end_it_is_a_noncentral_t(n):
    off = (-0.1 - -0.38) / (0.2 / math.sqrt(n))
    expected = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, off)
    assert power(n, 0.2, -0.38, *LOWER) == pytest.approx(expected, abs=1e-3)


def test_the_edge_itself_is_crossed_in_one_of_forty_cases():
    assert power(5, 0.2, -0.1, *LOWER) == pytest.approx(0.025, abs=1e-3)


def example(spread: float):
    runs = {
        (arm, 0.003, seed): Run(test=10 + sign * off)
        for arm, sign in (("plain", 1), ("wn", -1), ("bn", 0), ("mean_only_bn", 1))
        for seed, off in enumerate(np.array([-1.0, 0.0, 1.0]) * spread)
    }
    return records("fashion_mnist_arms", runs, epochs=20)


def test_the_spread_is_that_of_the_runs():
    found = {each.claim.id: each for each in powers(example(0.1))}
    assert found["4a"].sd == pytest.approx(0.2)  # plain and weight norm go apart
    assert found["4e"].sd == pytest.approx(0.1)
    assert (found["4a"].n, found["4a"].evidence) == (3, "fashion_mnist_arms")
    expected = {n: power(n, 0.2, 0.03, *EQUAL) for n in (3, 5, 10)}
    assert found["4a"].chances == pytest.approx(expected)
    assert "4d" not in found  # an arm is missing
    enough = found["4c"].enough
    sd = found["4c"].sd
    assert power(enough, sd, -0.38, *LOWER) >= LIKELY > power(enough - 1, sd, -0.38, *LOWER)
    assert {each.claim.id: each for each in powers(example(3.0))}["4a"].enough is None


def test_how_far_the_arms_go_up_and_down_with_plain():
    assert list(pairing(example(0.1))) == [
        ("Fashion-MNIST, MLP 2 × 256", pytest.approx(-1), pytest.approx(1), 3)
    ]


def test_it_stands_beside_the_claims(tmp_path: Path):
    rendering.write(tmp_path, [], example(0.1))
    text = (tmp_path / "claims.md").read_text()
    assert "| 4a | 0.03 percentage points | from −0.25 to 0.25 percentage points | 0.20 |" in text
    assert "Worth their hours: 3 seeds: 4" in text
    assert (tmp_path / "tables/power.csv").read_text().count("fashion_mnist_arms") == len(
        powers(example(0.1))
    )
    rendering.write(tmp_path, [], table1())
    assert "No experiment has a spread" in (tmp_path / "claims.md").read_text()
