"""L2: what shrinking does to the function, the imitation, and the verdict on made-up tables."""

import math

import pandas as pd
import pytest
import torch

from wnrepro.mechanisms import l2
from wnrepro.mechanisms.l2 import imitate, logits, penalise, target, train
from wnrepro.mechanisms.training import training, units

PART = {
    "penalised": "v", "penalty": 0.3, "seed": 0, "precision": "float64", "arm": "wn",
    "optimiser": "gd", "learning_rate": 0.1, "epochs": 1, "batch_size": 100, "width": 16,
    "depth": 2, "noise_std": 1.0,
}  # fmt: skip
ON = {what: PART | {"penalised": what, "arm": l2.ARM_OF[what]} for what in l2.ARM_OF}


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_halving_v_changes_not_one_bit(precision):
    run = training(PART | {"precision": precision})
    images = run.dataset.evaluation.images
    before = logits(run, images)
    with torch.no_grad():
        for unit in units(run.model).values():
            target(unit, "v").mul_(0.5)
    assert torch.equal(logits(run, images), before)


@pytest.mark.parametrize(("what", "changes"), [("v", False), ("g", True), ("w", True)])
def test_shrinking(what, changes):
    run = training(ON[what])
    before = logits(run, run.dataset.evaluation.images)
    for _, change in l2.shrink(run, what, (0.9, 0.3)):
        assert change > 0.05 if changes else change < 1e-14
    assert torch.equal(logits(run, run.dataset.evaluation.images), before)  # it is put back


def test_a_penalty_on_v_is_a_learning_rate():
    penalised, imitated = train(PART, penalise(0.3)), train(PART, imitate(0.3, 0.1))
    without = train(PART)
    assert sorted(penalised.logits) == [1, 2, 4, 8, 14]
    for step in penalised.logits:
        assert l2.difference(penalised, imitated, step) < 1e-12
    assert l2.difference(penalised, without, 14) > 1e-3
    # αₜ·uₜ: the imitation's v is longer by 1/α, the effective rate η/‖v‖² of the penalised larger
    v, u = (units(course.run.model)["hidden1"].v for course in (penalised, imitated))
    torch.testing.assert_close(v, (1 - 0.03) ** 14 * u)
    assert penalised.effective_rate[14] > without.effective_rate[14]


@pytest.mark.parametrize("what", ["g", "w"])
def test_a_penalty_on_g_or_w_is_not(what):
    penalised, imitated = train(ON[what], penalise(0.3)), train(ON[what], imitate(0.3, 0.1))
    assert l2.difference(penalised, imitated, 14) > 0.05
    assert l2.weight_norm_of(penalised.run) < l2.weight_norm_of(imitated.run)


def test_the_penalty_is_torchs_weight_decay():
    penalised = train(PART, penalise(0.3))
    run = training(PART)
    vs = [unit.v for unit in units(run.model).values()]
    rest = [p for p in run.model.parameters() if all(p is not v for v in vs)]
    groups = [{"params": vs, "weight_decay": 0.3}, {"params": rest}]
    run.training.optimizer = torch.optim.SGD(groups, lr=0.1)
    list(run.losses())
    for name, parameter in run.model.named_parameters():
        torch.testing.assert_close(parameter, penalised.run.model.get_parameter(name))


def test_a_difference_from_what_diverged_is_infinite():
    course = train(PART)
    gone = train(PART)
    del gone.logits[14]
    gone.logits[8][0, 0] = math.nan
    assert l2.difference(course, gone, 14) == math.inf
    assert l2.difference(course, gone, 8) == math.inf


def table(v=1e-9, g=0.5, moved=1e-7, g_moved=0.5, seeds=5, spread=1.0):
    kinds = [("v", "float64", v), ("v", "float32", 0.1), ("g", "float64", g), ("w", "float64", g)]
    runs = [
        {
            "penalised": what, "precision": precision, "penalty": penalty, "seed": seed,
            "from_imitation_relative": size * spread ** (seed - (seeds - 1) / 2),
            "from_unpenalised_relative": 0.5, "imitation_diverged": int(size == math.inf),
        }
        for what, precision, size in kinds for penalty in (0.01, 0.1) for seed in range(seeds)
    ]  # fmt: skip
    shrinks = [
        {"penalised": what, "factor": factor, "seed": seed,
         "change_relative": moved if what == "v" else g_moved}
        for what in ("v", "g", "w") for factor in l2.SHRINKS for seed in range(seeds)
    ]  # fmt: skip
    return {"l2": pd.DataFrame(runs), "l2_shrink": pd.DataFrame(shrinks)}


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, "reproduced"),
        ({"g": math.inf}, "reproduced"),
        ({"moved": 1e-3}, "not reproduced"),
        ({"v": 0.2}, "not reproduced"),
        ({"g": 1e-6}, "not reproduced"),
        ({"v": 0.01, "spread": 10.0}, "inconclusive"),
        ({"seeds": 2}, "inconclusive"),
    ],
)
def test_verdict(options, outcome):
    assert l2.verdict(table(**options)).outcome == outcome
