"""The verdicts of the mechanism experiments as rows of the table of claims."""

from pathlib import Path

import pytest

from wnrepro.analysis.claims.judgement import FINDING, IDENTITY, MECHANISM, Row, mechanism_rows
from wnrepro.mechanisms import NAMES, verdicts
from wnrepro.mechanisms.experiment import Finding
from wnrepro.mechanisms.verdicts import Judged

RESULTS = Path(__file__).resolve().parents[2] / "results"
FINDINGS = (
    Finding("|cos| of a unit", "0.19 (chance: 0.10)", "[0.16, 0.22], 95 % t interval", "5 seeds"),
    Finding("steps", "0", "none: all are counted", "4,841,200 steps, 3 seeds"),
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder in which conditioning was judged and the others have not been run."""
    texts = ("A title", "Section 2", "A claim.", "Reproduced if it is so.", "Tuned again.")
    rows = [Judged(f"M{k}", name, "identity", *texts) for k, name in enumerate(NAMES, 1)]
    rows[2] = Judged(
        *(
            "M3",
            "conditioning",
            "finding",
            *texts,
            "not reproduced",
            "The |cos| is 0.2.",
            "Lines: means.",
        ),
        *(3, "Xeon, torch 2.15.0", "abcdef0123", FINDINGS),
    )
    (tmp_path / "mechanisms").mkdir()
    verdicts.write(tmp_path / "mechanisms", rows)
    return tmp_path


def test_a_verdict_is_followed_by_its_findings(results: Path):
    made = {"hardware": "Xeon, torch 2.15.0", "commit": "abcdef0123"}
    assert [row for row in mechanism_rows(results / "mechanisms") if row.id == "M3"] == [
        Row(
            MECHANISM,
            "M3",
            "A claim.",
            source="Section 2",
            quantity="A title",
            criterion="Reproduced if it is so.",
            judged_on="mechanisms/README.md, section 3",
            ours="The |cos| is 0.2.",
            interval="given with each number",
            n="3",
            verdict="not reproduced",
            caveat="Tuned again.",
            **made,
        ),
        *(
            Row(FINDING, "M3", each.what, ours=each.value, interval=each.interval, n=each.n, **made)
            for each in FINDINGS
        ),
    ]


def test_what_was_not_run_is_not_tested_and_names_its_command(results: Path):
    (row,) = (row for row in mechanism_rows(results / "mechanisms") if row.id == "M1")
    assert (row.verdict, row.n, row.because) == ("not tested", "0", "no evidence yet")
    assert (row.role, row.caveat) == (IDENTITY, "Tuned again.")
    assert row.settle == "python scripts/mechanisms.py norm_growth"


def test_no_verdicts_no_rows(tmp_path: Path):
    assert mechanism_rows(tmp_path / "mechanisms") == []


def test_the_committed_verdicts():
    judged = verdicts.read(RESULTS / "mechanisms")
    assert [each.id for each in judged if each.kind == "identity"] == ["M1", "M4", "M6"]
    (again,) = (each for each in judged if each.id == "M6")
    assert "first “not reproduced”" in again.caveat
    for each in judged:
        assert each.verdict in ("reproduced", "not reproduced", "inconclusive")
        assert each.because
        assert each.caption
        assert each.seeds >= 3
        assert each.hardware
        assert each.commit
        assert each.findings
        assert all(finding.interval and finding.n for finding in each.findings)
