"""What the mechanism page says is what the claims say; the page is the one its module writes."""

import json
from pathlib import Path

import pytest

from wnrepro.analysis import claims_mechanisms
from wnrepro.analysis.claims_judgement import mechanism_rows
from wnrepro.analysis.claims_row import FINDING, MECHANISM
from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES, load, page
from wnrepro.mechanisms.experiment import Finding, Verdict

RESULTS = Path(__file__).resolve().parents[2] / "results"
VERDICT = Verdict(
    "not reproduced",
    "The |cos| is 0.2.",
    (
        Finding(
            "|cos| of a unit", "0.19 (chance: 0.10)", "[0.16, 0.22], 95 % t interval", "5 seeds"
        ),
        Finding("steps", "0", "none: all are counted", "4,841,200 steps, 3 seeds"),
    ),
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with a page on which conditioning was judged and the others have not been run."""
    folder = tmp_path / "mechanisms"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.csv").write_text("seed\n0\n")
    source = {
        "commit": "abcdef0123456",
        "dirty": True,
        "cpu": "Xeon",
        "torch": "2.15.0",
        "pieces": 1,
    }
    made = {"conditioning": {"pieces": 1, "sources": [source, source | {"dirty": False}]}}
    (folder / "provenance.json").write_text(json.dumps(made))
    judged = [
        (load(name), VERDICT if name == "conditioning" else None, "Lines: means.") for name in NAMES
    ]
    page.write(folder / "README.md", judged, folder, "python scripts/mechanisms.py")
    return tmp_path


def test_the_page_is_read_as_it_was_written(results: Path):
    read = claims_mechanisms.read(results)
    assert [each.name for each in read] == list(NAMES)
    for each in read:
        experiment = load(each.name)
        assert each.title == experiment.title
        assert each.source == experiment.source
        assert words(each.claim) == words(experiment.claim)
        for part in (experiment.reproduced_if, experiment.not_reproduced_if):
            assert words(part) in words(each.criterion)
    judged = read[NAMES.index("conditioning")]
    assert (judged.verdict, judged.because) == (VERDICT.outcome, VERDICT.because)
    assert judged.findings == VERDICT.findings
    assert judged.caption == "Lines: means."
    assert judged.seeds == 3
    assert judged.hardware == "Xeon, torch 2.15.0"
    assert judged.commit == "abcdef0123 with changes + abcdef0123"


def words(text: str) -> str:
    return "".join(text.split())


def test_what_was_not_run_is_inconclusive_and_names_its_command(results: Path):
    rows = mechanism_rows(results)
    row = next(row for row in rows if row.id == "M1")
    assert (row.verdict, row.n, row.because) == ("inconclusive", "0", "no evidence yet")
    assert row.settle == "python scripts/mechanisms.py norm_growth"
    roles = [row.role for row in rows if row.id == "M3"]
    assert roles == [MECHANISM, FINDING, FINDING]


def test_no_page_no_rows(tmp_path: Path):
    assert mechanism_rows(tmp_path) == []


@pytest.mark.parametrize("damage", ["## 3. ", "**Claim**", "**Verdict: "])
def test_a_page_that_was_changed_by_hand_is_refused(results: Path, damage: str):
    path = results / "mechanisms" / "README.md"
    path.write_text(path.read_text().replace(damage, ""))
    with pytest.raises(RunError, match="--figures-only"):
        claims_mechanisms.read(results)


def test_the_committed_page():
    for each in claims_mechanisms.read(RESULTS):
        assert each.verdict in ("reproduced", "not reproduced", "inconclusive")
        assert each.because
        assert each.caption
        assert each.seeds >= 3
        assert each.hardware
        assert each.commit
        assert each.findings
        assert all(finding.interval and finding.n for finding in each.findings)
