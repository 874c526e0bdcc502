"""The smoke version of every group: its checks hold and its rows are whole. No time is judged."""

import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from wnrepro import benchmarks
from wnrepro.benchmarks import adam, report, steps, usual, weight_norm
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import in_turn
from wnrepro.data import files, pixels

RESULTS = Path(__file__).resolve().parents[2] / "results"
_SCRIPT = RESULTS.parent / "scripts" / "benchmark.py"
_SPEC = importlib.util.spec_from_file_location("benchmark", _SCRIPT)
assert _SPEC is not None
assert _SPEC.loader is not None
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)

NUMBERS = ("ours", "usual", "ratio", "ratio_q1", "ratio_q3", "repeats", "met")


@pytest.fixture(autouse=True, scope="module")
def _files_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "locate", lru_cache(files.locate))
        patch.setattr(pixels, "read", lru_cache(pixels.read))
        yield


@pytest.fixture
def setting(data_root: Path) -> Setting:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Setting(torch.device(device), smoke=True, root=str(data_root))


# From Python 3.12 on, of a DataLoader's workers in a process that has threads.
workers_are_forked = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@workers_are_forked
@pytest.mark.parametrize("group", benchmarks.GROUPS)
def test_both_ways_compute_the_same(group: str, setting: Setting) -> None:
    rows = list(benchmarks.load(group)(setting))
    assert rows
    for row in rows:
        ours, usual = np.asarray(row.ours), np.asarray(row.usual)
        assert ours.size or row.note, f"{row.name} has neither numbers nor a reason"
        for each in (ours, usual, row.ratios):
            assert np.isfinite(each).all()
            assert (each > 0).all()
        assert usual.size in (0, ours.size)
    assert len({row.name for row in rows}) == len(rows)


def test_a_wrong_weight_is_noticed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_norm, "ours", lambda v, g: 1.01 * torch._weight_norm(v, g, 0))
    with pytest.raises(AssertionError):
        list(benchmarks.load("weight_norm")(setting))


def test_a_wrong_update_is_noticed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adam, "Adam", torch.optim.AdamW)  # decays the weights
    with pytest.raises(AssertionError):
        list(benchmarks.load("adam")(setting))


@workers_are_forked
def test_other_images_are_noticed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    correct = usual.batches
    monkeypatch.setattr(
        usual, "batches", lambda *given: ((1.1 * images, n) for images, n in correct(*given))
    )
    with pytest.raises(AssertionError):
        list(benchmarks.load("input")(setting))


def test_ways_take_turns() -> None:
    order = []

    def way(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    found = in_turn(lambda: way("a", 1.0), lambda: way("b", 2.0), repeats=2, warm_up=1)
    assert "".join(order) == "ababab"
    assert found.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_a_measurement() -> None:
    row = Measurement("a", "s", [2.0, 3.0, 8.0], [1.0, 2.0, 2.0], Goal(2.0))
    assert row.ratios.tolist() == [2.0, 1.5, 4.0]
    assert row.met is True
    assert Measurement("a", "s", [2.0], [1.0], Goal(1.9)).met is False
    assert Measurement("a", "s", [2.0], goal=Goal(3.0, at_least=True)).met is False
    assert Measurement("a", goal=Goal(3.0), note="needs a GPU").met is None


def test_the_goals_for_bf16_are_those_of_matrix_units(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {"cpu_instructions": ["amx_bf16", "avx2"]}
    monkeypatch.setattr("wnrepro.benchmarks.setting.processor", lambda: flags)
    monkeypatch.setattr(steps, "compare", lambda setting, *ways, repeats: np.ones((len(ways), 2)))
    setting = Setting(torch.device("cpu"), smoke=True, root=setting.root)
    rows = {row.name: row.goal for row in benchmarks.load("steps")(setting)}
    of = "step of {} ÷ of weight norm, {}, one thread, CIFAR network of width 4"
    for precision in ("bf16", "float32"):
        assert rows[of.format("mean-only batch norm", precision)] == Goal(1.1)
        assert rows[of.format("batch norm", precision)] == Goal(1.25)
    of = "step ÷ least time, weight norm, {}, one thread, CIFAR network of width 4"
    assert (rows[of.format("bf16")], rows[of.format("float32")]) == (Goal(1.35), None)
    flags["cpu_instructions"] = ["avx2"]
    assert not Setting(torch.device("cpu")).matrix_units


def test_bf16_is_not_measured_without_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda s=supported: s)
        assert bool(Setting(torch.device("cpu")).no_bf16) != supported
    assert not Setting(torch.device("cuda")).no_bf16


def _made_up(name: str):
    def group(setting: Setting) -> Iterator[Measurement]:
        yield Measurement(f"{name} measured", "s", [1.5, 1.5], [1.0, 1.0], Goal(2.0))
        if name == "adam":
            raise RuntimeError("no such luck\nand more")
        yield Measurement(f"{name} elsewhere", "s", goal=Goal(90), note="needs a GPU")

    return group


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "load", _made_up)


def _lines(folder: Path) -> dict[str, dict[str, str]]:
    (path,) = folder.glob("*.csv")
    return {record["row"]: record for record in report.read(path)}


@pytest.mark.usefixtures("made_up")
def test_a_failure_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["adam", "weight_norm", "--out", str(tmp_path), "--device", "cpu"]) == 1
    lines = _lines(tmp_path)
    assert list(lines) == [
        *("weight_norm measured", "weight_norm elsewhere", "adam measured", "adam"),
    ]
    assert lines["adam"]["note"] == "failed: RuntimeError: no such luck"
    assert lines["adam measured"]["ratio"] == "1.5"
    assert lines["adam measured"]["met"] == "yes"
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("weight_norm: 2 rows, ")
    assert said[1].startswith("adam: failed: RuntimeError: no such luck, ")


@pytest.mark.usefixtures("made_up")
def test_what_was_not_measured_is_no_number(tmp_path: Path) -> None:
    assert script.main(["weight_norm", "--out", str(tmp_path), "--device", "cpu"]) == 0
    record = _lines(tmp_path)["weight_norm elsewhere"]
    assert all(record[key] == "" for key in NUMBERS)
    assert record["goal"] == "≤ 90"
    (page,) = tmp_path.glob("*.md")
    line = next(each for each in page.read_text().splitlines() if "elsewhere" in each)
    assert line == "| weight_norm elsewhere | s |  |  |  |  | ≤ 90 |  | needs a GPU | 1 |"


@pytest.mark.usefixtures("made_up")
def test_groups_of_another_occasion_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--out", str(tmp_path), "--device", "cpu"]
    script.main(["weight_norm", "input", *arguments])
    now = report.occasion
    monkeypatch.setattr(report, "occasion", lambda setting: now(setting) | {"commit": "another"})
    script.main(["input", *arguments])
    lines = _lines(tmp_path)
    assert lines["input measured"]["commit"] == "another"
    assert lines["weight_norm measured"]["commit"] != "another"
    (page,) = tmp_path.glob("*.md")
    assert "2. " in page.read_text()


@pytest.mark.usefixtures("made_up")
def test_a_smoke_version_meets_no_goal(tmp_path: Path) -> None:
    assert script.main(["weight_norm", "--smoke", "--out", str(tmp_path), "--device", "cpu"]) == 0
    assert _lines(tmp_path)["weight_norm measured"]["met"] == ""
    (page,) = tmp_path.glob("*.md")
    assert "Smoke version" in page.read_text()


def test_what_an_earlier_version_measured_stays(tmp_path: Path) -> None:
    """The committed table, with a group measured anew and one that is no longer there."""
    (committed,) = (RESULTS / "benchmarks").glob("cpu-intel-xeon-4-cores.csv")
    before = report.read(committed)
    path = tmp_path / "cpu"
    path.with_suffix(".csv").write_bytes(committed.read_bytes())
    now = {key: before[0][key] for key in ("hardware", "threads", "torch", "python", "commit")}
    row = Measurement("a", "s", [1.0], [2.0])
    report.write(path, "adam", [row], now | {"date": "2026-12-01"}, smoke=False)
    after = report.read(path.with_suffix(".csv"))
    kept = [line for line in before if line["group"] != "adam"]
    assert {line["group"] for line in kept} > {"memory", "run"}
    assert sorted(line["row"] for line in after) == sorted(["a", *(line["row"] for line in kept)])
    assert [line for line in after if line in kept and line["group"] == "memory"]
    page = report.markdown(committed.stem, before, smoke=False)
    assert page == committed.with_suffix(".md").read_text()


def test_usage_errors(tmp_path: Path) -> None:
    for arguments in (["speed"], ["--smoke", "--out", "results/benchmarks"]):
        with pytest.raises(SystemExit):
            script.main(arguments)


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        ("Intel(R) Xeon(R) Processor, 4 cores", "cpu-intel-xeon-4-cores"),
        (
            "Intel(R) Xeon(R) Processor (family 6 model 207 stepping 2, AMX), 2 cores",
            "cpu-intel-xeon-family-6-model-207-stepping-2-amx-2-cores",
        ),
        (
            "Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz, 8 cores",
            "cpu-intel-core-i7-8550u-cpu-8-cores",
        ),
        ("AMD EPYC 9R14, 4 cores", "cpu-amd-epyc-9r14-4-cores"),
    ],
)
def test_device_as_a_file_name(hardware: str, expected: str) -> None:
    setting = Setting(torch.device("cpu"))
    assert report.slug(setting, {"hardware": hardware}) == expected
