"""What the page says, for programs: verdicts.csv, a row per experiment; findings.csv, its numbers.

Reading them takes no torch; judging does, for the modules of the experiments measure too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES
from wnrepro.mechanisms.experiment import Experiment, Finding, Verdict
from wnrepro.replacement import replace_file

VERDICTS = "verdicts.csv"
FINDINGS = "findings.csv"
COMMAND = "python scripts/mechanisms.py"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Judged:
    """One experiment and what came of it. Texts are Markdown, each one line.

    number: its section of the page. criterion: of either outcome. verdict: an outcome, or NOT_RUN;
    then the fields after it are empty. caption: of its figure. seeds: that the verdict rests on.
    hardware, commit: of all its pieces, joined by " + ".
    """

    number: int
    name: str
    title: str
    source: str
    claim: str
    criterion: str
    verdict: str = NOT_RUN
    because: str = ""
    caption: str = ""
    seeds: int = 0
    hardware: str = ""
    commit: str = ""
    findings: tuple[Finding, ...] = ()


_COLUMNS = [field.name for field in fields(Judged) if field.name != "findings"]
_FINDING_COLUMNS = ["name", *(field.name for field in fields(Finding))]


def judged(
    number: int,
    experiment: Experiment,
    verdict: Verdict | None,
    caption: str,
    provenance: Mapping[str, Any],
) -> Judged:
    """verdict: None if it was not run. provenance: of its tables, as in provenance.json."""
    texts = experiment.texts
    criterion = (
        f"Reproduced if {texts.reproduced_if} Not reproduced if {texts.not_reproduced_if} "
        "Anything else is inconclusive."
    )
    said = map(_one_line, (texts.title, texts.source, texts.claim, criterion))
    row = Judged(number, experiment.name, *said)
    if verdict is None:
        return row
    sources = provenance.get("sources", [])
    return replace(
        row,
        verdict=verdict.outcome,
        because=_one_line(verdict.because),
        caption=_one_line(caption),
        seeds=verdict.seeds,
        hardware=_joined(f"{source['cpu']}, torch {source['torch']}" for source in sources),
        commit=_joined(commit(source) for source in sources),
        findings=verdict.findings,
    )


def write(folder: Path, rows: Sequence[Judged]) -> None:
    """Write both files, each whole or not at all. Raises RunError if the system refuses."""
    findings = [{"name": row.name, **asdict(each)} for row in rows for each in row.findings]
    for name, table, columns in (
        (FINDINGS, findings, _FINDING_COLUMNS),
        (VERDICTS, [asdict(row) for row in rows], _COLUMNS),
    ):
        text = pd.DataFrame(table, columns=columns).to_csv(index=False, lineterminator="\n")
        replace_file(folder / name, text)


def read(folder: Path) -> list[Judged]:
    """What `write` left, in the order of the page; nothing where there is no verdicts.csv.

    Raises:
        RunError: a file cannot be read, or they are not of the experiments that there are now.
    """
    if not (folder / VERDICTS).exists():
        return []
    try:
        verdicts = _rows(folder / VERDICTS, _COLUMNS)
        if [row["name"] for row in verdicts] != list(NAMES):
            raise ValueError(f"{VERDICTS} has not one row for each of {', '.join(NAMES)}")
        of: dict[str, list[Finding]] = {name: [] for name in NAMES}
        for row in _rows(folder / FINDINGS, _FINDING_COLUMNS):
            of[row.pop("name")].append(Finding(**row))
        return [
            Judged(
                **{**row, "number": int(row["number"]), "seeds": int(row["seeds"])},
                findings=tuple(of[row["name"]]),
            )
            for row in verdicts
        ]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"cannot read the verdicts in {folder} ({error}): write them again with "
            f"{COMMAND} --figures-only"
        ) from error


def commit(source: Mapping[str, Any]) -> str:
    """Of an entry of `sources` in provenance.json."""
    name = (source["commit"] or "no commit")[:10]
    return name + (" with changes" if source["dirty"] else "")


def _rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(frame) != columns:
        raise ValueError(f"{path.name} has not the columns {', '.join(columns)}")
    return frame.to_dict("records")


def _one_line(text: str) -> str:
    """Without line breaks; a word that was broken at its hyphen is whole again."""
    return " ".join(text.replace("-\n", "-").split())


def _joined(parts: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(parts))
