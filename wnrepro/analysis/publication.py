"""Figures and tables as files, from the committed records: the same records give the same bytes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure as Drawing

from wnrepro import processes
from wnrepro.analysis import paper, records
from wnrepro.analysis.claims.rendering import cell
from wnrepro.analysis.exhibit import Cells, Exhibit, Figure, Table
from wnrepro.analysis.exhibits import FIGURES, TABLES
from wnrepro.analysis.records import Records
from wnrepro.drawing import lay_out, save
from wnrepro.errors import RunError, did_you_mean
from wnrepro.replacement import make_folder, replace_file

_FORMS = ("png", "svg", "pdf")
_WIDE = 5
"""In LaTeX a table of more columns is shrunk to the width of the text."""
_TEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "…": r"\ldots{}",
    "±": r"$\pm$",
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
        for name in names:
            _draw(results, name)
            yield name
        return
    with ProcessPoolExecutor(jobs, processes.context()) as pool:
        running = {pool.submit(_draw, results, name): name for name in names}
        for done in as_completed(running):
            done.result()
            yield running[done]


@cache
def _loaded(results: Path) -> tuple[Records, paper.Paper]:
    """Once per process."""
    return records.load(results), paper.load(results / "paper")


def _draw(results: Path, name: str) -> None:
    found, theirs = _loaded(results)

    def final() -> Drawing:
        """With its layout done once, and not again for each form it is saved in."""
        figure = FIGURES[name].drawing(found, theirs)
        lay_out(figure)
        figure.set_layout_engine("none")
        return figure

    make_folder(results / "figures")
    save(final, results / "figures" / name, _FORMS)


def write_table(table: Table, cells: Cells, caption: str, results: Path) -> None:
    """As Markdown and LaTeX for readers, as CSV with all digits."""
    make_folder(results / "tables")
    texts = {
        "md": f"{markdown(cells.words)}\n{caption}\n",
        "csv": cells.values.to_csv(index=False, lineterminator="\n"),
        "tex": latex(cells.words, caption, table.name),
    }
    for path in files(table, results):
        replace_file(path, texts[path.suffix[1:]])


def markdown(words: pd.DataFrame) -> str:
    lines = [list(words), ["---"] * words.shape[1], *words.itertuples(index=False)]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def latex(words: pd.DataFrame, caption: str, label: str) -> str:
    """A table environment; needs the packages booktabs and, if it is wide, graphicx."""
    text = (
        words.rename(columns=tex)
        .map(tex)
        .style.hide()
        .to_latex(
            position_float="centering",
            hrules=True,
            column_format="l" * words.shape[1],
            caption=tex(caption),
            label=f"tab:{label}",
        )
    )
    if words.shape[1] <= _WIDE:
        return text
    begin, end = r"\begin{tabular}", r"\end{tabular}"
    text = text.replace(begin, rf"\resizebox{{\linewidth}}{{!}}{{{begin}")
    return text.replace(end, f"{end}}}")


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
