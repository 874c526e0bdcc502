"""The table of claims as Markdown and CSV; the page renders the same claims as HTML."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wnrepro.analysis.claims.judgement import (
    FINDING,
    IDENTITY,
    MECHANISM,
    NEAREST,
    OUR_VERDICT,
    VERDICT,
    Row,
)
from wnrepro.analysis.claims.seeds import LIKELY, MOST_SEEDS, SEEDS, SEEN, Power, pairing, powers
from wnrepro.analysis.exhibit import number
from wnrepro.analysis.records import Records
from wnrepro.mechanisms.verdicts import COMMAND, VERDICTS
from wnrepro.replacement import make_folder, replace_file

MARKDOWN, TABLE, POWER = Path("claims.md"), Path("tables/claims.csv"), Path("tables/power.csv")
OUTCOMES = ("reproduced", "not reproduced", "inconclusive", "not tested")
NO_VERDICTS = (
    f"There is no `mechanisms/{VERDICTS}`: `{COMMAND}` writes it, with `--figures-only` from the "
    "measurements that are there."
)
_TEMPLATES = Path(__file__).parents[1] / "templates"
_CODE = re.compile(r"`([^`]+)`")


class Judged(NamedTuple):
    """A claim with what stands beneath it: nearest evidence, or the findings of an experiment."""

    row: Row
    beneath: list[Row]


def verdicts(rows: Sequence[Row], records: Records) -> dict[str, Any]:
    """What both templates are given."""
    found = powers(records)

    def of(role: str, beneath: str) -> list[Judged]:
        return [
            Judged(row, [each for each in rows if (each.role, each.id) == (beneath, row.id)])
            for row in rows
            if row.role == role
        ]

    return {
        "claims": of(VERDICT, NEAREST),
        "ours": of(OUR_VERDICT, NEAREST),
        "arguments": of(MECHANISM, FINDING),
        "identities": of(IDENTITY, FINDING),
        "no_verdicts": NO_VERDICTS,
        "powers": found,
        "power": power_table(found),
        "worth": worth(found),
        "likely": LIKELY,
        "seen": list(SEEN.values()),
        "pairing": [
            f"{title}: {number(low)} to {number(high)} (n = {n})"
            for title, low, high, n in pairing(records)
        ],
    }


def power_table(found: Sequence[Power]) -> list[dict[str, str]]:
    """A line per claim: its chances by the first of `SEEN` that has it, and the seeds by each."""
    lines = []
    for claim in dict.fromkeys(each.claim for each in found):
        own = {each.evidence: each for each in found if each.claim == claim}
        first = next(iter(own.values()))
        line = {
            "claim": claim.id,
            "if truly": f"{claim.expected:.2f}{claim.region.unit}".replace("-", "−"),
            "region": claim.region.text(),
            "sd": f"{first.sd:.2f}",
        }
        line |= {f"n = {n}": f"{first.chances[n]:.2f}" for n in SEEDS}
        for name in SEEN:
            seeds = "–" if name not in own else str(own[name].enough or f"over {MOST_SEEDS}")
            line[f"seeds by {SEEN[name]}"] = seeds
        lines.append(line)
    return lines


def worth(found: Sequence[Power]) -> str:
    """Which claims so many seeds are likely to decide, by the first spread there is of each."""
    first = {each.claim.id: each.chances for each in reversed(found)}
    decided: dict[str, list[str]] = {}
    for id_ in dict.fromkeys(each.claim.id for each in found):
        enough = (f"{n} seeds" for n in SEEDS if first[id_][n] >= LIKELY)
        decided.setdefault(next(enough, f"more than {SEEDS[-1]}"), []).append(id_)
    order = (*(f"{n} seeds" for n in SEEDS), f"more than {SEEDS[-1]}")
    return "; ".join(f"{n}: {', '.join(decided[n])}" for n in order if n in decided)


def tally(judged: Sequence[Judged]) -> dict[str, int]:
    """How many have each outcome."""
    counts = Counter(each.row.verdict for each in judged)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def write(results: Path, rows: Sequence[Row], records: Records) -> None:
    """Write claims.md, tables/claims.csv and tables/power.csv. Raises RunError."""
    make_folder(results / TABLE.parent)
    said = verdicts(rows, records)
    replace_file(results / MARKDOWN, environment().get_template("claims.md").render(said))
    _write_csv(results / TABLE, map(asdict, rows), Row.__dataclass_fields__)
    powers = [
        {"id": each.claim.id, "expected": each.claim.expected, "evidence": each.evidence}
        | {"sd": each.sd, "n": each.n, "enough": each.enough}
        | {f"power_n{n}": chance for n, chance in each.chances.items()}
        for each in said["powers"]
    ]
    columns = ["id", "expected", "evidence", "sd", "n", "enough", *(f"power_n{n}" for n in SEEDS)]
    _write_csv(results / POWER, powers, columns)


def _write_csv(path: Path, rows: Iterable[dict], columns: Iterable[str]) -> None:
    frame = pd.DataFrame(rows, columns=list(columns))
    replace_file(path, frame.to_csv(index=False, lineterminator="\n"))


def environment() -> Environment:
    """Of the templates: HTML is escaped, Markdown is not."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (inline, commands, marked, cell, tally, outcome)
    made.filters |= {each.__name__: each for each in filters}
    return made


def inline(text: str) -> Markup:
    """Text with `code` marked up; everything else in it is text."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def commands(settle: str) -> Markup:
    """Commands, joined by “or”, as code; a sentence as it is."""
    return inline(marked(settle))


def marked(settle: str) -> str:
    """The same in Markdown."""
    if not settle.startswith("python "):
        return settle
    return " or ".join(f"`{command}`" for command in settle.split(" or "))


def outcome(row: Row) -> str:
    """The verdict as it is shown: an identity is verified, or it is not."""
    return row.verdict.replace("reproduced", "verified") if row.role == IDENTITY else row.verdict


def cell(text: str) -> str:
    """In a table of Markdown."""
    return text.replace("|", r"\|")
