"""wnrepro.results: one row per run and epoch, and one per run, from any folder of runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from example import configs, run, write

import wnrepro
from wnrepro.analysis import records
from wnrepro.errors import RunError
from wnrepro.runs.collection import collect
from wnrepro.runs.rows import METRICS_FILE, read_rows
from wnrepro.runs.status import read_status, write_status
from wnrepro.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms, two seeds, one changed key without a column of its own, and one that diverged."""
    from wnrepro.commands.composition import expand

    root = tmp_path_factory.mktemp("own") / "runs"
    same = [f"runs.root={root}", "scale=smoke", "tracker=none"]
    for overrides in (
        ["norm=wn,bn", "seed=0,1"],
        ["norm=wn", "model.dropout=0.5"],
        ["norm=plain", "optim.lr=1e30"],
    ):
        for config in expand([*overrides, *same]).configs:
            train(config)
    return root


def test_runs_and_the_tables_collected_from_them_are_the_same(
    trained: Path, tmp_path: Path
) -> None:
    folders = [trained / "digits_bn", trained / "digits_plain"]
    assert not collect(folders, tmp_path).problems
    collected, found = wnrepro.results(tmp_path), wnrepro.results(*map(str, folders))
    for one, other in zip(collected, found, strict=True):
        order = ["identity", *(["epoch"] if "epoch" in one else [])]
        one, other = (each.sort_values(order).reset_index(drop=True) for each in (one, other))
        pd.testing.assert_frame_equal(one, other)


def test_curves_have_a_row_per_run_and_epoch_as_it_was_recorded(trained: Path) -> None:
    curves, final = wnrepro.results(trained)
    assert len(final) == 6
    assert not curves.duplicated(["identity", "epoch"]).any()
    for directory in trained.glob("digits_*/*"):
        rows = read_rows(directory / METRICS_FILE)
        own = curves[curves["identity"] == directory.name.rpartition("-")[2]]
        assert list(own["epoch"]) == [row["epoch"] for row in rows]
        assert list(own["test_error_percent"]) == [row["test_error_percent"] for row in rows]
        assert list(own["epoch_learning_rate"]) == [row["learning_rate"] for row in rows]
        if own["status"].iloc[0] == "done":
            (last,) = final.loc[final["identity"] == own["identity"].iloc[0], "final_train_loss"]
            assert last == rows[-1]["train_loss"]


def test_what_a_run_was_is_in_both_and_nothing_else_is(trained: Path) -> None:
    curves, final = wnrepro.results(trained)
    merged = curves.merge(final)
    assert len(merged) == len(curves)
    assert not [column for column in merged if column.endswith(("_x", "_y"))]
    assert set(merged) == set(curves) | set(final)
    shared = set(curves) & set(final)
    assert {"identity", "status", "data", "arm", "learning_rate", "seed"} <= shared
    assert set(final.loc[final["model.dropout"] == 0.5, "arm"]) == {"wn"}
    assert "model.dropout" in shared
    assert "optim.beta1" not in merged, "it is the same in all"


def test_a_run_that_diverged_has_a_curve_and_no_final_number(trained: Path) -> None:
    curves, final = wnrepro.results(trained / "digits_plain")
    assert set(final["status"]) == {"diverged"}
    assert final["final_test_error_percent"].isna().all()
    assert len(curves) == final["epochs_done"].iloc[0]


def test_a_run_in_progress_is_there_as_far_as_it_is(trained: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(trained / "digits_wn", tmp_path / "runs"))
    done, begun, *_ = sorted(runs.iterdir())
    status = read_status(done)
    # The rows are written before the status.
    write_status(done, type(status)(**(vars(status) | {"state": "running", "epoch": 1})))
    write_status(begun, type(status)(**(vars(status) | {"state": "running", "epoch": 0})))
    curves, final = wnrepro.results(runs)
    assert len(final) == 2
    own = final[final["status"] == "unfinished"]
    assert own["identity"].iloc[0] == done.name[-10:]
    assert own["final_test_error_percent"].isna().all()
    assert list(curves[curves["status"] == "unfinished"]["epoch"]) == [1]


def test_a_spoilt_run_is_left_out_and_said(trained: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(trained / "digits_wn", tmp_path / "runs"))
    spoilt = min(runs.iterdir())
    (spoilt / METRICS_FILE).write_text("epoch\n")
    with pytest.warns(UserWarning, match=rf"^left out: .*{spoilt.name}/") as caught:
        assert len(wnrepro.results(runs).final) == 2
    assert len(caught) == 1


def test_a_copy_counts_once_and_other_numbers_are_said(trained: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(trained / "digits_wn", tmp_path / name)
    assert len(wnrepro.results(tmp_path).final) == 3
    assert len(wnrepro.results(tmp_path / "a", str(tmp_path / "b")).final) == 3
    path = min((tmp_path / "b").iterdir()) / METRICS_FILE
    loss = str(read_rows(path)[0]["train_loss"])
    status = read_status(path.parent)
    path.write_text(path.read_text().replace(loss, "1.25"))
    write_status(path.parent, status)  # as other hardware would have computed and signed it
    with pytest.warns(UserWarning, match=r"is the run .*a/.* with other numbers"):
        curves, _ = wnrepro.results(tmp_path)
    assert 1.25 not in set(curves["train_loss"])


def test_no_runs_are_refused_in_one_line(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"^no run in .* there is no .*runs\.csv;") as caught:
            wnrepro.results(folder)
        assert "\n" not in str(caught.value)


def test_the_figures_use_the_same_frames(tmp_path: Path) -> None:
    folder = write(tmp_path / "results", [run(config) for config in configs("digits_arms")])
    curves, final = wnrepro.results(folder)
    found = records.load(folder)
    assert list(curves["test_error_percent"]) == list(found.curves["test_error_percent"])
    assert list(final["final_test_error_percent"]) == list(found.runs["test_error_percent"])
    assert json.dumps(final["config"].iloc[0]) == json.dumps(found.runs["config"].iloc[0])


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, wnrepro; print(wnrepro.results, sorted({'torch', 'pandas'} & {*sys.modules}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.rstrip().endswith("[]")
