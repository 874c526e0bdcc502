"""Figures and tables as files, from the committed records: the same records give the same bytes."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imread

from wnrepro import processes
from wnrepro.analysis import paper, records, run_pictures
from wnrepro.analysis.claims.rendering import cell
from wnrepro.analysis.exhibit import Cells, Exhibit, Figure, Table
from wnrepro.analysis.exhibits import FIGURES, TABLES
from wnrepro.analysis.records import Records
from wnrepro.drawing import lay_out, save
from wnrepro.errors import RunError, did_you_mean
from wnrepro.replacement import make_folder, replace_file

_FORMS = ("png", "svg", "pdf")
_ABREAST_PIXELS = 1200
"""Of pictures side by side: a table that is wider is scrolled, or its pictures are made small."""
_HEAD, _WORDS, _SAID = 10, 13, 18
"""Characters in a line of LaTeX: of a heading, of a cell of words, of what is said about a number
(an interval of two numbers with sign and 3 decimals)."""
_NUMBER = re.compile(r"(?:(?P<kind>median) )?(?P<number>−?\d+(?:\.\d+)?)(?: (?P<said>.*))?")
_TEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "²": "$^2$",
    "−": "$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "<": "$<$",
    ">": "$>$",
    "‖": r"$\|$",
    "β": r"$\beta$",
    "ε": r"$\varepsilon$",
}
_IMPORTED = [__name__, *(f"matplotlib.backends.backend_{name}" for name in ("agg", "svg", "pdf"))]


def named(names: Sequence[str]) -> list[Exhibit]:
    """The figures and tables of these names, all for none; a name of both stands for both.

    Raises RunError for a name that is neither.
    """
    known = list(dict.fromkeys((*FIGURES, *TABLES)))
    for name in names:
        if name not in known:
            raise RunError(
                f"there is no figure or table {name}{did_you_mean(name, known)}; "
                "--list shows them all"
            )
    return [
        item for item in (*FIGURES.values(), *TABLES.values()) if not names or item.name in names
    ]


def prepare() -> None:
    """Begin, in the background, to import what the processes that draw need: once for all."""
    processes.prepare(_IMPORTED)


def draw_all(names: Sequence[str], results: Path, jobs: int) -> Iterator[str]:
    """Draw these figures with so many processes; each name is given back when it is written."""
    if jobs == 1:
        yield from (_draw(results, name) for name in names)
        return
    with ProcessPoolExecutor(jobs, processes.context()) as pool:
        running = [pool.submit(_draw, results, name) for name in names]
        yield from (done.result() for done in as_completed(running))


@cache
def _loaded(results: Path) -> tuple[Records, paper.Paper]:
    """Once per process."""
    return records.load(results), paper.load(results / "paper")


def _draw(results: Path, name: str) -> str:
    found, theirs = _loaded(results)

    def final() -> Drawing:
        """With its layout done once, and not again for each form it is saved in."""
        figure = FIGURES[name].drawing(found, theirs)
        lay_out(figure)
        figure.set_layout_engine("none")
        return figure

    make_folder(results / "figures")
    save(final, results / "figures" / name, _FORMS)
    return name


def write_table(table: Table, cells: Cells, notes: str, results: Path) -> None:
    """As Markdown and LaTeX for readers, as CSV with all digits."""
    make_folder(results / "tables")
    texts = {
        "md": f"{markdown(cells.words)}\n{table.title}. {notes}\n",
        "csv": cells.values.to_csv(index=False, lineterminator="\n"),
        "tex": latex(cells.words, table.title, notes, table.name),
    }
    for path in files(table, results):
        replace_file(path, texts[path.suffix[1:]])


def markdown(words: pd.DataFrame) -> str:
    lines = [list(words), ["---"] * words.shape[1], *words.itertuples(index=False)]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def latex(words: pd.DataFrame, title: str, notes: str, label: str) -> str:
    """A table environment with its notes below; needs the packages booktabs and siunitx.

    Numbers are aligned on the point. What is said about a number, as its interval, stands below it.
    """
    numbers = {column: [_NUMBER.fullmatch(cell) for cell in words[column]] for column in words}
    lines = []
    for row in range(len(words)):
        cells = [
            _below(match)
            if (match := numbers[column][row])
            else [f"{{{line}}}" for line in _wrapped(words[column].iloc[row])]
            for column in words
        ]
        gap = r"\addlinespace " if row else ""
        lines += [
            [gap * (not under) + first, *others]
            for under, (first, *others) in enumerate(zip_longest(*cells, fillvalue=""))
        ]
    heads = [r"{\shortstack{" + r"\\".join(_wrapped(column, _HEAD)) + "}}" for column in words]
    text = (
        pd.DataFrame(lines, columns=pd.Index(heads))
        .style.hide()
        .to_latex(
            position_float="centering",
            hrules=True,
            column_format="".join(map(_column, numbers.values())),
            caption=tex(title),
            label=f"tab:{label}",
        )
    )
    small = r"\smallskip\footnotesize\setlength{\tabcolsep}{3pt}"
    text = text.replace(r"\begin{tabular}", f"{small}\n\\begin{{tabular}}")
    return text.replace(
        r"\end{table}", f"\\par\\smallskip\\scriptsize {tex(notes)}\n\\end{{table}}"
    )


def _column(cells: list[re.Match[str] | None]) -> str:
    """For siunitx, the room for signs and digits before and after the point."""
    numbers = [match["number"].partition(".") for match in cells if match]
    if not numbers:
        return "l"
    whole, _, part = zip(*numbers, strict=True)
    digits = max(len(each.lstrip("−")) for each in whole)
    sign = "-" * any(each.startswith("−") for each in whole)
    return f"S[table-format={sign}{digits}.{max(map(len, part))}]"


def _below(match: re.Match[str]) -> list[str]:
    """A number, and in lines of their own what is said about it."""
    said = " ".join(filter(None, (match["kind"], match["said"])))
    return [
        match["number"].replace("−", "-"),
        *(rf"{{\scriptsize {line}}}" for line in _wrapped(said, _SAID)),
    ]


def _wrapped(text: str, width: int = _WORDS) -> list[str]:
    return [tex(line) for line in wrap(text, width, break_long_words=False)]


def tex(text: str) -> str:
    """`text` for LaTeX, its special characters escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def remove_unused(items: Sequence[Exhibit], found: Records, results: Path) -> None:
    """A figure that no run stands behind any more would be taken for one that some do."""
    for item in items:
        if not item.used(found):
            for path in files(item, results):
                path.unlink(missing_ok=True)


def files(item: Exhibit, results: Path) -> list[Path]:
    """Where its files are, whether they are there or not."""
    if isinstance(item, Figure):
        stem = results / "figures" / item.name
        endings = [*(f".{form}" for form in _FORMS), "-dark.svg"]
    else:
        stem = results / "tables" / item.name
        endings = [".md", ".csv", ".tex"]
    return [stem.with_name(stem.name + ending) for ending in endings]


def gallery(found: Records) -> str:
    """results/figures/README.md: every figure with its caption, light or dark as the page is."""
    parts = [
        "# Figures",
        "From the committed records alone, by `python scripts/make_figures.py`. Each is there as "
        "PNG, SVG and PDF, and as SVG for dark pages; its numbers stand in `../tables/` and, run "
        "by run, in `../runs.csv`.",
    ]
    for figure in FIGURES.values():
        parts.append(f"## {figure.title}")
        if figure.used(found):
            parts.append(
                f'<picture><source media="(prefers-color-scheme: dark)" '
                f'srcset="{figure.name}-dark.svg"><img src="{figure.name}.png" '
                f'alt="{figure.title}"></picture>'
            )
            parts.append(figure.caption(found))
        else:
            parts += [f"Left out: {line}." for line in figure.lacks(found)]
    return "\n\n".join(parts) + "\n"


def drawn(found: Records, results: Path) -> str:
    """results/pictures/README.md: what trained models drew, a row for each kind."""
    parts = [
        "# What trained models drew",
        "At the end of their runs, kept by `python scripts/collect.py`, of each setting for its "
        "lowest seed. This page is written by `python scripts/make_figures.py`.",
    ]
    for row in run_pictures.rows(results, found):
        parts.append(f"## {row.title}")
        files = list(row.files.items())
        abreast = max(1, _ABREAST_PIXELS // imread(files[0][1]).shape[1])
        for first in range(0, len(files), abreast):
            some = files[first : first + abreast]
            shown = {said: f'<img src="{path.name}" alt="{said}">' for said, path in some}
            parts.append(markdown(pd.DataFrame([shown])).rstrip())
        parts.append(row.caption)
    return "\n\n".join(parts) + "\n"
