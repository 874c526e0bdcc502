"""Verdicts follow from the records: where the truth is known, they say it."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from claims_example import (
    ARMS,
    BY_ID,
    DIVERGED,
    Run,
    records,
    table1,
    table1_runs,
    together,
    verdict,
)

from wnrepro.analysis.claims import rendering
from wnrepro.analysis.claims.criteria import CLAIMS, OURS
from wnrepro.analysis.claims.judgement import (
    MECHANISM,
    NEAREST,
    OUR_VERDICT,
    VERDICT,
    all_rows,
    judge,
)
from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.runs.tables import UNFINISHED

EXPERIMENTS = [claim.id for claim in CLAIMS if claim.judged_by[0] == "cifar_table1"]


@pytest.mark.parametrize("id_", EXPERIMENTS)
def test_the_papers_own_numbers_reproduce_the_paper(id_):
    row = verdict(id_, table1())
    assert (row.verdict, row.n, row.settle) == ("reproduced", "5", "")
    assert "95 % t interval" in row.interval
    assert (row.hardware, row.commit) == ("H100", "0123456789")


OPPOSITES = {
    "1a": {"wn": Run(decay=0.95)},
    "1b": {"wn": Run(decay=0.95)},
    "2a": {"bn": Run(decay=0.94)},
    "2b": {"bn": Run(epoch_time=18.1)},
    "2c": {"wn": Run(epoch_time=11.0)},
    "3a": {"wn": Run(decay=0.96)},
    "3b": {"plain": Run(decay=0.93)},
    "3c": {"mean_only_bn": Run(decay=0.93)},
    "4a": {"wn": Run(test=8.0)},
    "4b": {"mean_only_bn": Run(test=9.0)},
    "4c": {"bn": Run(test=8.43)},
    "4d": {"plain": Run(test=7.3)},
    "4e": {"plain": Run(test=9.2)},
    "4f": {"wn": Run(test=7.5)},
    "4g": {"mean_only_bn": Run(test=9.2)},
    "4h": {"bn": Run(test=8.8)},
    "4i": {"wn_mean_only_bn": Run(test=8.0)},
    "6a": {"wn": Run(norms=(1.0, 1.05))},
}


def test_every_claim_has_its_opposite():
    assert sorted(OPPOSITES) == sorted(EXPERIMENTS)


@pytest.mark.parametrize(("id_", "changes"), OPPOSITES.items())
def test_what_contradicts_the_paper_is_not_reproduced(id_, changes):
    row = verdict(id_, table1(**changes))
    assert (row.verdict, row.settle) == ("not reproduced", "")


@pytest.mark.parametrize("id_", EXPERIMENTS)
def test_two_seeds_give_no_verdict(id_):
    row = verdict(id_, table1(seeds=2))
    assert (row.verdict, row.n) == ("inconclusive", "2")
    assert row.settle == "python -m wnrepro.train -m +sweep=cifar_table1"


@pytest.mark.parametrize("id_", EXPERIMENTS)
def test_without_an_arm_there_is_no_evidence(id_):
    of = table1(arms=[arm for arm in ARMS if arm not in OPPOSITES[id_]])
    row = verdict(id_, of)
    assert (row.verdict, row.n, row.because) == ("not tested", "0", "no evidence yet")
    assert (row.ours, row.hardware, row.commit) == ("", "", "")
    assert "+sweep=cifar_table1" in row.settle


@pytest.mark.parametrize("id_", [i for i in EXPERIMENTS if i[0] in "346" or i == "2b"])
def test_a_run_that_diverged_stops_the_verdict(id_):
    runs = table1_runs(5)
    arm = next(iter(OPPOSITES[id_]))
    key = next(key for key in runs if key[0] == arm and key[2] == 1)
    runs[key] = DIVERGED
    row = verdict(id_, records("cifar_table1", runs))
    assert row.verdict == "inconclusive"
    assert "1 of 5 runs" in row.because
    assert "diverged" in row.because
    assert row.n == "4"
    assert "not more seeds" in row.settle


def test_no_difference_found_is_not_equality():
    """The noise is so large that nothing is detected: inconclusive, with more seeds to run."""
    runs = table1_runs(3)
    for seed, test in enumerate((7.9, 8.5, 9.0)):
        runs["wn", 0.003, seed] = Run(test=test)
    row = verdict("4a", records("cifar_table1", runs))
    assert row.verdict == "inconclusive"
    assert "reaches across" in row.because
    assert row.settle.endswith("+sweep=cifar_table1 seed=3,4,5,6,7")


def test_the_best_arm_is_held_against_each_other():
    row = verdict("4d", table1())
    assert row.ours.startswith("−0.7")
    assert row.ours.endswith("against batch norm, the closest call")


def test_a_comparison_that_fails_is_shown_and_not_one_that_is_merely_less_certain():
    """Against batch norm it is surely worse; against weight norm, with more noise, undecided."""
    runs = table1_runs(5, wn_mean_only_bn=Run(test=8.14), bn=Run(test=8.05))
    for seed, test in enumerate((7.6, 8.7, 8.0, 8.4, 7.9)):
        runs["wn", 0.003, seed] = Run(test=test)
    row = verdict("4d", records("cifar_table1", runs))
    assert row.verdict == "not reproduced"
    assert row.ours == (
        "+0.09 percentage points [+0.09, +0.09] against batch norm, the comparison that fails"
    )


def test_equal_numbers_of_epochs_have_an_interval_of_their_rounding():
    """20 epochs against 21 in every seed may be less than 0.95 times as many, or more."""
    fast, slow = (math.exp(math.log(4.9 / 90) / epochs) for epochs in (19.5, 20.5))
    of = table1(bn=Run(decay=fast, floor=0.0), wn=Run(decay=slow, floor=0.0))
    row = verdict("2a", of)
    low, high = (19.5 / 21.5, 20.5 / 20.5)
    assert row.ours == f"{20 / 21:.2f} times [{low:.2f}, {high:.2f}]"
    assert "wider by the rounding to whole epochs" in row.interval
    assert row.verdict == "inconclusive"


def test_precisions_are_not_pooled_and_the_one_with_more_seeds_judges():
    of = together(
        records("cifar_table1", table1_runs(1)), records("cifar_table1_bf16", table1_runs(4))
    )
    first, *beside = judge(BY_ID["4a"], of)
    assert (first.n, first.verdict) == ("4", "reproduced")
    assert first.judged_on == "CIFAR-10, the paper's protocol, bf16"
    assert [(row.role, row.n) for row in beside] == [(NEAREST, "1")]
    assert beside[0].interval == "none: one value has no interval"


def test_the_precision_that_judges_is_not_chosen_by_what_diverged():
    runs = table1_runs(3)
    runs["wn", 0.003, 1] = DIVERGED
    of = together(records("cifar_table1", runs), records("cifar_table1_bf16", table1_runs(3)))
    first, beside = judge(BY_ID["4a"], of)
    assert (first.verdict, first.because) == ("inconclusive", "1 of 3 runs of weight norm diverged")
    assert (beside.judged_on, beside.n) == ("CIFAR-10, the paper's protocol, bf16", "3")


def test_runs_that_diverged_are_named_with_the_nearest_evidence_too():
    runs = {(arm, 0.003, seed): run for (arm, _, seed), run in table1_runs(3).items()}
    runs["wn", 0.003, 1] = DIVERGED
    _, beside = judge(BY_ID["4a"], records("mnist_arms", runs, epochs=20))
    assert (beside.n, beside.because) == ("2", "1 of 3 runs of weight norm diverged")


@pytest.mark.parametrize("id_", EXPERIMENTS)
def test_other_data_stand_beside_and_never_judge(id_):
    runs = {(arm, 0.003, seed): run for (arm, _, seed), run in table1_runs(5).items()}
    first, *beside = judge(BY_ID[id_], records("mnist_arms", runs, epochs=20))
    assert (first.role, first.verdict, first.n) == (VERDICT, "not tested", "0")
    assert all((row.role, row.verdict) == (NEAREST, "") for row in beside)
    assert all("MNIST" in row.judged_on for row in beside)


def test_runs_in_progress_give_no_verdict_and_change_none():
    """Two seeds have finished; the third is on its way, with any errors whatever."""
    runs = table1_runs(3)
    finished = {key: run for key, run in runs.items() if key[2] < 2}
    going = {
        key: replace(run, status=UNFINISHED, test=1.0) for key, run in runs.items() if key[2] == 2
    }
    both = records("cifar_table1", finished | going)
    alone = records("cifar_table1", finished)
    for claim in CLAIMS:
        assert judge(claim, both) == judge(claim, alone)
    assert verdict("4a", both).n == "2"


def test_the_files_are_stable_and_say_the_same(tmp_path: Path):
    rows = all_rows(table1(), tmp_path)
    for name in ("a", "b"):
        rendering.write(tmp_path / name, rows, table1())
    for path in (rendering.MARKDOWN, rendering.TABLE, rendering.POWER):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    table = pd.read_csv(tmp_path / "a" / rendering.TABLE, dtype=str, keep_default_na=False)
    assert table.to_dict("records") == [asdict(row) for row in rows]
    assert [row.id for row in rows if row.role == VERDICT] == [claim.id for claim in CLAIMS]
    assert [row.id for row in rows if row.role == OUR_VERDICT] == [claim.id for claim in OURS]
    assert not [row for row in rows if row.role == MECHANISM]
    text = (tmp_path / "a" / rendering.MARKDOWN).read_text()
    assert "18 reproduced, 0 not reproduced, 0 inconclusive, 13 not tested" in text
    assert "There is no `mechanisms/verdicts.csv`: `python scripts/mechanisms.py` writes it" in text


def test_no_runs_at_all(tmp_path: Path):
    some = table1()
    rows = all_rows(some.of(some.runs.index[:0]), tmp_path)
    assert {(row.verdict, row.n) for row in rows} == {("not tested", "0")}
    assert all(row.settle.startswith("python -m wnrepro.train") for row in rows)


def test_no_verdict_on_the_papers_experiment_rests_on_another_network():
    papers = {
        "convpool_cnn_c": 96,
        "draw": 256,
        "vae_mnist": 16,
        "vae_cifar": 160,
        "nature_cnn": 512,
    }
    for name in {name for claim in CLAIMS for name in claim.judged_by}:
        for setting in EVIDENCE[name].settings:
            assert papers[setting["model.name"]] == setting["model.width"]
    assert {claim.judged_by[0] for claim in CLAIMS[:20]} == {"cifar_table1", "cifar_lr_selection"}


def test_welchs_interval_stands_beside_and_the_paired_one_judges():
    """Equal ups and downs in both arms: paired there is no spread left, apart there is."""
    runs = table1_runs(3)
    for seed, off in enumerate((-0.3, 0.0, 0.3)):
        runs["wn", 0.003, seed] = Run(test=8.5 + off)
        runs["plain", 0.0003, seed] = Run(test=8.4 + off)
    row = verdict("4a", records("cifar_table1", runs))
    assert row.verdict == "reproduced"
    assert row.ours == "+0.10 percentage points [+0.10, +0.10]"
    assert row.interval == "95 % t interval over differences paired by seed"
    half = 0.3 * (2 / 3) ** 0.5 * 2.7764  # Student's t with 4 degrees of freedom
    assert row.welch == f"[−{half - 0.1:.2f}, +{half + 0.1:.2f}]"


def test_what_plain_shows_as_well_says_nothing_about_weight_norm():
    """‖v‖ doubles, and so does plain's ‖w‖."""
    row = verdict("6a", table1(wn=Run(norms=(1.0, 2.0)), plain=Run(norms=(1.0, 2.0))))
    assert row.verdict != "reproduced"
    assert row.ours == "1.00 times [1.00, 1.00]"
