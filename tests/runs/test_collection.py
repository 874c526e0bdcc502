"""Finished runs are gathered whole, once, in any order; what contradicts itself is refused."""

import csv
import gzip
import json
import math
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace as replaced
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest

from scripts.collect import main
from wnrepro.commands.composition import expand
from wnrepro.errors import RunError
from wnrepro.replacement import alone_in
from wnrepro.runs import collection, pictures
from wnrepro.runs.collection import Report, collect, find_runs
from wnrepro.runs.identity import identity
from wnrepro.runs.rows import read_rows
from wnrepro.runs.tables import (
    CURVES_FILE,
    LAYERS_FILE,
    METRICS,
    RUNS_FILE,
    SETTINGS,
    TABLES,
    CollectedRun,
    read_tables,
)
from wnrepro.tasks import FIRST, TASKS
from wnrepro.tasks.facts import Picture
from wnrepro.train import train

ROOT = Path(__file__).resolve().parents[2]
METRICS_FILE, TIMING_FILE = "metrics.csv", "timing.csv"


def run(root: Path, *overrides: str) -> Path:
    """Train small real runs below `root`; it, for chaining."""
    for config in expand([*overrides, f"runs.root={root}", "scale=smoke", "tracker=none"]).configs:
        train(config)
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms with two seeds each, and one run that diverged."""
    root = run(tmp_path_factory.mktemp("trained"), "+exp=digits_plain,digits_wn", "seed=0,1")
    run(root, "+exp=digits_bn", "seed=0,1", "data.held_out=200")
    return run(root, "+exp=digits_plain", "optim.lr=1e30")


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained runs, to be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def only(runs: Path, pattern: str) -> Path:
    """The one run directory of the pattern; all others are removed."""
    (kept,) = [path for path in runs.glob("*/*") if path.match(pattern)]
    for path in runs.glob("*/*"):
        if path != kept:
            shutil.rmtree(path)
    return kept


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    unsign(path.parent)


def unsign(directory: Path) -> None:
    """The run as one of before its status had checksums."""
    path = directory / "status.json"
    status = json.loads(path.read_text())
    for key in ("files", "checksum"):
        status.pop(key, None)
    path.write_text(json.dumps(status))


def recompute(directory: Path) -> None:
    """Other metrics, as other hardware or other code might compute them."""
    path = directory / METRICS_FILE
    text = path.read_text()
    loss = read_rows(path)[0]["train_loss"]
    assert isinstance(loss, float)
    assert str(loss) in text
    path.write_text(text.replace(str(loss), str(math.nextafter(loss, 9))))
    unsign(directory)


def tables(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.iterdir()}


def rows(results: Path) -> list[dict[str, str]]:
    with open(results / RUNS_FILE, newline="") as file:
        return list(csv.DictReader(file))


def curves(results: Path, file: str = CURVES_FILE) -> list[dict[str, str]]:
    text = gzip.decompress((results / file).read_bytes()).decode()
    return list(csv.DictReader(text.splitlines()))


def one_problem(report: Report, *parts: str | Path) -> None:
    (line,) = report.problems
    assert "\n" not in line
    for part in parts:
        assert str(part) in line


def test_every_number_is_the_one_that_was_recorded(trained: Path, tmp_path: Path) -> None:
    report = collect([trained], tmp_path)
    assert (len(report.new), report.problems, report.unfinished) == (7, [], [])
    found = {path.name.rpartition("-")[2]: path for path in trained.glob("*/*")}
    assert {row["identity"] for row in rows(tmp_path)} == set(found)
    for row in rows(tmp_path):
        directory = found[row["identity"]]
        manifest = json.loads((directory / "manifest.json").read_text())
        assert identity(json.loads(row["config"])) == row["identity"]
        for column, path in SETTINGS.items():
            value: Any = manifest["config"]
            for key in path.split("."):
                value = value[key]
            assert row[column] == ("" if value is None else str(value))
        recorded = read_rows(directory / METRICS_FILE)
        times = [float(r["train_time_sec"] or 0) for r in read_rows(directory / TIMING_FILE)]
        assert int(row["epochs_done"]) == len(recorded)
        assert float(row["train_time_sec"]) == sum(times)
        assert min(times) <= float(row["time_per_epoch_sec"]) <= max(times)
        assert row["commit"] == (manifest["commit"] or "")
        assert (row["device"], row["gpu"], row["threads"]) == ("cpu", "", "1")
        assert row["torch"] == manifest["versions"]["torch"]
        curve = [r for r in curves(tmp_path) if r["identity"] == row["identity"]]
        layers = [r for r in curves(tmp_path, LAYERS_FILE) if r["identity"] == row["identity"]]
        assert [r["train_time_sec"] for r in curve] == [str(time) for time in times]
        for epoch, collected in zip(recorded, curve, strict=True):
            for column, value in epoch.items():
                if "/" in column:
                    quantity, layer = column.split("/")
                    (cell,) = [
                        r[quantity]
                        for r in layers
                        if (r["epoch"], r["layer"]) == (collected["epoch"], layer)
                    ]
                else:
                    cell = collected[column]
                assert cell == ("" if value is None else str(value))
                assert value is None or math.isnan(value) or float(cell) == value
        assert {m: row[m] for m in METRICS} == {m: curve[-1][m] for m in METRICS}


def test_pandas_reads_the_same_floats(trained: Path, tmp_path: Path) -> None:
    collect([trained], tmp_path)
    for file in (CURVES_FILE, LAYERS_FILE):
        frame = pd.read_csv(tmp_path / file)
        for column in frame.select_dtypes("float"):
            cells = [row[str(column)] for row in curves(tmp_path, file)]
            expected = [float(cell) if cell else math.nan for cell in cells]
            assert frame[column].equals(pd.Series(expected, name=column))


def test_what_is_missing_stays_missing(trained: Path, tmp_path: Path) -> None:
    collect([trained], tmp_path)
    for row in [*rows(tmp_path), *curves(tmp_path)]:
        held_out = row["held_out_error_percent"] != ""
        assert held_out == (row["test_error_percent"] == "")
    by_arm = {row["arm"]: row for row in rows(tmp_path)}
    assert by_arm["bn"]["held_out"] == "200"
    assert by_arm["bn"]["test_error_percent"] == ""
    assert by_arm["wn"]["held_out_error_percent"] == ""


def test_a_run_that_diverged_is_a_result(trained: Path, tmp_path: Path) -> None:
    collect([trained], tmp_path)
    (row,) = [row for row in rows(tmp_path) if row["status"] == "diverged"]
    assert row["learning_rate"] == "1e+30"
    assert row["train_loss"] == "nan"
    curve = [r for r in curves(tmp_path) if r["identity"] == row["identity"]]
    assert curve[-1]["train_loss"] == "nan"
    assert len(curve) == int(row["epochs_done"])


def test_collecting_again_changes_no_byte(trained: Path, tmp_path: Path) -> None:
    collect([trained], tmp_path)
    before, times = tables(tmp_path), [path.stat().st_mtime_ns for path in tmp_path.iterdir()]
    again = collect([trained], tmp_path)
    assert (again.new, again.known, again.problems) == ([], 7, [])
    assert tables(tmp_path) == before
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == times
    assert set(before) == set(TABLES)
    for file in (CURVES_FILE, LAYERS_FILE):
        assert before[file][3:8] == bytes(5), "the file's name or the time is in gzip's header"


def test_what_a_killed_collecting_left_is_cleared_away(trained: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    collect([trained], results)
    before = tables(results)
    for file in TABLES:
        (results / f".{file}.0123456789ab.tmp").write_bytes(b"torn")
    (results / ".claims.md.0123456789ab.tmp").write_bytes(b"another command's")
    collect([trained], results)
    assert set(tables(results)) == {*before, ".claims.md.0123456789ab.tmp"}


def test_two_at_once_wait_for_one_another(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads the tables, adds its runs and writes them: what is written between is lost."""
    read = Event()

    def reading(results: Path) -> dict[str, CollectedRun]:
        read.set()
        return read_tables(results)

    monkeypatch.setattr(collection, "read_tables", reading)
    other = Thread(target=collect, args=([trained], tmp_path))
    with alone_in(tmp_path):
        other.start()
        assert not read.wait(0.3)
    other.join()
    assert len(rows(tmp_path)) == 7


def test_the_order_of_folders_does_not_matter(trained: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "another"
    for folder, left_out in ((one, "digits_bn"), (other, "digits_plain")):
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(left_out))
    # one run was computed on both machines, to the same metrics in other times
    (again,) = other.glob("digits_wn/seed0-*")
    again.joinpath(TIMING_FILE).write_text(
        re.sub(r"(?m)^(\d+),[^,]+", r"\1,99.5", again.joinpath(TIMING_FILE).read_text())
    )
    edit(again / "status.json", lambda status: status.update(updated="2099-01-01T00:00:00+00:00"))
    results = [tmp_path / f"results{k}" for k in range(5)]
    collect([one, other], results[0])
    collect([other, one], results[1])
    collect([one, other, one], results[2])
    collect([tmp_path], results[3])
    collect([one], results[4])
    collect([other], results[4])
    assert len(rows(results[0])) == 7
    assert all(tables(each) == tables(results[0]) for each in results)


def test_runs_stand_in_an_order_for_readers(trained: Path, tmp_path: Path) -> None:
    run(tmp_path / "more", "+exp=digits_wn", "seed=10,2")
    collect([trained, tmp_path / "more"], tmp_path / "results")
    table = rows(tmp_path / "results")
    assert [row["arm"] for row in table] == sorted(row["arm"] for row in table)
    assert [row["seed"] for row in table if row["arm"] == "wn"] == ["0", "1", "2", "10"]


@pytest.mark.parametrize("state", ["running", "interrupted", "failed", None])
def test_an_unfinished_run_is_counted_and_left_out(
    runs: Path, tmp_path: Path, state: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory,) = runs.glob("digits_wn/seed1-*")
    if state is None:
        (directory / "status.json").unlink()
    else:
        edit(directory / "status.json", lambda status: status.update(state=state, epoch=1))
    assert main([str(runs), "--results", str(tmp_path / "results")]) == 0
    assert len(rows(tmp_path / "results")) == 6
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "unfinished, left out" in x]
    assert line.startswith("1 unfinished")
    assert str(directory) in line
    assert (state or "no status") in line


@pytest.mark.parametrize("signed", [True, False])
def test_a_file_that_is_torn_or_missing_is_named_and_the_rest_collected(
    signed: bool, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in () if signed else runs.glob("*/*"):
        unsign(directory)
    plain0, plain1 = sorted(runs.glob("digits_plain/seed*"))[:2]
    wn0, wn1 = sorted(runs.glob("digits_wn/seed*"))
    bn0, _ = sorted(runs.glob("digits_bn/seed*"))
    for path in (plain0 / METRICS_FILE, wn0 / TIMING_FILE):
        path.write_bytes(path.read_bytes()[:-30])
    (plain1 / "manifest.json").unlink()
    whole_lines = (wn1 / METRICS_FILE).read_text().splitlines(keepends=True)
    (wn1 / METRICS_FILE).write_text("".join(whole_lines[:-1]))
    (bn0 / "status.json").write_text("{")
    assert main([str(runs), "--results", str(tmp_path / "results")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    for named in (
        plain0 / METRICS_FILE,
        wn0 / TIMING_FILE,
        plain1,
        wn1 / METRICS_FILE,
        bn0 / "status.json",
    ):
        assert any(line.startswith("error: ") and str(named) in line for line in lines), named
    assert len(rows(tmp_path / "results")) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: edit(d / "manifest.json", lambda m: m["config"]["optim"].update(lr=0.5)),
        lambda d: edit(d / "manifest.json", lambda m: m.update(identity="0123456789")),
        lambda d: d.rename(d.with_name("seed0-0123456789")),
    ],
)
def test_a_config_without_its_identity_is_refused(
    runs: Path, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    directory = only(runs, "digits_wn/seed0-*")
    spoil(directory)
    one_problem(collect([runs], tmp_path / "results"), runs / "digits_wn", "identity")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m.update(config={"seed": 0}),
        lambda m: m.update(identity=None),
        lambda m: m.update(resumed=3),
        lambda m: m["config"].update(data="digits"),
    ],
)
def test_a_manifest_that_is_none_is_a_line_and_no_crash(
    runs: Path, tmp_path: Path, spoil: Callable[[dict], Any]
) -> None:
    directory = only(runs, "digits_wn/seed0-*")
    edit(directory / "manifest.json", spoil)
    one_problem(collect([runs], tmp_path / "results"), directory)


def test_one_run_with_two_results_is_refused(runs: Path, tmp_path: Path) -> None:
    directory = only(runs, "digits_wn/seed0-*")
    other = Path(shutil.copytree(runs, tmp_path / "elsewhere"))
    (twin,) = other.glob("*/*")
    recompute(twin)
    results = tmp_path / "results"
    for folders in ([runs, other], [other, runs]):
        report = collect(folders, results)
        one_problem(report, directory, twin, "train_loss of epoch 1")
        assert report.runs == {}
    collect([runs], results)
    before = tables(results)
    report = collect([other], results)
    one_problem(report, twin, RUNS_FILE, "--replace")
    assert tables(results) == before


def test_a_result_gives_way_only_where_asked_to(runs: Path, tmp_path: Path) -> None:
    only(runs, "digits_wn/seed0-*")
    other = Path(shutil.copytree(runs, tmp_path / "elsewhere"))
    (twin,) = other.glob("*/*")
    recompute(twin)
    collect([other], tmp_path / "expected")
    collect([runs], tmp_path / "results")
    report = collect([other], tmp_path / "results", replace=True)
    assert (len(report.replaced), report.new, report.problems) == (1, [], [])
    assert tables(tmp_path / "results") == tables(tmp_path / "expected")


def test_pictures_are_those_of_the_result_that_is_kept(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = replaced(TASKS[FIRST], pictures=(Picture("samples", "", ""),))
    monkeypatch.setattr(pictures, "task_of", lambda config: drawing)
    results, directory = tmp_path / "results", only(runs, "digits_wn/seed0-*")
    (directory / "samples.png").write_bytes(b"first")
    kept = results / "pictures" / f"{directory.name.partition('-')[2]}-samples.png"
    assert collect([runs], results).pictures == [kept.name.partition("-")[0]]
    assert collect([runs], results).pictures == []
    (directory / "samples.png").write_bytes(b"second")
    recompute(directory)
    assert collect([runs], results).pictures == []
    assert kept.read_bytes() == b"first"
    assert collect([runs], results, replace=True).pictures
    assert kept.read_bytes() == b"second"


def test_a_result_of_a_gpu_never_gives_way_to_one_of_a_cpu(runs: Path, tmp_path: Path) -> None:
    directory = only(runs, "digits_wn/seed0-*")
    gpu = Path(shutil.copytree(runs, tmp_path / "gpu"))
    (twin,) = gpu.glob("*/*")
    recompute(twin)
    edit(twin / "manifest.json", lambda m: m.update(device="cuda:0"))
    results = tmp_path / "results"
    collect([gpu], results)
    before = tables(results)
    for replace in (False, True):
        one_problem(collect([runs], results, replace=replace), directory, "GPU")
        assert tables(results) == before
    collect([runs], tmp_path / "cpu")
    assert len(collect([gpu], tmp_path / "cpu", replace=True).replaced) == 1
    assert tables(tmp_path / "cpu") == before


@pytest.mark.parametrize("seed", [0, 1])
def test_a_mixture_of_configs_under_one_name_is_refused(tmp_path: Path, seed: int) -> None:
    """Also a duplicate seed: for a reader of the columns, both are runs of one configuration."""
    first = run(tmp_path / "first", "+exp=digits_wn", "seed=0")
    second = run(tmp_path / "second", "+exp=digits_wn", f"seed={seed}", "optim.beta2=0.99")
    harmless = run(tmp_path / "third", "+exp=digits_wn", "seed=0", "optim.lr=0.01")
    results = tmp_path / "results"
    for folders in ([first, second, harmless], [second, harmless, first]):
        report = collect(folders, tmp_path / "together")
        one_problem(report, first, second, "optim.beta2", "0.99", "mixture", "--name")
        assert {run.row["learning_rate"] for run in report.runs.values()} == {"0.01"}
    collect([first], results)
    before = tables(results)
    one_problem(collect([second], results), second, RUNS_FILE, "optim.beta2", "1 runs")
    assert tables(results) == before
    report = collect([second, first], results, name="beta2")
    assert (len(report.new), report.known, report.problems) == (1, 1, [])
    assert {(row["name"], row["seed"]) for row in rows(results)} == {
        ("main", "0"),
        ("beta2", str(seed)),
    }


def test_keys_of_a_task_are_no_mixture(tmp_path: Path) -> None:
    """They are axes of a sweep, as DRAW's start is."""
    found = collect([run(tmp_path / "runs", "+exp=digits_wn", "seed=0")], tmp_path / "results")
    (one,) = found.runs.values()
    for start in ("unit", "normal"):
        config = one.config | {"task": {**one.config.get("task", {}), "start": start}}
        found.runs[start] = replaced(one, row={**one.row, "config": json.dumps(config)})
    found.new += ["unit", "normal"]
    collection._refuse_mixtures(found, {})
    assert (len(found.runs), found.problems) == (3, [])


def test_where_a_run_went_on_is_said(runs: Path, tmp_path: Path) -> None:
    directory = only(runs, "digits_wn/seed0-*")

    def resume(manifest: dict) -> None:
        manifest.update(commit="aaaa", dirty=False)
        occasion = {k: manifest[k] for k in ("time", "command", "versions", "hardware", "device")}
        manifest["resumed"] = [
            occasion | {"commit": "aaaa", "dirty": False, "threads": 1},
            occasion | {"commit": "bbbb", "dirty": True, "threads": 2},
        ]
        manifest["command"] = ["/somewhere/wnrepro/train.py", "-m", "seed=0,1"]
        manifest["resumed"][0]["command"] = ["/elsewhere/wnrepro/train.py", "-m", "seed=0,1"]
        manifest["resumed"][1]["command"] = ["scripts/evidence.py", "runs.root=my runs"]
        manifest["resumed"][1]["versions"] = {"python": "3.99.1"}

    edit(directory / "manifest.json", resume)
    collect([runs], tmp_path)
    (row,) = rows(tmp_path)
    assert (row["commit"], row["dirty"]) == ("aaaa + bbbb", "True")
    assert (row["threads"], row["device"], row["resumptions"]) == ("1 + 2", "cpu", "2")
    assert row["python"] == f"{platform.python_version()} + 3.99.1"
    assert row["command"] == (
        "python -m wnrepro.train -m seed=0,1 + python scripts/evidence.py 'runs.root=my runs'"
    )


def test_a_crash_between_two_files_is_mended_by_repeating(trained: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    collect([trained / "digits_wn"], results)
    old = (results / RUNS_FILE).read_bytes()
    collect([trained], results)
    expected = tables(results)
    (results / RUNS_FILE).write_bytes(old)
    assert len(collect([trained], results).new) == 5
    assert tables(results) == expected


@pytest.mark.parametrize("file", TABLES)
def test_damaged_tables_are_never_written_over(trained: Path, tmp_path: Path, file: str) -> None:
    collect([trained / "digits_wn"], tmp_path)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-40])
    damaged = tables(tmp_path)
    with pytest.raises(RunError, match=re.escape(file)) as caught:
        collect([trained], tmp_path)
    assert "\n" not in str(caught.value)
    assert tables(tmp_path) == damaged


def test_tables_that_do_not_belong_together_are_noticed(trained: Path, tmp_path: Path) -> None:
    collect([trained / "digits_wn"], tmp_path / "wn")
    collect([trained / "digits_bn"], tmp_path / "bn")
    shutil.copy(tmp_path / "bn" / CURVES_FILE, tmp_path / "wn")
    with pytest.raises(RunError, match="does not belong"):
        collect([trained], tmp_path / "wn")


def test_a_folder_without_runs_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "none"):
        results = tmp_path / "results"
        assert main([str(tmp_path / folder), "--results", str(results)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert str(tmp_path / folder) in line
        assert not results.exists()


def test_a_linked_folder_is_searched_and_a_circle_ends(trained: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "elsewhere").symlink_to(trained)
    (root / "circle").symlink_to(root)
    assert len(find_runs(root)) == len(find_runs(trained)) == 7


@pytest.mark.parametrize("name", ["", " ", "two\nlines"])
def test_a_name_is_one(name: str, trained: Path, tmp_path: Path) -> None:
    assert main([str(trained), "--results", str(tmp_path / "results"), "--name", name]) == 2
    assert not (tmp_path / "results").exists()


def test_the_command_shows_what_there_is(trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, "scripts/collect.py", str(trained), "--results", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "7 runs in" in result.stdout
    assert "7 new" in result.stdout
    assert re.search(r"^main +digits +plain +3 +3 +1$", result.stdout, re.MULTILINE)
    assert result.stderr == ""


def test_no_torch_is_imported() -> None:
    code = "import sys, wnrepro.runs.collection; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
