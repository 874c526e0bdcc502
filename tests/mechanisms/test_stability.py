"""Self-stabilisation: the range of good rates, a tiny run, and the verdict on made-up tables."""

import math

import numpy as np
import pandas as pd
import pytest

from wnrepro.mechanisms import stability
from wnrepro.mechanisms.loss_range import good_range

RATES = [1e-3, 1e-2, 1e-1, 1.0, 10.0]


def test_the_ends_are_interpolated_in_log_log():
    # loss = |log10(rate)| doublings around 1, so that 10 % are log2(1.1) decades to each side
    losses = [2.0 ** abs(math.log10(rate)) for rate in RATES]
    found = good_range(RATES, losses)
    assert found.best == 1
    assert math.log10(found.high) == pytest.approx(math.log2(1.1))
    assert found.decades == pytest.approx(2 * math.log2(1.1))
    assert not found.cut


def test_a_diverged_rate_ends_the_range():
    assert good_range(RATES, [9, 1, 1, math.inf, 1]).high == 0.1
    assert good_range(RATES, [9, 1, 1, math.nan, 1]).high == 0.1
    with pytest.raises(ValueError, match="diverged"):
        good_range(RATES, [math.inf] * 5)


def test_a_range_up_to_the_last_rate_says_so():
    assert good_range(RATES, [9, 1, 1, 1, 1]).cut
    assert good_range(RATES, [9, 1, 1, 1, 1]).high == 10


def test_only_the_unbroken_part_around_the_best_counts():
    assert good_range(RATES, [1.05, 1.5, 1.0, 1.02, 9]).low > 1e-2


def part(**changes):
    return {
        "setting": "gd", "optimiser": "gd", "arm": "wn", "learning_rate": 0.1, "seed": 0,
        "epochs": 2, "judged_epochs": 1, "batch_size": 100, "width": 8, "depth": 1,
        "noise_std": 1.0,
    } | changes  # fmt: skip


def test_a_run_gives_its_loss_and_its_effective_steps():
    found = stability.measure(part())
    (row,) = found["stability"]
    assert row["diverged"] == 0
    assert 0 < row["train_loss_nats"] < 10
    steps = found["stability_steps"]
    assert [each["step"] for each in steps] == [1, 2, 4, 8, 16]
    for each in steps:  # with η = 0.1 and x = g/‖v‖: 0.1·x and 0.1·x²
        assert each["effective_rate_of_w"] == pytest.approx(10 * each["effective_step"] ** 2)
    assert stability.measure(part(arm="plain"))["stability_steps"] == []


def test_a_diverged_run_is_data():
    (row,) = stability.measure(part(arm="plain", learning_rate=1e4))["stability"]
    assert row["diverged"] == 1
    assert row["train_loss_nats"] == math.inf


def test_a_fixed_rate_of_g_and_b_keeps_weight_norm_finite():
    """The claim in small: v's rate is a million times too large, and the loss stays finite."""
    changes = {"learning_rate": 1e5, "other_rate": 0.1}
    (row,) = stability.measure(part(**changes))["stability"]
    assert row["diverged"] == 0
    (row,) = stability.measure(part(arm="plain", **changes))["stability"]
    assert row["diverged"] == 1 or row["train_loss_nats"] > 1e3


def table(wider: dict[str, float], seeds=5, spread=0.0):
    """Losses of a well of which plain's is 1 decade wide and weight norm's `wider` more."""
    rows = []
    rng = np.random.default_rng(0)
    rates = 10 ** np.linspace(-3, 3, 61)
    for setting, more in wider.items():
        for arm in ("plain", "wn"):
            for seed in range(seeds):
                half = 0.5 * (1 + (more if arm == "wn" else 0) + spread * rng.normal())
                outside = np.maximum(np.abs(np.log10(rates)) - half, 0)
                rows += [
                    {
                        "setting": setting, "arm": arm, "learning_rate": rate, "seed": seed,
                        "diverged": 0, "train_loss_nats": loss,
                    }
                    for rate, loss in zip(rates, 0.5 * 10 ** (3 * outside), strict=True)
                ]  # fmt: skip
    steps = pd.DataFrame(
        columns=["setting", "arm", "learning_rate", "seed", "step", "effective_step"]
    )
    return {"stability": pd.DataFrame(rows), "stability_steps": steps}


@pytest.mark.parametrize(
    ("more", "options", "outcome"),
    [
        (1.0, {}, "reproduced"),
        (0.0, {}, "not reproduced"),
        (-0.3, {}, "not reproduced"),
        (0.6, {"spread": 0.6}, "inconclusive"),
        (1.0, {"seeds": 2}, "inconclusive"),
    ],
)
def test_verdict(more, options, outcome):
    (found,) = stability.verdict(table({"gd": more}, **options))
    assert found.outcome == outcome


def test_each_optimiser_is_judged_by_itself():
    found = stability.verdict(table({"gd": 0.0, "adam": 1.0}))
    assert [(each.on, each.outcome) for each in found] == [
        ("gradient descent", "not reproduced"),
        ("Adam", "reproduced"),
    ]


def test_a_range_that_is_wider_at_the_low_end_alone_corrects_no_rate_that_is_too_large():
    data = table({"gd": 1.0})
    losses = data["stability"]
    wn = losses.arm == "wn"
    # Half a decade down: the upper end is then plain's, and the range as wide as before.
    losses.loc[wn, "learning_rate"] /= 10**0.5
    (found,) = stability.verdict(data)
    assert found.outcome == "not reproduced"
    assert "the whole range is +1.0" in found.because
