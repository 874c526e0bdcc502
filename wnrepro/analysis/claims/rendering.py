"""The table of claims as Markdown and CSV; the page renders the same claims as HTML."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wnrepro.analysis.claims.judgement import FINDING, MECHANISM, NEAREST, VERDICT, Row
from wnrepro.mechanisms.verdicts import COMMAND, VERDICTS
from wnrepro.replacement import make_folder, replace_file

MARKDOWN, TABLE = Path("claims.md"), Path("tables/claims.csv")
OUTCOMES = ("reproduced", "not reproduced", "inconclusive")
NO_VERDICTS = (
    f"There is no `mechanisms/{VERDICTS}`: `{COMMAND}` writes it, with `--figures-only` from the "
    "measurements that are there."
)
_TEMPLATES = Path(__file__).parents[1] / "templates"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Judged:
    """A claim with what stands beneath it: nearest evidence, or the findings of an experiment."""

    row: Row
    beneath: list[Row]


def verdicts(rows: Sequence[Row]) -> dict[str, Any]:
    """What both templates are given."""

    def of(role: str, beneath: str) -> list[Judged]:
        under = [row for row in rows if row.role == beneath]
        judged = [row for row in rows if row.role == role]
        return [Judged(row, [each for each in under if each.id == row.id]) for row in judged]

    claims, arguments = of(VERDICT, NEAREST), of(MECHANISM, FINDING)
    return {"claims": claims, "arguments": arguments, "no_verdicts": NO_VERDICTS}


def tally(judged: Sequence[Judged]) -> dict[str, int]:
    """How many have each outcome."""
    counts = Counter(each.row.verdict for each in judged)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def write(results: Path, rows: Sequence[Row]) -> None:
    """Write claims.md and tables/claims.csv. Raises RunError if the system refuses."""
    make_folder(results / TABLE.parent)
    replace_file(results / MARKDOWN, environment().get_template("claims.md").render(verdicts(rows)))
    frame = pd.DataFrame(map(asdict, rows), columns=list(Row.__dataclass_fields__))
    replace_file(results / TABLE, frame.to_csv(index=False, lineterminator="\n"))


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
    filters = (inline, commands, marked, cell, tally)
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


def cell(text: str) -> str:
    """In a table of Markdown."""
    return text.replace("|", r"\|")
