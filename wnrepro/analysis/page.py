"""results/index.html: claims, tables, figures and runs on one page that needs no other file."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

import pandas as pd

from wnrepro.analysis import run_pictures
from wnrepro.analysis.captions import commit, hardware
from wnrepro.analysis.claims.judgement import IDENTITY, MECHANISM, OUR_VERDICT, VERDICT, Row
from wnrepro.analysis.claims.rendering import environment, verdicts
from wnrepro.analysis.exhibit import MISSING, Cells
from wnrepro.analysis.exhibits import FIGURES, TABLES
from wnrepro.analysis.records import Records, arms_in
from wnrepro.mechanisms.verdicts import read
from wnrepro.replacement import replace_file
from wnrepro.tasks import PARTS, task_of

PAGE = Path("index.html")
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_BEYOND_THOUSANDTHS = re.compile(r"(\d\.\d{3})\d+")
_BEFORE = {
    "data": "data",
    "arm": "arm",
    "init": "init",
    "network": "model",
    "epochs": "epochs:g",
    "optimiser": "optimizer",
    "learning rate": "learning_rate:g",
    "precision": "precision",
    "seed": "seed:g",
    "status": "status",
}
_AFTER = {
    "time per epoch, s": "time_per_epoch_sec:.3g",
    "hardware": "cpu",
    "commit": "commit",
    "run": "identity",
}
"""Columns of the table of runs before and after those of the headline metrics."""


class Picture(NamedTuple):
    """light, dark: data URIs; without a dark one the light picture stands on a light ground."""

    name: str
    title: str
    caption: str
    light: str
    dark: str | None


def write(
    results: Path, records: Records, rows: Sequence[Row], tables: Mapping[str, Cells]
) -> None:
    """Write the page from the claims, the tables and the pictures in the folder `results`.

    Figures that are not there are left out. Equal files give equal bytes.

    Raises:
        RunError: the mechanism experiments' verdicts cannot be read, or the page not be written.
    """
    text = (
        environment()
        .get_template("page.html")
        .render(
            verdicts(rows, records),
            missing=_missing(records, rows),
            tables=[
                (TABLES[name], TABLES[name].caption(records), cells.words)
                for name, cells in tables.items()
            ],
            figures=list(_figures(results, records)),
            mechanism_figures=list(_mechanism_figures(results)),
            drawn=[(row, _data_uris(row)) for row in run_pictures.rows(results, records)],
            runs=run_table(records),
            numeric=[head for head, column in _columns(records).items() if ":" in column],
            zip=zip,
            data=sorted(set(records.runs["data"])),
            arms=arms_in(records.runs),
        )
    )
    replace_file(results / PAGE, text)


def run_table(records: Records) -> pd.DataFrame:
    """All runs in the order of runs.csv, as they are shown."""
    runs = records.runs.reset_index()
    made = runs.to_dict("records")
    shown = runs.assign(
        model=[" ".join([run["model"], _sizes(run)]) for run in made],
        cpu=[hardware(run) for run in made],
        commit=[commit(run) for run in made],
    )
    table = pd.DataFrame()
    for head, column in _columns(records).items():
        name, _, form = column.partition(":")
        table[head] = [MISSING if pd.isna(value) else f"{value:{form}}" for value in shown[name]]
    return table


def _columns(records: Records) -> dict[str, str]:
    """Headings of the table of runs → columns of `Records.runs`; numbers with their format."""
    metrics = {
        task.labels[column].replace(" (", ", ").rstrip(")"): f"{column}:.2f"
        for task in dict.fromkeys(map(task_of, records.runs["config"]))
        for column in (f"{part}_{task.headline}" for part in PARTS)
        if records.runs[column].notna().any() or not column.startswith("held_out")
    }
    return _BEFORE | metrics | _AFTER


def _sizes(run: dict) -> str:
    return " × ".join(f"{run[c]:g}" for c in ("depth", "width") if not pd.isna(run[c]))


def picture(folder: Path, name: str, title: str, caption: str) -> Iterator[Picture]:
    """The figure `name` of `folder`, if there is one."""
    if light := _data_uri(folder, name):
        yield Picture(name, title, caption, light, _data_uri(folder, f"{name}-dark"))


def _data_uri(folder: Path, stem: str) -> str | None:
    """Of SVG and PNG the smaller one: both are sharp enough, and the page travels as one file."""
    files = [path for end in _TYPES if (path := folder / f"{stem}{end}").exists()]
    if not files:
        return None
    smallest = min(files, key=lambda path: path.stat().st_size)
    content = smallest.read_bytes()
    if smallest.suffix == ".svg":
        # A thousandth of a point cannot be seen, and a sixth of the page is beyond it.
        text = _BEYOND_THOUSANDTHS.sub(r"\1", content.decode())
        content = " ".join(text.split()).encode()
    return _encoded(smallest.suffix, content)


def _data_uris(row: run_pictures.Row) -> dict[str, str]:
    return {said: _encoded(path.suffix, path.read_bytes()) for said, path in row.files.items()}


def _encoded(suffix: str, content: bytes) -> str:
    return f"data:{_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def _missing(records: Records, rows: Sequence[Row]) -> dict[str, list[str]]:
    """What would be needed → what waits for it; of alternatives the first."""
    waiting: dict[str, list[str]] = {}
    for row in rows:
        if row.role in (VERDICT, OUR_VERDICT, MECHANISM, IDENTITY) and row.settle:
            waiting.setdefault(row.settle.split(" or ")[0], []).append(f"claim {row.id}")
    for kind, items in (("figure", FIGURES), ("table", TABLES)):
        for item in items.values():
            for line in item.lacks(records):
                command = line[line.index("python ") :]
                waiting.setdefault(command, []).append(f"{kind} “{item.title}”")
    return waiting


def _figures(results: Path, records: Records) -> Iterator[Picture]:
    for name, figure in FIGURES.items():
        yield from picture(results / "figures", name, figure.title, figure.caption(records))


def _mechanism_figures(results: Path) -> Iterator[Picture]:
    folder = results / "mechanisms"
    for each in {each.name: each for each in reversed(read(folder))}.values():
        caption = f"{each.caption} {each.hardware}; commit {each.commit}."
        title = f"{each.id.rstrip(ascii_lowercase)}. {each.title.split(': ')[0]}"
        yield from picture(folder, each.name, title, caption)
