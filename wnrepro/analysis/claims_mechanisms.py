"""The verdicts on the paper's arguments, read from the page that `scripts/mechanisms.py` writes.

The page is written by `wnrepro.mechanisms.page` from its CSV files, and the code that judges these
imports torch, which the analysis does without. So it is read here and not computed again.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES
from wnrepro.mechanisms.experiment import Finding

FOLDER = "mechanisms"
PAGE = "README.md"
PROVENANCE = "provenance.json"
COMMAND = "python scripts/mechanisms.py"
NOT_RUN = "not run"

_SECTION = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")
_SEEDS = re.compile(r"(\d+) seeds?\b")


@dataclass(frozen=True)
class Mechanism:
    """One experiment of the page, its texts as Markdown.

    verdict: an outcome, or NOT_RUN, where because is empty and there are no findings.
    caption: of its figure. seeds: the fewest that a finding rests on. hardware, commit: of all
    pieces, joined by " + ".
    """

    number: int
    name: str
    title: str
    source: str
    claim: str
    criterion: str
    verdict: str
    because: str
    findings: tuple[Finding, ...]
    caption: str
    seeds: int
    hardware: str
    commit: str


def read(results: Path) -> list[Mechanism]:
    """All experiments in the order of the page; none where there is no page.

    Raises:
        RunError: the page is not what `wnrepro.mechanisms.page` writes.
    """
    path = results / FOLDER / PAGE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    provenance = _provenance(path.with_name(PROVENANCE))
    headings = list(_SECTION.finditer(text))
    if len(headings) != len(NAMES):
        raise RunError(
            f"{path} has {len(headings)} experiments, not {len(NAMES)}: write it again with "
            f"{COMMAND} --figures-only"
        )
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [
        _mechanism(name, heading, text[heading.end() : end], provenance.get(name, {}), path)
        for name, heading, end in zip(NAMES, headings, ends, strict=True)
    ]


def _mechanism(name: str, heading: re.Match[str], body: str, made: dict, path: Path) -> Mechanism:
    def one(pattern: str) -> str:
        if (found := re.search(pattern, body, re.DOTALL)) is None:
            raise RunError(
                f"{path}: cannot read experiment {heading[1]}; write the page again with "
                f"{COMMAND} {name} --figures-only"
            )
        return " ".join(found[1].replace("-\n", "-").split())

    run = "**Not run yet.**" not in body
    findings = tuple(_findings(body)) if run else ()
    counts = [int(found[1]) for each in findings if (found := _SEEDS.search(each.n))]
    sources = made.get("sources", [])
    return Mechanism(
        number=int(heading[1]),
        name=name,
        title=heading[2],
        source=one(r"\*\*Claim\*\* \((.*?)\)\. "),
        claim=one(r"\*\*Claim\*\* \(.*?\)\. (.*?)\n\n"),
        criterion=one(r"\*(Reproduced if\* .*?)\n\n").replace("*", "", 1)
        + " "
        + one(r"\*(Not reproduced if\* .*?)\n\n").replace("*", "", 1),
        verdict=one(r"\*\*Verdict: (.*?)\.\*\*") if run else NOT_RUN,
        because=one(r"\*\*Verdict: .*?\.\*\* (.*?)\n\n") if run else "",
        findings=findings,
        caption=one(r"!\[.*?\]\(.*?\)\n\n\*(.*?)\*\n\n") if run else "",
        seeds=min(counts, default=0),
        hardware=_joined(f"{each.get('cpu')}, torch {each.get('torch')}" for each in sources),
        commit=_joined(
            (each.get("commit") or "no commit")[:10] + (" with changes" if each["dirty"] else "")
            for each in sources
        ),
    )


def _findings(body: str) -> Iterator[Finding]:
    lines = body.split("| measured |", 1)[-1].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
        yield Finding(*cells)


def _joined(parts: Iterator[str]) -> str:
    return " + ".join(dict.fromkeys(parts))


def _provenance(path: Path) -> dict[str, dict]:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunError(f"cannot read {path}: {error}") from error
