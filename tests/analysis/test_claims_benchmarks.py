"""What was timed stands beside the claims about time."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from claims_example import BY_ID, table1

from wnrepro.analysis.claims import rendering
from wnrepro.analysis.claims.criteria import CLAIMS
from wnrepro.analysis.claims.judgement import NEAREST, all_rows, benchmark_rows, ratios
from wnrepro.errors import RunError

RESULTS = Path(__file__).resolve().parents[2] / "results"
TIMED = [claim for claim in CLAIMS if claim.benchmark]


def results(folder: Path, **changes: str) -> Path:
    """One device on which the steps of batch norm were timed, and one on which nothing was."""
    line = {
        "group": "steps",
        "row": BY_ID["2b"].benchmark,
        "ratio": "1.15",
        "ratio_q1": "1.096",
        "ratio_q3": "1.204",
        "repeats": "9",
        "hardware": "H100",
        "commit": "0123456789",
    }
    empty = dict.fromkeys(line, "") | {"row": line["row"]}
    (folder / "benchmarks").mkdir(parents=True)
    for name, row in (("h100", line | changes), ("cpu", empty)):
        pd.DataFrame([row]).to_csv(folder / "benchmarks" / f"{name}.csv", index=False)
    (folder / "benchmarks" / "h100_profile.csv").write_text("step,class\na,b\n")
    return folder


def test_a_time_stands_beside_the_claim_and_gives_no_verdict(tmp_path: Path):
    rows = all_rows((some := table1()).of(some.runs.index[:0]), results(tmp_path))
    first, beside = (row for row in rows if row.id == "2b")
    assert (first.verdict, first.n) == ("not tested", "0")
    assert (beside.role, beside.verdict, beside.n) == (NEAREST, "", "9 repeats")
    assert (beside.ours, beside.hardware) == ("1.15 times [1.10, 1.20]", "H100")
    rendering.write(tmp_path, rows, table1())
    text = (tmp_path / "claims.md").read_text()
    assert (
        "- Nearest evidence, no verdict: benchmarks/h100.md, step of batch norm ÷ of plain, CIFAR "
        "network of width 96: 1.15 times [1.10, 1.20] (median and quartiles over repeats; "
        "n = 9 repeats; H100; commit 0123456789).\n"
    ) in text
    assert "9 repeats seeds" not in text


def test_other_claims_and_other_rows_have_none(tmp_path: Path):
    timed = ratios(results(tmp_path) / "benchmarks")
    assert not list(benchmark_rows(BY_ID["2a"], timed))
    assert not list(benchmark_rows(BY_ID["2c"], timed))
    assert not list(benchmark_rows(BY_ID["2b"], ratios(tmp_path / "nowhere")))


@pytest.mark.parametrize("claim", TIMED, ids=lambda claim: claim.id)
def test_the_rows_are_those_of_the_benchmark(claim):
    timed = ratios(RESULTS / "benchmarks")
    assert [row.n for row in benchmark_rows(claim, timed)]
    assert not list(benchmark_rows(replace(claim, benchmark="step of nothing"), timed))


@pytest.mark.parametrize("damage", [b"", b"row,ratio\n\xff", b"another,table\n1,2\n"])
def test_a_damaged_table_is_refused_in_one_line(tmp_path: Path, damage: bytes):
    folder = results(tmp_path)
    (folder / "benchmarks" / "cpu.csv").write_bytes(damage)
    with pytest.raises(RunError, match=r"cpu\.csv: .*version control") as caught:
        ratios(folder / "benchmarks")
    assert "\n" not in str(caught.value)


def test_a_number_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(RunError, match="version control"):
        ratios(results(tmp_path, ratio_q1="fast") / "benchmarks")
