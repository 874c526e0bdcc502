"""Two settings compared: SciPy's own tests give the same intervals, and what is unfair is said."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from example import configs, run, write
from scipy import stats

import wnrepro
from wnrepro.analysis.comparison import compare, differences
from wnrepro.analysis.own_curves import draw
from wnrepro.analysis.selection import matching
from wnrepro.analysis.tidy import Results
from wnrepro.errors import ConfigError
from wnrepro.runs.__main__ import main
from wnrepro.tasks import FIRST, TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits: five arms × 5 seeds; of wn, seed 4 is missing; of bn, seed 3 diverged; plain goes on.

    wn with another dropout too, seed 0 alone.
    """
    runs = []
    for config in configs("digits_arms"):
        arm, seed = config["norm"]["name"], config["seed"]
        if (arm, seed) != ("wn", 4):
            so_far = 2 if arm == "plain" else 0
            runs.append(run(config, diverged=(arm, seed) == ("bn", 3), so_far=so_far))
        if (arm, seed) == ("wn", 0):
            runs.append(run(changed(config, "model.dropout", 0.5)))
    return write(tmp_path_factory.mktemp("compared") / "results", runs)


def changed(config: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    group, last = key.split(".")
    return {**config, group: {**config[group], last: value}}


@pytest.fixture(scope="module")
def found(folder: Path) -> Results:
    return wnrepro.results(folder)


def errors(found: Results, *conditions: str) -> dict[int, float]:
    final = matching(found, conditions).final.dropna(subset="final_test_error_percent")
    return dict(zip(final["seed"], final["final_test_error_percent"], strict=True))


def said(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["runs", "compare", *arguments])
    main()
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_intervals_are_those_of_scipy(found: Results) -> None:
    a, b = (["norm=wn", "dropout=0"], ["norm=bn"])
    ours, theirs = errors(found, *a), errors(found, *b)
    assert (sorted(ours), sorted(theirs)) == ([0, 1, 2, 3], [0, 1, 2, 4])
    (each,) = [
        each
        for each in compare(matching(found, a).final, matching(found, b).final)
        if each.metric == "test_error_percent"
    ]
    assert (each.n_a, each.n_b, each.welch.n, each.paired.n) == (4, 4, 4, 3)
    assert each.a == pytest.approx(sum(ours.values()) / 4)
    assert each.welch.estimate == pytest.approx(each.a - each.b)
    welch = stats.ttest_ind([*ours.values()], [*theirs.values()], equal_var=False)
    assert (each.welch.low, each.welch.high) == pytest.approx(welch.confidence_interval(0.95))
    pairs = [(ours[seed], theirs[seed]) for seed in (0, 1, 2)]
    paired = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
    assert (each.paired.low, each.paired.high) == pytest.approx(paired)
    assert each.paired.estimate != pytest.approx(each.welch.estimate), "other seeds"


def test_every_metric_that_both_have_is_compared(found: Results) -> None:
    sides = (matching(found, [f"norm={arm}"]).final for arm in ("bn", "mean_only_bn"))
    metrics = [each.metric for each in compare(*sides)]
    assert metrics == ["train_loss", "train_error_percent", "test_loss", "test_error_percent"]


def test_what_else_differs_is_said(found: Results) -> None:
    a, b = (matching(found, [each]).final for each in ("norm=bn", "dropout=0.5"))
    there = differences(a, b)
    assert there["model.dropout"] == ("0", "0.5")
    assert there["norm.name"] == ("bn", "wn")
    assert "optim.lr" not in there
    elsewhere = a.assign(gpu="H200", commit="f" * 40)
    assert differences(elsewhere, b)["gpu"] == ("H200", "null")
    assert "commit" in differences(elsewhere, b)


def test_the_command_says_n_intervals_and_differences(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = said(capsys, monkeypatch, "norm=wn dropout=0", "norm=bn", "--in", str(folder))
    lines = out.splitlines()
    assert lines[0] == "A: norm=wn dropout=0: 4 runs, seeds 0, 1, 2, 3"
    assert lines[1] == "B: norm=bn: 5 runs, seeds 0, 1, 2, 3, 4; 1 diverged: in no mean"
    (row,) = [line for line in lines if line.startswith("test error (%)")]
    assert row.endswith("3 pairs")
    assert row.count("[") == 2
    assert lines[-3:-1] == ["Beside what was asked, they differ in", lines[-2]]
    assert lines[-1].split() == ["init.name", "data_dependent", "none"]
    # Of one side alone: nobody said that the arms should differ.
    out = said(capsys, monkeypatch, "dropout=0.5", "norm=bn", "--in", str(folder))
    assert "They differ in" in out
    assert {"init.name", "norm.name", "model.dropout"} <= {
        line.split(" ")[0] for line in out.splitlines()
    }


def test_one_run_on_a_side_has_no_interval(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder and a condition in one side.
    out = said(capsys, monkeypatch, f"{folder} dropout=0.5", f"{folder} norm=mean_only_bn")
    (row,) = [line for line in out.splitlines() if line.startswith("test error")]
    assert "[" not in row
    assert "(1)" in row
    assert row.endswith(", 1 pair")
    assert "One run on a side has no interval" in out


def test_two_folders_are_compared_though_their_runs_have_one_identity(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = [
        run(config, error=lambda config, epoch: 3 / epoch + config["seed"] / 10, gpu="H200")
        for config in configs("digits_arms")
        if config["norm"]["name"] == "bn"
    ]
    there = write(tmp_path / "there", other)
    out = said(capsys, monkeypatch, str(there), f"{folder} norm=bn")
    assert "They differ in" not in out.splitlines()[0]
    assert out.splitlines()[-1].split() == ["gpu", "H200", "null"]
    assert "the same runs" in said(capsys, monkeypatch, str(there), str(there))


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        (("norm=wn", "norm=bn"), "A mixes runs of several settings: add model.dropout=0 or model."),
        (
            ("norm=bn", "seed=0"),
            "B mixes runs of several settings: add norm=bn or norm=mean_only_bn or",
        ),
        (("norm=plain", "norm=bn"), "A has no run that is done, but 5 unfinished"),
        (("norm=xx", "norm=bn"), "no run has norm=xx: there are bn, mean_only_bn, plain, wn"),
        (("nrm=wn", "norm=bn"), "nrm is no key of these runs (did you mean norm?)"),
        (("batch_siz=3", "norm=bn"), "(did you mean batch_size?)"),
        (("norm=", "norm=bn"), "'norm=' is no condition"),
        (("nowhere", "norm=bn"), "there is no folder nowhere"),
        (("norm=bn seed=7", "norm=bn"), "no run has seed=7: there are 0, 1, 2, 3, 4"),
        (("norm=bn", "arm=bn"), "A and B are the same runs"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    folder: Path,
    sides: tuple[str, str],
    expected: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = said(capsys, monkeypatch, *sides, "--in", str(folder))
    assert out.startswith("error: ")
    assert expected in out
    assert out.count("\n") == 1


def test_nothing_in_common_is_refused(found: Results) -> None:
    a, b = (matching(found, [f"norm={arm}"]).final for arm in ("bn", "mean_only_bn"))
    metrics = [column for column in a if column.startswith("final_")]
    with pytest.raises(ConfigError, match="no metric in common"):
        compare(a.assign(**dict.fromkeys(metrics, math.nan)), b)


def test_runs_of_two_tasks_are_neither_compared_nor_drawn(found: Results) -> None:
    a, b = (matching(found, [f"norm={arm}"]) for arm in ("bn", "mean_only_bn"))
    other = next(name for name in TASKS if name != FIRST)
    config = b.final["config"].map(lambda config: {**config, "task": {"name": other}})
    b = b.final.assign(config=config)
    with pytest.raises(ConfigError, match=f"A is {FIRST} and B {other}: they have no metric in"):
        compare(a.final, b)
    with pytest.raises(ConfigError, match=r"several tasks: add task=\w+ or task=\w+$"):
        draw(Results(a.curves, pd.concat([a.final, b])), [])


@pytest.mark.parametrize(
    ("condition", "n"),
    [
        ("norm=wn,bn", 10),
        ("lr=3e-3", 25),
        ("optim.lr=0.003", 25),
        ("learning_rate=0.003", 25),
        ("arm=wn", 5),
        ("seed=0,1", 11),
        ("data.train_size=null", 25),
        ("data.whiten=False", 25),
        ("init=none", 5),
        ("device=cpu", 25),
        ("status=unfinished", 5),
        ("name=main", 25),
    ],
)
def test_conditions_are_written_as_in_other_commands(
    found: Results, condition: str, n: int
) -> None:
    chosen = matching(found, [condition])
    assert len(chosen.final) == n
    assert set(chosen.curves["identity"]) == set(chosen.final["identity"])
