"""Figures and tables as files, from the committed records: the same records give the same bytes."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Drawing

from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records
from wnrepro.analysis.registry import FIGURES, TABLES, Figure, Item, Tabulation
from wnrepro.drawing import lay_out, save
from wnrepro.errors import RunError, did_you_mean
from wnrepro.replacement import make_folder, replace_file

FIGURES_FOLDER, TABLES_FOLDER = "figures", "tables"
_FORMS = ("png", "svg", "pdf")
_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Not forked from this process: numpy has threads, which do not survive that."""
_IMPORTED = [
    __name__,
    "wnrepro.analysis.page",
    "tqdm",
    *(f"matplotlib.backends.backend_{name}" for name in ("agg", "svg", "pdf")),
]


def named(names: list[str]) -> list[Item]:
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
        item
        for registry in (FIGURES, TABLES)
        for item in registry.values()
        if not names or item.name in names
    ]


def prepare() -> None:
    """Begin, in the background, to import what the processes that draw need: once for all."""
    if _START_METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(_IMPORTED)
        forkserver.ensure_running()


def publish(item: Item, records: Records, paper: Paper, results: Path) -> list[Path]:
    """Write its files below `results`, and say which; remove them where there are no runs for it.

    A figure that no run stands behind any more would be taken for one that some do.
    """
    paths = files(item, results)
    if not item.used(records):
        for path in paths:
            path.unlink(missing_ok=True)
        return []
    make_folder(paths[0].parent)
    match item:
        case Figure():
            draw = partial(_final, item, records, paper)
            save(draw, results / FIGURES_FOLDER / item.name, _FORMS)
        case Tabulation():
            table, caption = item.build(records, paper), item.caption(records)
            texts = {
                "md": f"{table.markdown()}\n{caption}\n",
                "csv": table.csv(),
                "tex": table.latex(caption, item.name),
            }
            for path in paths:
                replace_file(path, texts[path.suffix[1:]])
    return paths


def publish_all(
    items: Sequence[Item], records: Records, paper: Paper, results: Path, jobs: int
) -> Iterator[Item]:
    """Write all of them with so many processes; each is given back when it is written."""
    if jobs == 1:
        for item in items:
            publish(item, records, paper, results)
            yield item
        return
    context = multiprocessing.get_context(_START_METHOD)
    with ProcessPoolExecutor(jobs, context, _receive, (records, paper, results)) as pool:
        running = {pool.submit(_publish_named, type(item), item.name): item for item in items}
        for done in as_completed(running):
            done.result()
            yield running[done]


_received: tuple[Records, Paper, Path]


def _receive(*given: Any) -> None:
    """Once per process, and not once per figure: the records are the most of it."""
    global _received
    _received = given  # type: ignore[assignment]


def _publish_named(kind: type[Item], name: str) -> None:
    """By name: the registry's functions cannot be sent to another process."""
    publish((FIGURES if kind is Figure else TABLES)[name], *_received)


def gallery(records: Records) -> str:
    """results/figures/README.md: every figure with its caption, light or dark as the page is."""
    parts = [
        "# Figures",
        "From the committed records alone, by `python scripts/make_figures.py`. Each is there as "
        "PNG, SVG and PDF, and as SVG for dark pages; its numbers stand in `../tables/` and, run "
        "by run, in `../runs.csv`.",
    ]
    for figure in FIGURES.values():
        parts.append(f"## {figure.title}")
        if figure.used(records):
            parts.append(
                f'<picture><source media="(prefers-color-scheme: dark)" '
                f'srcset="{figure.name}-dark.svg"><img src="{figure.name}.png" '
                f'alt="{figure.title}"></picture>'
            )
            parts.append(figure.caption(records))
        else:
            parts += [f"Left out: {line}." for line in figure.lacks(records)]
    return "\n\n".join(parts) + "\n"


def files(item: Item, results: Path) -> list[Path]:
    """Where its files are, whether they are there or not."""
    if isinstance(item, Figure):
        stem = results / FIGURES_FOLDER / item.name
        endings = [*(f".{form}" for form in _FORMS), "-dark.svg"]
    else:
        stem = results / TABLES_FOLDER / item.name
        endings = [".md", ".csv", ".tex"]
    return [stem.with_name(stem.name + ending) for ending in endings]


def _final(item: Figure, records: Records, paper: Paper) -> Drawing:
    """The figure with its layout done once, and not again for each form it is saved in."""
    figure = item.drawing(records, paper)
    lay_out(figure)
    figure.set_layout_engine("none")
    return figure
