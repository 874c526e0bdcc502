"""What the claims quote from the paper is what results/paper holds."""

from pathlib import Path

import pandas as pd
import pytest
from claims_example import ARMS, BY_ID, PAPER

PAPER_CURVES = (
    Path(__file__).resolve().parents[2] / "results/paper/figure1_cifar10_train_error_percent.csv"
)


def paper_curve(arm: str) -> dict[int, float]:
    curves = pd.read_csv(PAPER_CURVES)
    own = curves[curves["arm"] == arm]
    return dict(zip(own["epoch"], own["train_error_percent"], strict=True))


@pytest.mark.parametrize(
    ("id_", "ours", "other", "percent"),
    [("1a", "wn", "plain", 5), ("1b", "wn", "plain", 3), ("2a", "bn", "wn", 5)],
)
def test_the_papers_epochs_are_those_of_its_curves(id_, ours, other, percent):
    a, b = (
        min(epoch for epoch, error in paper_curve(arm).items() if error <= percent)
        for arm in (ours, other)
    )
    said = BY_ID[id_].paper
    assert said.startswith(f"epoch {a} against {b}")
    assert f": {a / b:.2f} (" in said


def test_the_papers_late_errors_are_those_of_its_curves():
    # Its last epoch is 199: it counts from 0.
    late = {
        arm: sum(error for epoch, error in paper_curve(arm).items() if epoch >= 100) / 100
        for arm in ("plain", "wn", "bn", "mean_only_bn")
    }
    wn, bn = late["wn"], late["bn"]
    assert BY_ID["3a"].paper.startswith(f"{wn:.2f} % and {bn:.2f} %: {wn - bn:+.2f} points")
    for id_, arm in (("3b", "plain"), ("3c", "mean_only_bn")):
        lag = f"{late[arm] - wn:+.2f} and {late[arm] - bn:+.2f} points"
        assert BY_ID[id_].paper.startswith(f"{late[arm]:.2f} %: {lag}")


def test_the_papers_test_errors_are_those_of_its_table():
    table = pd.read_csv(PAPER_CURVES.with_name("table1_cifar10_test_error_percent.csv"))
    assert {
        a: e for a, e in zip(table["arm"], table["test_error_percent"], strict=True) if a in ARMS
    } == PAPER
    for id_, arm in zip(
        "efghi", ("plain", "wn", "mean_only_bn", "bn", "wn_mean_only_bn"), strict=True
    ):
        claim = BY_ID[f"4{id_}"]
        assert claim.paper == f"{PAPER[arm]} %"
        assert (claim.region.low + claim.region.high) / 2 == pytest.approx(PAPER[arm])
