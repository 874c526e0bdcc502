"""The verdicts as files come back as they were judged; the committed ones are judged again."""

import shutil
from pathlib import Path

import pytest

from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES, load, verdicts
from wnrepro.mechanisms.experiment import Finding, Verdict
from wnrepro.mechanisms.verdicts import NOT_RUN, Judged

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
    """Conditioning was judged, and the others have not been run."""
    return [
        verdicts.judged(
            number,
            load(name),
            VERDICT if name == "conditioning" else None,
            "Lines:\nmeans." if name == "conditioning" else "",
            PROVENANCE,
        )
        for number, name in enumerate(NAMES, 1)
    ]


def test_what_is_written_is_read_back(tmp_path: Path):
    verdicts.write(tmp_path, rows())
    read = verdicts.read(tmp_path)
    assert read == rows()
    for each in read:
        experiment = load(each.name)
        own = experiment.texts
        texts = (own.title, own.source, own.claim)
        assert words(each.title, each.source, each.claim) == words(*texts)
        for part in (own.reproduced_if, own.not_reproduced_if):
            assert words(part) in words(each.criterion)
    judged = read[NAMES.index("conditioning")]
    assert (judged.number, judged.verdict, judged.seeds) == (3, "not reproduced", 3)
    assert judged.because == 'The |cos| is 0.2, "small".'
    assert judged.findings == VERDICT.findings
    assert judged.caption == "Lines: means."
    assert judged.hardware == "Xeon, torch 2.15.0"
    assert judged.commit == "abcdef0123 with changes + abcdef0123"
    assert read[0] == Judged(1, "norm_growth", read[0].title, read[0].source, read[0].claim,
                             read[0].criterion, NOT_RUN)  # fmt: skip


def words(*texts: str) -> str:
    return "".join("".join(texts).split())


def test_nothing_where_nothing_was_judged(tmp_path: Path):
    assert verdicts.read(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("verdicts.csv", "number,", "no,"),
        ("verdicts.csv", "conditioning", "condition"),
        ("verdicts.csv", "\n1,", "\none,"),
        ("findings.csv", "conditioning", "condition"),
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
