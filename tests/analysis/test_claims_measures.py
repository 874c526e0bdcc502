"""What each measure makes of runs that diverged, never got there, or are not all there."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from claims_example import Run, records, table1, table1_runs, verdict

from wnrepro.analysis.claims import measures
from wnrepro.analysis.claims.measures import norm_by_rate
from wnrepro.analysis.records import Records
from wnrepro.analysis.settings import CIFAR_RATES, MNIST_RATES


def test_seeds_that_only_one_arm_has_are_not_compared():
    runs = table1_runs(5)
    runs = {key: run for key, run in runs.items() if key[0] != "wn" or key[2] < 3}
    assert verdict("4a", records("cifar_table1", runs)).n == "3"


def test_plain_that_never_reaches_an_error_counts_for_weight_norm():
    """The ratio is then an upper bound: it can confirm the claim and cannot refute it."""
    of = table1(plain=Run(decay=0.999))
    row = verdict("1a", of)
    assert row.verdict == "reproduced"
    assert "5 of 5 runs of plain never reach 5 %" in row.because
    slow = table1(plain=Run(decay=0.999), wn=Run(decay=0.985))  # both late: ratio near 1
    row = verdict("1a", slow)
    assert row.verdict == "inconclusive"
    assert "[0.00, " in row.ours


def test_weight_norm_that_diverges_counts_against_it():
    runs = {
        k: replace(r, status="diverged") if k[0] == "wn" else r for k, r in table1_runs(5).items()
    }
    runs = {k: replace(r, decay=1.0) if k[0] == "wn" else r for k, r in runs.items()}
    assert verdict("1a", records("cifar_table1", runs)).verdict == "not reproduced"


def test_where_neither_arm_reaches_an_error_more_seeds_do_not_help():
    row = verdict("1a", table1(plain=Run(decay=1.0), wn=Run(decay=1.0)))
    assert (row.verdict, row.n) == ("inconclusive", "0")
    assert row.because == "neither arm reaches 5 % in 5 of 5 seeds"
    assert "not more seeds" in row.settle


def test_times_on_different_machines_are_not_compared():
    runs = table1_runs(5)
    for seed in (0, 1):
        runs["bn", 0.003, seed] = Run(epoch_time=100.0, gpu="T4")
    row = verdict("2b", records("cifar_table1", runs))
    assert (row.verdict, row.n, row.hardware) == ("reproduced", "3", "H100")


def rates(good: Mapping[str, tuple[float, float]], seeds: int = 3, **beyond) -> Records:
    """A test error of 2 % between two rates and 50 % beyond; the norm grows with the rate."""
    runs = {
        (arm, rate, seed): Run(test=2.0 + seed / 10, norms=grown(arm, rate, seed))
        if low <= rate <= high
        else Run(**({"test": 50.0} | beyond), norms=grown(arm, rate, seed))
        for arm, (low, high) in good.items()
        for rate in MNIST_RATES
        for seed in range(seeds)
    }
    return records("mnist_lr_robustness", runs, epochs=20)


@pytest.mark.parametrize("beyond", [{}, {"status": "diverged", "test": math.nan}])
def test_a_wider_range_of_learning_rates(beyond):
    wider = rates({"plain": (1e-3, 0.01), "wn": (1e-4, 0.1)}, **beyond)
    row = verdict("O1", wider)
    assert "with another factor than 1.5, in decades: 1.1: +" in row.because
    assert row.verdict == "reproduced"
    assert row.ours.startswith("+2.0")
    assert (
        verdict("O1", rates({"wn": (1e-3, 0.01), "plain": (1e-4, 0.1)})).verdict == "not reproduced"
    )
    assert (
        verdict("O1", rates({"plain": (1e-3, 0.01), "wn": (1e-4, 0.1)}, 2)).verdict
        == "inconclusive"
    )
    assert verdict("O1", rates({"wn": (1e-4, 0.1)})).n == "0"


def test_a_range_that_was_not_seen_to_end_is_a_lower_bound():
    row = verdict("O1", rates({"plain": (1e-3, 0.01), "wn": (1e-4, 10)}))
    assert row.verdict == "reproduced"
    assert row.ours.endswith("∞]")
    # Plain's own end was not seen: its range may be as wide.
    row = verdict("O1", rates({"plain": (1, 10), "wn": (1e-4, 0.1)}))
    assert row.verdict == "inconclusive"
    assert row.settle.endswith("the range of plain reaches the end of what was tried in 3 seeds")


def test_a_seed_that_lacks_a_rate_does_not_count():
    whole = rates({"plain": (1e-3, 0.01), "wn": (1e-4, 0.1)})
    part = whole.of(whole.runs.index.drop("mnist_lr_robustness-wn-0.3-2"))
    assert [verdict("O1", of).n for of in (whole, part)] == ["3", "2"]


def test_an_arm_that_diverges_at_every_rate_has_no_range():
    beyond = {"status": "diverged", "test": math.nan}
    row = verdict("O1", rates({"plain": (20, 30), "wn": (1e-4, 0.1)}, **beyond))
    assert (row.verdict, row.because) == (
        "inconclusive",
        "an arm diverged at every rate in 3 seeds",
    )


def grown(arm: str, rate: float, seed: int) -> tuple[float, float]:
    """With weight norm with the power 0.7 of the rate, and a little by seed; else with 0.5."""
    return (1.0, rate ** (0.7 + seed / 100 if arm == "wn" else 0.5))


def slopes(good: Mapping[str, tuple[float, float]], **beyond):
    return norm_by_rate("wn", "plain")(rates(good, **beyond))


def test_the_norm_grows_with_the_rate_more_than_plains():
    found = slopes({"wn": (1e-5, 10), "plain": (1e-5, 10)})
    assert found.values == pytest.approx((0.2, 0.21, 0.22))
    assert (found.paired, found.against, len(found.runs)) == (True, "plain", 2 * 3 * 13)
    assert found.welch().estimate == pytest.approx(0.21)
    assert slopes({"wn": (1e-5, 10)}).values == ()  # nothing without a control


def test_rates_at_which_either_arm_diverged_are_left_out_and_said():
    found = slopes({"wn": (1e-5, 0.1), "plain": (1e-5, 10)}, status="diverged")
    assert found.values == pytest.approx((0.2, 0.21, 0.22))
    assert found.note == "12 of 78 runs diverged and are left out"
    assert len(found.runs) == 2 * 3 * 9


def test_the_papers_claim_of_rates_is_judged_on_held_out_images():
    good = {"plain": (0.001, 0.003), "wn": (0.001, 0.003)}
    runs = {
        (arm, rate, seed): Run(test=9.0 if low <= rate <= high else 50.0)
        for arm, (low, high) in good.items()
        for rate in CIFAR_RATES
        for seed in range(3)
    }
    of = records("cifar_lr_selection", runs)
    row = verdict("5", of)
    assert (row.n, row.verdict) == ("3", "not reproduced")
    assert row.ours.startswith("+0.00 decades")
    of.runs["test_error_percent"] = math.nan  # it is not looked at
    assert verdict("5", of) == row


def test_the_late_error_is_the_mean_of_the_second_half():
    of = records("cifar_table1", {("plain", 0.0003, 0): Run(decay=0.5, floor=0)}, epochs=4)
    late = measures._late_training_error(of, of.runs)
    assert late == {0: pytest.approx((90 / 8 + 90 / 16) / 2)}
