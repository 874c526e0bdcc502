"""results/index.html: claims, tables, figures and runs on one page that needs no other file."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wnrepro.analysis import claims
from wnrepro.analysis import claims_mechanisms as mechanisms
from wnrepro.analysis.claims_row import FINDING, MECHANISM, NEAREST, VERDICT, Row
from wnrepro.analysis.page_pictures import Picture, picture
from wnrepro.analysis.page_runs import run_table
from wnrepro.analysis.publication import FIGURES_FOLDER, TABLES_FOLDER
from wnrepro.analysis.records import Records
from wnrepro.analysis.registry import FIGURES, TABLES
from wnrepro.replacement import replace_file

PAGE = Path("index.html")
OUTCOMES = ("reproduced", "not reproduced", "inconclusive")

_TEMPLATE = Path(__file__).with_name("page_template")
_CELL = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Judged:
    """A claim with what stands beneath it: nearest evidence, or the findings of an experiment."""

    row: Row
    beneath: tuple[Row, ...]


@dataclass(frozen=True)
class Words:
    """A table of tables/*.md as it was written there."""

    name: str
    title: str
    heads: list[str]
    rows: list[list[str]]
    caption: str


def write(results: Path, records: Records) -> Path:
    """Write the page from what lies in the folder `results`; returns its path.

    Reads tables/claims.csv, tables/*.md, figures/ and mechanisms/; of the registry's figures and
    tables those that are there are shown and the others named. Equal files, equal bytes.

    Raises:
        RunError: the mechanism experiments' verdicts cannot be read, or the page not be written.
    """
    rows = claims.read(results)
    verdicts = _judged(rows, VERDICT, NEAREST)
    arguments = _judged(rows, MECHANISM, FINDING)
    text = (
        _environment()
        .get_template("page.html")
        .render(
            verdicts=verdicts,
            arguments=arguments,
            counts=_counts(verdicts),
            untested=sum(each.row.n == "0" for each in verdicts),
            argument_counts=_counts(arguments),
            no_verdicts=mechanisms.NO_VERDICTS,
            outcomes=OUTCOMES,
            missing=_missing(results, records, rows),
            tables=list(_tables(results)),
            figures=list(_figures(results, records)),
            mechanism_figures=list(_mechanism_figures(results)),
            runs=run_table(records),
        )
    )
    path = results / PAGE
    replace_file(path, text)
    return path


def inline(text: str) -> Markup:
    """Text with `code` marked up; everything else in it is text."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def commands(settle: str) -> Markup:
    """Commands, joined by “or”, as code; a sentence as it is."""
    if not settle.startswith("python "):
        return escape(settle)
    return Markup(" or ").join(Markup("<code>{}</code>").format(c) for c in settle.split(" or "))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inline": inline, "commands": commands}
    return environment


def _judged(rows: Sequence[Row], role: str, beneath: str) -> list[Judged]:
    return [
        Judged(row, tuple(each for each in rows if (each.role, each.id) == (beneath, row.id)))
        for row in rows
        if row.role == role
    ]


def _counts(judged: Sequence[Judged]) -> dict[str, int]:
    counts = Counter(each.row.verdict for each in judged)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _missing(results: Path, records: Records, rows: Sequence[Row]) -> dict[str, list[str]]:
    """What would be needed → what waits for it; of alternatives the first."""
    waiting: dict[str, list[str]] = {}
    for row in rows:
        if row.role in (VERDICT, MECHANISM) and row.settle:
            waiting.setdefault(row.settle.split(" or ")[0], []).append(f"claim {row.id}")
    for kind, items in (("figure", FIGURES), ("table", TABLES)):
        for item in items.values():
            for line in item.lacks(records):
                command = line[line.index("python ") :]
                waiting.setdefault(command, []).append(f"{kind} “{item.title}”")
    return waiting


def _figures(results: Path, records: Records) -> Iterable[Picture]:
    folder = results / FIGURES_FOLDER
    for name, figure in FIGURES.items():
        if found := picture(folder, name, figure.title, figure.caption(records)):
            yield found


def _mechanism_figures(results: Path) -> Iterable[Picture]:
    for each in mechanisms.read(results):
        title = f"M{each.number}. {each.title}"
        caption = f"{each.caption} {each.hardware}; commit {each.commit}."
        if found := picture(results / mechanisms.FOLDER, each.name, title, caption):
            yield found


def _tables(results: Path) -> Iterable[Words]:
    for name, table in TABLES.items():
        path = results / TABLES_FOLDER / f"{name}.md"
        if path.exists():
            yield _words(name, table.title, path.read_text(encoding="utf-8"))


def _words(name: str, title: str, text: str) -> Words:
    lines = text.splitlines()
    rows = [_cells(line) for line in lines if line.startswith("|")]
    caption = " ".join(line for line in lines if line and not line.startswith("|"))
    return Words(name, title, rows[0], rows[2:], caption)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]
