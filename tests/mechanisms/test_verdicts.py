"""The verdicts as files come back as they were judged; the committed ones are judged again."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES, load, verdicts
from wnrepro.mechanisms.experiment import NOT_TESTED, Finding, Verdict
from wnrepro.mechanisms.verdicts import Judged

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "mechanisms"
VERDICT = Verdict(
    "not reproduced",
    'The |cos| is 0.2,\n"small".',
    (
        Finding("|cos|, of a unit", "0.19 (chance: 0.10)", "[0.16, 0.22], 95 % t", "5 seeds"),
        Finding("steps", "0", "", "4,841,200 steps, 3 seeds"),
    ),
    3,
)
SOURCE = {"commit": "abcdef0123456", "dirty": True, "cpu": "Xeon", "torch": "2.15.0", "pieces": 1}
PROVENANCE = {"pieces": 3, "sources": [SOURCE, SOURCE, SOURCE | {"dirty": False}]}


def rows() -> list[Judged]:
    """Stability was judged in two parts, conditioning as a whole; the others have not been run."""
    found = {
        "conditioning": [VERDICT],
        "stability": [
            replace(VERDICT, on="Adam"),
            replace(VERDICT, outcome="reproduced", on="SGD"),
        ],
    }
    return [
        row
        for number, name in enumerate(NAMES, 1)
        for row in verdicts.judged(
            number, load(name), found.get(name, []), "Lines:\nmeans.", PROVENANCE
        )
    ]


def test_what_is_written_is_read_back(tmp_path: Path):
    verdicts.write(tmp_path, rows())
    read = verdicts.read(tmp_path)
    assert read == rows()
    for each in read:
        experiment = load(each.name)
        own = experiment.texts
        texts = (own.title, own.source, own.claim)
        assert words(each.title.split(": ")[0], each.source, each.claim) == words(*texts)
        assert (each.kind, words(each.caveat)) == (own.kind, words(own.caveat))
        for part in (own.reproduced_if, own.not_reproduced_if):
            assert words(part) in words(each.criterion)
    parts = [(each.id, each.title.split(": ")[-1], each.verdict) for each in read[1:3]]
    assert parts == [("M2a", "Adam", "not reproduced"), ("M2b", "SGD", "reproduced")]
    judged = read[3]
    assert (judged.id, judged.verdict, judged.seeds) == ("M3", "not reproduced", 3)
    assert judged.because == 'The |cos| is 0.2, "small".'
    assert judged.findings == VERDICT.findings
    assert judged.caption == "Lines: means."
    assert judged.hardware == "Xeon, torch 2.15.0"
    assert judged.commit == "abcdef0123 with changes + abcdef0123"
    texts = (read[0].title, read[0].source, read[0].claim, read[0].criterion, read[0].caveat)
    assert read[0] == Judged("M1", "norm_growth", "identity", *texts, NOT_TESTED)


def words(*texts: str) -> str:
    return "".join("".join(texts).split())


def test_nothing_where_nothing_was_judged(tmp_path: Path):
    assert verdicts.read(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("verdicts.csv", "id,", "no,"),
        ("verdicts.csv", "conditioning", "condition"),
        ("verdicts.csv", "\nM3,", "\nM9,"),
        ("findings.csv", "M3", "M9"),
        ("findings.csv", "interval", "range"),
    ],
)
def test_files_that_were_changed_by_hand_are_refused(tmp_path: Path, file: str, old: str, new: str):
    verdicts.write(tmp_path, rows())
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RunError, match=r"python scripts/mechanisms\.py --figures-only"):
        verdicts.read(tmp_path)


def test_one_file_without_the_other_is_refused(tmp_path: Path):
    verdicts.write(tmp_path, rows())
    (tmp_path / "findings.csv").unlink()
    with pytest.raises(RunError, match="--figures-only"):
        verdicts.read(tmp_path)


def test_the_committed_files_are_what_the_committed_tables_give(script, tmp_path: Path):
    written = {"README.md", "verdicts.csv", "findings.csv"}
    for path in [*COMMITTED.glob("*.csv"), COMMITTED / "provenance.json"]:
        if path.name not in written:
            shutil.copy(path, tmp_path)
    script.publish([], tmp_path, smoke=False)
    for name in written:
        assert (tmp_path / name).read_bytes() == (COMMITTED / name).read_bytes(), name
