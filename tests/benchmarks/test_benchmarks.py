"""The smoke version of every group: its checks hold and its rows are whole. No time is judged."""

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from wnrepro import benchmarks
from wnrepro.benchmarks import layers, memory, optimiser, table, usual
from wnrepro.benchmarks.row import Goal, Row, quartiles
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import in_turn
from wnrepro.data import files

_SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
_SPEC = importlib.util.spec_from_file_location("benchmark", _SCRIPT)
assert _SPEC is not None
assert _SPEC.loader is not None
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)

NUMBERS = ("ours", "usual", "ratio", "ratio_q1", "ratio_q3", "repeats", "met")


@pytest.fixture
def setting(data_root: Path) -> Setting:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Setting(torch.device(device), smoke=True, root=str(data_root))


# From Python 3.12 on, of a DataLoader's workers in a process that has threads.
workers_are_forked = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

_COMPILER_WARNS = pytest.mark.filterwarnings("ignore")  # of many things of its own


@workers_are_forked
@pytest.mark.parametrize(
    "group",
    [pytest.param("weight_norm", marks=_COMPILER_WARNS), *list(benchmarks.GROUPS)[1:]],
)
def test_both_ways_compute_the_same(group: str, setting: Setting) -> None:
    rows = list(benchmarks.load(group)(setting))
    assert rows
    for row in rows:
        assert row.ours or row.note, f"{row.name} has neither numbers nor a reason"
        assert all(0 < each < float("inf") for each in (*row.usual, *row.ratios))
        assert row.usual == () or len(row.usual) == len(row.ours)
    assert len({row.name for row in rows}) == len(rows)


def test_a_wrong_weight_is_noticed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "ours", lambda v, g: 1.01 * torch._weight_norm(v, g, 0))
    with pytest.raises(AssertionError):
        list(benchmarks.load("weight_norm")(setting))


def test_a_wrong_update_is_noticed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimiser, "Adam", torch.optim.AdamW)  # decays the weights
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


def test_memory_counts_what_is_saved_and_held() -> None:
    found = memory.measure(Setting(torch.device("cpu"), smoke=True), "plain")
    outputs = 3 * 4 * 32**2 + 3 * 8 * 16**2 + 3 * 8 * 6**2  # of nine convolutions, per image
    # A leaky ReLU keeps its input, the convolution after it its output, max-pool and dropout more.
    assert 2 * 4 * 20 * outputs <= found["saved_mib"] * 2**20 <= 4 * 4 * 20 * outputs
    weights = 4 * (9 * (3 * 4 + 2 * 4 * 4 + 4 * 8 + 3 * 8 * 8) + 2 * 8 * 8 + 8 * 10)
    biases = 4 * (3 * 4 + 6 * 8 + 10)
    assert found["held_mib"] * 2**20 == 4 * (weights + biases)  # itself, gradient, m and s


def test_ways_take_turns() -> None:
    order = []

    def way(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    found = in_turn(lambda: way("a", 1.0), lambda: way("b", 2.0), repeats=2, warm_up=1)
    assert "".join(order) == "ababab"
    assert found == ((1.0, 1.0), (2.0, 2.0))


def test_a_row() -> None:
    row = Row("a", "s", [2.0, 3.0, 8.0], [1.0, 2.0, 2.0], Goal(2.0))
    assert row.ratios == [2.0, 1.5, 4.0]
    assert row.met is True
    assert Row("a", "s", [2.0], [1.0], Goal(1.9)).met is False
    assert Row("a", "s", [2.0], goal=Goal(3.0, at_least=True)).met is False
    assert Row("a", goal=Goal(3.0), note="needs a GPU").met is None
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
    assert quartiles([1.0]) == (1.0, 1.0, 1.0)


def _made_up(name: str):
    def group(setting: Setting) -> Iterator[Row]:
        yield Row(f"{name} measured", "s", [1.5, 1.5], [1.0, 1.0], Goal(2.0))
        if name == "adam":
            raise RuntimeError("no such luck\nand more")
        yield Row(f"{name} elsewhere", "s", goal=Goal(90), note="needs a GPU")

    return group


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "load", _made_up)


def _lines(folder: Path) -> dict[str, dict[str, str]]:
    (path,) = folder.glob("*.csv")
    with path.open(newline="") as file:
        return {record["row"]: record for record in csv.DictReader(file)}


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
    now = table.occasion
    monkeypatch.setattr(table, "occasion", lambda setting: now(setting) | {"commit": "another"})
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


def test_the_script_draws_the_profile(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(files.ROOT_VARIABLE, str(data_root))
    assert script.main(["profile", "--smoke", "--out", str(tmp_path)]) == 0
    (drawn,) = tmp_path.glob("*_profile.png")
    with drawn.with_suffix(".csv").open(newline="") as file:
        parts = list(csv.DictReader(file))
    of_weight_norm = [part for part in parts if ", weight norm, " in part["step"]]
    spent = {part["class"]: float(part["milliseconds"]) for part in of_weight_norm}
    assert all(spent[each] > 0 for each in ("convolution", "weight norm", "noise", "optimiser"))
    assert spent["normalisation"] == 0
    assert sum(float(part["share"]) for part in of_weight_norm) == pytest.approx(1)


def test_usage_errors(tmp_path: Path) -> None:
    for arguments in (["speed"], ["--smoke", "--out", "results/benchmarks"]):
        with pytest.raises(SystemExit):
            script.main(arguments)


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        ("Intel(R) Xeon(R) Processor, 4 cores", "cpu-intel-xeon-4-cores"),
        (
            "Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz, 8 cores",
            "cpu-intel-core-i7-8550u-cpu-8-cores",
        ),
        ("AMD EPYC 9R14, 4 cores", "cpu-amd-epyc-9r14-4-cores"),
    ],
)
def test_device_as_a_file_name(hardware: str, expected: str) -> None:
    setting = Setting(torch.device("cpu"))
    assert table.slug(setting, {"hardware": hardware}) == expected
