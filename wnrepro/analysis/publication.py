"""Figures and tables as files, from the committed records: the same records give the same bytes."""

from collections.abc import Callable
from pathlib import Path

from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records
from wnrepro.analysis.registry import FIGURES, TABLES, Figure, Item, Tabulation
from wnrepro.config import did_you_mean
from wnrepro.drawing import save
from wnrepro.errors import RunError
from wnrepro.replacement import replace_file

FIGURES_FOLDER, TABLES_FOLDER = "figures", "tables"


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


def publish(item: Item, records: Records, paper: Paper, results: Path) -> list[Path]:
    """Write its files below `results`, and say which; remove them where there are no runs for it.

    A figure that no run stands behind any more would be taken for one that some do.
    """
    paths = files(item, results)
    if not item.used(records):
        for path in paths:
            path.unlink(missing_ok=True)
        return []
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    match item:
        case Figure():
            stem = results / FIGURES_FOLDER / item.name
            draw: Callable = lambda: item.drawing(records, paper)
            save(draw, stem, ("png", "svg", "pdf"))
            save(draw, stem.with_name(f"{stem.name}-dark"), ("png", "svg"), dark=True)
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


def files(item: Item, results: Path) -> list[Path]:
    """Where its files are, whether they are there or not."""
    if isinstance(item, Figure):
        stem = results / FIGURES_FOLDER / item.name
        endings = (".png", ".svg", ".pdf", "-dark.png", "-dark.svg")
    else:
        stem = results / TABLES_FOLDER / item.name
        endings = (".md", ".csv", ".tex")
    return [stem.with_name(stem.name + ending) for ending in endings]
