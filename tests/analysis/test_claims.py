"""Verdicts follow from the records: where the truth is known, they say it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from wnrepro.analysis import claims, claims_measures
from wnrepro.analysis.claims_judgement import judge
from wnrepro.analysis.claims_paper import CLAIMS
from wnrepro.analysis.claims_provenance import commit, hardware
from wnrepro.analysis.claims_row import MECHANISM, NEAREST, VERDICT, Row
from wnrepro.analysis.evidence import EVIDENCE, MNIST_RATES
from wnrepro.analysis.records import Records, setting_identity

PAPER_CURVES = (
    Path(__file__).resolve().parents[2] / "results/paper/figure1_cifar10_train_error_percent.csv"
)
ARMS = ("plain", "wn", "bn", "mean_only_bn", "wn_mean_only_bn")
PAPER = {"plain": 8.43, "wn": 8.46, "bn": 8.05, "mean_only_bn": 8.52, "wn_mean_only_bn": 7.31}
NOISE = (0.0, 0.03, -0.02, 0.01, -0.03)
BY_ID = {claim.id: claim for claim in CLAIMS}


@dataclass(frozen=True)
class Run:
    """What a synthetic run leaves. Its training error nears `floor` by the factor `decay`."""

    test: float = 8.5
    decay: float = 0.95
    floor: float = 0.1
    epoch_time: float = 10.0
    norms: Sequence[float] = (1.0, 2.0)
    status: str = "done"
    gpu: str = "H100"


def records(
    evidence: str, runs: Mapping[tuple[str, float, int], Run], epochs: int = 200
) -> Records:
    """Records with the runs of `evidence`, by arm, learning rate and seed."""
    settings = {(s["norm.name"], s["optim.lr"]): s for s in EVIDENCE[evidence].settings}
    rows, curves, layers = [], [], []
    for (arm, rate, seed), run in runs.items():
        identity = f"{evidence}-{arm}-{rate}-{seed}"
        config: dict = {"seed": seed}
        for key, value in settings[arm, rate].items():
            *group, last = key.split(".")
            (config.setdefault(group[0], {}) if group else config)[last] = value
        rows.append(
            {"identity": identity, "arm": arm, "learning_rate": rate, "seed": seed}
            | {"epochs": epochs, "status": run.status, "test_error_percent": run.test}
            | {"time_per_epoch_sec": run.epoch_time, "device": "cuda", "cpu": "Xeon"}
            | {"gpu": run.gpu, "threads": 1.0, "commit": "0123456789abcdef", "dirty": False}
            | {"setting": setting_identity(config)}
        )
        done = epochs if run.status == "done" else 3
        curves += [
            {"identity": identity, "epoch": e, "train_error_percent": run.floor + 90 * run.decay**e}
            for e in range(1, done + 1)
        ]
        layers += [
            {"identity": identity, "layer": layer, "epoch": e, "v_norm": norm}
            for layer in ("conv1", "dense")
            for e, norm in ((1, run.norms[0]), (done, run.norms[1]))
        ]
    columns = ["identity", "arm", "learning_rate", "seed", "epochs", "status", "setting", "commit"]
    columns += ["test_error_percent", "time_per_epoch_sec", "device", "cpu", "gpu", "threads"]
    return Records(
        pd.DataFrame(rows, columns=[*columns, "dirty"]).set_index("identity"),
        pd.DataFrame(curves, columns=["identity", "epoch", "train_error_percent"]),
        pd.DataFrame(layers, columns=["identity", "layer", "epoch", "v_norm"]),
    )


def table1(seeds: int = 5, arms: Sequence[str] = ARMS, **changes: Run) -> Records:
    """The paper's table 1 with a little noise; `changes` by arm."""
    return records("cifar_table1", table1_runs(seeds, arms, **changes))


def table1_runs(seeds: int, arms: Sequence[str] = ARMS, **changes: Run) -> dict:
    decay = {"plain": 0.942, "wn": 0.93, "bn": 0.92, "mean_only_bn": 0.945, "wn_mean_only_bn": 0.93}
    floor = {"plain": 1.0, "mean_only_bn": 1.2}
    time = {"bn": 11.6, "wn": 10.2}
    # Noise of an arm's own, so that differences have some too.
    return {
        (arm, 0.0003 if arm == "plain" else 0.003, seed): changes.get(
            arm,
            Run(
                PAPER[arm] + NOISE[(seed + k) % 5],
                decay[arm] + NOISE[(seed + k) % 5] / 100,
                floor.get(arm, 0.1),
                time.get(arm, 10.0) + NOISE[seed],
            ),
        )
        for k, arm in enumerate(arms)
        for seed in range(seeds)
    }


def verdict(id_: str, of: Records) -> Row:
    return judge(BY_ID[id_], of)[0]


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
    "6a": {"wn": Run(norms=(1.0, 0.9))},
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
    assert (row.verdict, row.n, row.because) == ("inconclusive", "0", "no evidence yet")
    assert (row.ours, row.hardware, row.commit) == ("", "", "")
    assert "+sweep=cifar_table1" in row.settle


def test_seeds_that_only_one_arm_has_are_not_compared():
    runs = table1_runs(5)
    runs = {key: run for key, run in runs.items() if key[0] != "wn" or key[2] < 3}
    assert verdict("4a", records("cifar_table1", runs)).n == "3"


DIVERGED = Run(test=math.nan, epoch_time=10.0, status="diverged", decay=1.0)


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


def test_times_on_different_machines_are_not_compared():
    runs = table1_runs(5)
    for seed in (0, 1):
        runs["bn", 0.003, seed] = Run(epoch_time=100.0, gpu="T4")
    row = verdict("2b", records("cifar_table1", runs))
    assert (row.verdict, row.n, row.hardware) == ("reproduced", "3", "H100")


def test_precisions_are_not_pooled_and_the_one_with_more_seeds_judges():
    both = [records("cifar_table1", table1_runs(1)), records("cifar_table1_bf16", table1_runs(4))]
    of = Records(*(pd.concat(parts) for parts in zip(*map(parts_of, both), strict=True)))
    first, *beside = judge(BY_ID["4a"], of)
    assert (first.n, first.verdict) == ("4", "reproduced")
    assert first.judged_on == "CIFAR-10, the paper's protocol, bf16"
    assert [(row.role, row.n) for row in beside] == [(NEAREST, "1")]
    assert beside[0].interval == "none: one value has no interval"


def test_the_precision_that_judges_is_not_chosen_by_what_diverged():
    runs = table1_runs(3)
    runs["wn", 0.003, 1] = DIVERGED
    both = [records("cifar_table1", runs), records("cifar_table1_bf16", table1_runs(3))]
    of = Records(*(pd.concat(parts) for parts in zip(*map(parts_of, both), strict=True)))
    first, beside = judge(BY_ID["4a"], of)
    assert (first.verdict, first.because) == ("inconclusive", "1 of 3 runs of weight norm diverged")
    assert (beside.judged_on, beside.n) == ("CIFAR-10, the paper's protocol, bf16", "3")


def test_runs_that_diverged_are_named_with_the_nearest_evidence_too():
    runs = {(arm, 0.003, seed): run for (arm, _, seed), run in table1_runs(3).items()}
    runs["wn", 0.003, 1] = DIVERGED
    _, beside = judge(BY_ID["4a"], records("mnist_arms", runs, epochs=20))
    assert (beside.n, beside.because) == ("2", "1 of 3 runs of weight norm diverged")


def parts_of(of: Records) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return of.runs, of.curves, of.layers


@pytest.mark.parametrize("id_", EXPERIMENTS)
def test_other_data_stand_beside_and_never_judge(id_):
    runs = {(arm, 0.003, seed): run for (arm, _, seed), run in table1_runs(5).items()}
    first, *beside = judge(BY_ID[id_], records("mnist_arms", runs, epochs=20))
    assert (first.role, first.verdict, first.n) == (VERDICT, "inconclusive", "0")
    assert all((row.role, row.verdict) == (NEAREST, "") for row in beside)
    assert all("MNIST" in row.judged_on for row in beside)


def rates(good: Mapping[str, tuple[float, float]], seeds: int = 3, **beyond) -> Records:
    """A test error of 2 % between two rates and 50 % beyond; the norm grows with the rate."""
    runs = {
        (arm, rate, seed): Run(test=2.0 + seed / 10, norms=(1.0, 1 + rate))
        if low <= rate <= high
        else Run(**({"test": 50.0} | beyond), norms=(1.0, 1 + rate))
        for arm, (low, high) in good.items()
        for rate in MNIST_RATES
        for seed in range(seeds)
    }
    return records("mnist_lr_robustness", runs, epochs=20)


@pytest.mark.parametrize("beyond", [{}, {"status": "diverged", "test": math.nan}])
def test_a_wider_range_of_learning_rates(beyond):
    wider = rates({"plain": (1e-3, 0.01), "wn": (1e-4, 0.1)}, **beyond)
    row = verdict("5", wider)
    assert row.verdict == "reproduced"
    assert row.ours.startswith("+2.0")
    assert (
        verdict("5", rates({"wn": (1e-3, 0.01), "plain": (1e-4, 0.1)})).verdict == "not reproduced"
    )
    assert (
        verdict("5", rates({"plain": (1e-3, 0.01), "wn": (1e-4, 0.1)}, 2)).verdict == "inconclusive"
    )
    assert verdict("5", rates({"wn": (1e-4, 0.1)})).n == "0"


def test_a_range_that_was_not_seen_to_end_is_a_lower_bound():
    row = verdict("5", rates({"plain": (1e-3, 0.01), "wn": (1e-4, 10)}))
    assert row.verdict == "reproduced"
    assert row.ours.endswith("∞]")
    # Plain's own end was not seen: its range may be as wide.
    row = verdict("5", rates({"plain": (1, 10), "wn": (1e-4, 0.1)}))
    assert row.verdict == "inconclusive"
    assert row.settle.endswith("the range of plain reaches the end of what was tried in 3 seeds")


def test_a_seed_that_lacks_a_rate_does_not_count():
    whole = rates({"plain": (1e-3, 0.01), "wn": (1e-4, 0.1)})
    part = whole.of(whole.runs.index.drop("mnist_lr_robustness-wn-0.3-2"))
    assert [verdict("5", of).n for of in (whole, part)] == ["3", "2"]


def test_an_arm_that_diverges_at_every_rate_has_no_range():
    beyond = {"status": "diverged", "test": math.nan}
    row = verdict("5", rates({"plain": (20, 30), "wn": (1e-4, 0.1)}, **beyond))
    assert (row.verdict, row.because) == (
        "inconclusive",
        "an arm diverged at every rate in 3 seeds",
    )


def test_the_norm_grows_with_the_rate():
    assert verdict("6b", rates({"wn": (1e-5, 1)})).verdict == "reproduced"
    falling = {
        ("wn", rate, seed): Run(norms=(1.0, 1 / (rate + seed)))
        for rate in MNIST_RATES
        for seed in range(3)
    }
    row = verdict("6b", records("mnist_lr_robustness", falling, epochs=20))
    assert row.verdict == "not reproduced"
    diverging = rates({"wn": (1e-5, 0.1)}, status="diverged")
    row = verdict("6b", diverging)
    assert row.verdict == "reproduced"
    assert "12 of 39 runs diverged and are left out" in row.because


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


def test_the_late_error_is_the_mean_of_the_second_half():
    of = records("cifar_table1", {("plain", 0.0003, 0): Run(decay=0.5, floor=0)}, epochs=4)
    late = claims_measures._late_training_error(of, of.runs)
    assert late == {0: pytest.approx((90 / 8 + 90 / 16) / 2)}


def test_hardware_and_commit_of_a_run():
    run = {"gpu": None, "cpu": "Xeon", "threads": 2.0, "dirty": True, "commit": "0123456789ab"}
    assert hardware(run) == "Xeon, 2 threads"
    assert hardware(run | {"threads": math.nan}) == "Xeon"
    assert hardware(run | {"gpu": "H100"}) == "H100"
    assert commit(run) == "0123456789 with changes"
    assert commit(run | {"commit": None, "dirty": False}) == "no commit"
    assert (
        commit(run | {"commit": "a" * 40 + " + " + "b" * 40})
        == f"{'a' * 10} + {'b' * 10} with changes"
    )


def test_the_files_are_stable_and_read_back(tmp_path: Path):
    written = [claims.write(tmp_path / name, table1()) for name in ("a", "b")]
    assert [path.name for path in written[0]] == ["claims.md", "claims.csv"]
    for a, b in zip(*written, strict=True):
        assert a.read_bytes() == b.read_bytes()
    rows = claims.read(tmp_path / "a")
    assert [row.id for row in rows if row.role == VERDICT] == list(BY_ID)
    assert not [row for row in rows if row.role == MECHANISM]
    text = written[0][0].read_text()
    assert "18 reproduced, 0 not reproduced, 2 inconclusive" in text
    assert "None has been run" in text


def test_no_runs_at_all(tmp_path: Path):
    some = table1()
    claims.write(tmp_path, some.of(some.runs.index[:0]))
    rows = claims.read(tmp_path)
    assert {(row.verdict, row.n) for row in rows} == {("inconclusive", "0")}
    assert all(row.settle.startswith("python -m wnrepro.train") for row in rows)
