"""What the page says, for programs: verdicts.csv, a row per verdict; findings.csv, its numbers.

Reading them takes no torch; judging does, for the modules of the experiments measure too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pandas as pd

from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES
from wnrepro.mechanisms.experiment import NOT_TESTED, Experiment, Finding, Verdict
from wnrepro.replacement import replace_file

VERDICTS = "verdicts.csv"
FINDINGS = "findings.csv"
COMMAND = "python scripts/mechanisms.py"


@dataclass(frozen=True)
class Judged:
    """One verdict of an experiment. Texts are Markdown, each one line.

    id: M and its section of the page, with a letter where the section has several. kind, caveat: as
    in `Texts`. criterion: of either outcome. verdict: an outcome; if NOT_TESTED the fields after it
    are empty. caption: of its figure. seeds: that the verdict rests on. hardware, commit: of all
    its pieces, joined by " + ".
    """

    id: str
    name: str
    kind: str
    title: str
    source: str
    claim: str
    criterion: str
    caveat: str
    verdict: str = NOT_TESTED
    because: str = ""
    caption: str = ""
    seeds: int = 0
    hardware: str = ""
    commit: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def outcome(self) -> str:
        """The verdict as it is shown: an identity is verified, or it is not."""
        exact = self.kind == "identity"
        return self.verdict.replace("reproduced", "verified") if exact else self.verdict


def judged(
    number: int,
    experiment: Experiment,
    found: Sequence[Verdict],
    caption: str,
    provenance: Mapping[str, Any],
) -> list[Judged]:
    """found: nothing if it was not run. provenance: of its tables, as in provenance.json."""
    texts = experiment.texts
    criterion = (
        f"Reproduced if {texts.reproduced_if} Not reproduced if {texts.not_reproduced_if} "
        "Anything else is inconclusive."
    )
    said = map(_one_line, (texts.title, texts.source, texts.claim, criterion, texts.caveat))
    row = Judged(f"M{number}", experiment.name, texts.kind, *said)
    sources = provenance.get("sources", [])
    letters = ascii_lowercase if len(found) > 1 else [""]
    return [
        replace(
            row,
            id=row.id + letter,
            title=f"{row.title}: {each.on}" if each.on else row.title,
            verdict=each.outcome,
            because=_one_line(each.because),
            caption=_one_line(caption),
            seeds=each.seeds,
            hardware=_joined(f"{source['cpu']}, torch {source['torch']}" for source in sources),
            commit=_joined(commit(source) for source in sources),
            findings=each.findings,
        )
        for letter, each in zip(letters, found, strict=False)
    ] or [row]


def write(folder: Path, rows: Sequence[Judged]) -> None:
    """Write both files, each whole or not at all. Raises RunError if the system refuses."""
    findings = [{"id": row.id, **asdict(each)} for row in rows for each in row.findings]
    verdicts = pd.DataFrame([asdict(row) for row in rows]).drop(columns="findings")
    for name, table in ((FINDINGS, pd.DataFrame(findings)), (VERDICTS, verdicts)):
        replace_file(folder / name, table.to_csv(index=False, lineterminator="\n"))


def read(folder: Path) -> list[Judged]:
    """What `write` left, in the order of the page; nothing where there is no verdicts.csv.

    Raises:
        RunError: a file cannot be read, or they are not of the experiments that there are now.
    """
    if not (folder / VERDICTS).exists():
        return []
    try:
        verdicts, findings = (
            pd.read_csv(folder / name, dtype=str, keep_default_na=False).to_dict("records")
            for name in (VERDICTS, FINDINGS)
        )
        rows = {row["id"]: Judged(**row | {"seeds": int(row["seeds"])}) for row in verdicts}
        if list(dict.fromkeys(row.name for row in rows.values())) != list(NAMES):
            raise ValueError(f"{VERDICTS} has no row for each of {', '.join(NAMES)}")
        for finding in findings:
            row = rows[finding.pop("id")]
            rows[row.id] = replace(row, findings=(*row.findings, Finding(**finding)))
        return list(rows.values())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"cannot read the verdicts in {folder} ({error}): write them again with "
            f"{COMMAND} --figures-only"
        ) from error


def commit(source: Mapping[str, Any]) -> str:
    """Of an entry of `sources` in provenance.json."""
    name = (source["commit"] or "no commit")[:10]
    return name + (" with changes" if source["dirty"] else "")


def _one_line(text: str) -> str:
    """Without line breaks; a word that was broken at its hyphen is whole again."""
    return " ".join(text.replace("-\n", "-").split())


def _joined(parts: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(parts))
