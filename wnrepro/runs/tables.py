"""Tables of runs, small enough to be committed.

    runs.csv         one row per run: settings, last epoch, time, hardware, commit, whole config
    curves.csv.gz    one row per run and epoch
    layers.csv.gz    one row per run, epoch and layer: means over its units of ‖v‖, |g|, ‖∇_v L‖

A cell holds the number as the run recorded it, with all its digits. An empty cell is missing (or
null in the config), `nan` a number that was not finite. Errors are in percent, times in seconds.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wnrepro.errors import RunError
from wnrepro.replacement import make_folder, replace_file
from wnrepro.runs.identity import identity
from wnrepro.runs.rows import Row, value_of
from wnrepro.tasks import COLUMNS, task_of

RUNS_FILE = "runs.csv"
CURVES_FILE = "curves.csv.gz"
LAYERS_FILE = "layers.csv.gz"
TABLES = (RUNS_FILE, CURVES_FILE, LAYERS_FILE)
SETTINGS = {
    "data": "data.name",
    "arm": "norm.name",
    "init": "init.name",
    "model": "model.name",
    "width": "model.width",
    "depth": "model.depth",
    "epochs": "epochs",
    "batch_size": "batch_size",
    "optimizer": "optim.name",
    "learning_rate": "optim.lr",
    "held_out": "data.held_out",
    "train_size": "data.train_size",
    "precision": "precision",
    "seed": "seed",
}
"""Columns of `runs.csv` that show the config, with their dotted keys. They and the keys of the task
tell runs apart: what else differs, but for the seed, is a mixture."""

UNFINISHED = "unfinished"
"""The status in `runs.csv` of a run in progress: evidence of its first epochs, and of no result."""

METRICS = COLUMNS
"""In `runs.csv` those of the last epoch, never of the best; blank where a task has another."""

RUNS_COLUMNS = (
    *("identity", "name", *SETTINGS, "status", "epochs_done", *METRICS),
    *("time_per_epoch_sec", "train_time_sec", "device", "cpu", "gpu", "threads", "torch"),
    *("python", "commit", "dirty", "resumptions", "date", "command", "config"),
)
"""time_per_epoch_sec: median; train_time_sec: total; both without evaluation. date: when the run
ended. command: the one that trained it, of a sweep the whole sweep's. Of a run that was resumed
elsewhere, hardware, versions, commits and commands are joined by " + ". Blank where not known: runs
collected before 2026-12 have no `python`, and a `command` where results/README.md had it whole."""
CURVES_COLUMNS = ("identity", "epoch", "learning_rate", *METRICS, "train_time_sec")
LAYERS_COLUMNS = ("identity", "epoch", "layer", "v_norm", "g", "grad_norm")

Cells = dict[str, str]
"""Column to text; a missing value has no entry."""


@dataclass(frozen=True)
class CollectedRun:
    """One run, as it stands in the tables. source: where it was found."""

    source: str
    row: Cells
    curve: list[Cells]
    layers: list[Cells]

    @property
    def config(self) -> dict[str, Any]:
        return json.loads(self.row["config"])

    @property
    def finished(self) -> bool:
        return self.row["status"] != UNFINISHED

    def begins(self, other: "CollectedRun") -> bool:
        """Whether it is an unfinished run whose epochs are the first of the longer `other`."""
        epochs = len(self.curve)
        longer = len(other.curve) > epochs or (len(other.curve) == epochs and other.finished)
        return not self.finished and longer and self.metrics == other.first(epochs)

    def first(self, epochs: int) -> list[Cells]:
        """`metrics` of the first so many epochs."""
        return [cells for cells in self.metrics if int(cells["epoch"]) <= epochs]

    @property
    def on_gpu(self) -> bool:
        return "cuda" in self.row.get("device", "")

    @property
    def metrics(self) -> list[Cells]:
        """All that the config determines; the machine's times left out."""
        curve = [{k: v for k, v in row.items() if k != "train_time_sec"} for row in self.curve]
        return [*curve, *self.layers]

    def rows(self) -> list[Row]:
        """One row per epoch, with the keys of metrics.csv; a missing value has no entry.

        Raises:
            RunError: the tables do not hold the epochs 1 to `epochs_done`, or no numbers.
        """
        try:
            rows = {
                cells["epoch"]: {
                    column: value_of(cell)
                    for column, cell in cells.items()
                    if column not in ("identity", "train_time_sec")
                }
                for cells in self.curve
            }
            for cells in self.layers:
                rows[cells["epoch"]] |= {
                    f"{column}/{cells['layer']}": value_of(cell)
                    for column, cell in cells.items()
                    if column not in ("identity", "epoch", "layer")
                }
            whole = list(range(1, int(self.row["epochs_done"]) + 1))
            if len(self.curve) != len(rows) or [row["epoch"] for row in rows.values()] != whole:
                raise ValueError("epochs are missing or there twice")
        except (LookupError, ValueError) as error:
            raise RunError(
                f"{CURVES_FILE} or {LAYERS_FILE} beside {self.source} is damaged at the run "
                f"{self.row['identity']} ({error!r}): take them from version control again"
            ) from error
        return list(rows.values())


def read_tables(results: Path) -> dict[str, CollectedRun]:
    """What is collected in the folder `results`, by identity; nothing where there is no table.

    Raises:
        RunError: a table cannot be read, or they do not belong together.
    """
    path = results / RUNS_FILE
    if not path.exists():
        return {}
    rows = {file: _by_identity(_read_table(results / file), results / file) for file in TABLES}
    runs = {}
    for key, found in rows[RUNS_FILE].items():
        run = CollectedRun(
            str(path), found[0], rows[CURVES_FILE].get(key, []), rows[LAYERS_FILE].get(key, [])
        )
        if len(found) > 1 or not _belongs_together(key, run):
            raise RunError(
                f"{path} is damaged at the run {key}, or does not belong to {CURVES_FILE}: "
                "take them from version control again, or delete both and collect anew"
            )
        runs[key] = run
    return runs


def finished_runs(results: Path) -> dict[str, CollectedRun]:
    """Those of `read_tables` that are not in progress."""
    return {key: run for key, run in read_tables(results).items() if run.finished}


def write_tables(results: Path, runs: Mapping[str, CollectedRun]) -> None:
    """Write the tables, each whole or not at all; the same runs give the same bytes.

    Raises:
        RunError: a file cannot be written.
    """
    ordered = sorted(runs.values(), key=_order)
    make_folder(results)
    # runs.csv last: what the others have beyond it, as after a crash, counts for nothing.
    _write_table(results / LAYERS_FILE, LAYERS_COLUMNS, [c for run in ordered for c in run.layers])
    _write_table(results / CURVES_FILE, CURVES_COLUMNS, [c for run in ordered for c in run.curve])
    _write_table(results / RUNS_FILE, RUNS_COLUMNS, [run.row for run in ordered])


def _order(run: CollectedRun) -> list[tuple[int, float, str]]:
    """By settings, numbers as numbers, so that what belongs together stands together."""
    return [_rank(run.row.get(column, "")) for column in ("name", *SETTINGS, "identity")]


def _rank(cell: str) -> tuple[int, float, str]:
    try:
        return (1, float(cell), "")
    except ValueError:
        return (2 if cell else 0, 0.0, cell)


def _by_identity(rows: Iterable[Cells], path: Path) -> dict[str, list[Cells]]:
    found: dict[str, list[Cells]] = {}
    for row in rows:
        if "identity" not in row:
            raise RunError(f"{path} has a row without identity; take it from version control again")
        found.setdefault(row["identity"], []).append(row)
    return found


def _belongs_together(key: str, run: CollectedRun) -> bool:
    """Whether the row's config has its identity, and the curve ends with the row's metrics."""
    try:
        known = identity(run.config) == key
        columns = task_of(run.config).columns
    except (LookupError, TypeError, ValueError):
        return False
    end = run.curve[-1] if run.curve else {}
    shown = [run.row.get(column) for column in ("epochs_done", *columns)]
    return known and shown == [end.get(column) for column in ("epoch", *columns)]


def _read_table(path: Path) -> Iterator[Cells]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        if not text:
            raise ValueError("it is empty")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = next(lines)
        for cells in lines:
            if len(cells) != len(columns):
                raise ValueError(f"line {lines.line_num} has not {len(columns)} cells")
            yield {k: v for k, v in zip(columns, cells, strict=True) if v}
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise RunError(
            f"cannot read {path}: {error}; take it from version control again"
        ) from error


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Cells]) -> None:
    """Replace `path`; columns that only some version of the suite knows follow the known ones."""
    further = sorted({key for row in rows for key in row} - set(columns))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*columns, *further], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    if path.suffix == ".gz":
        with_header = io.BytesIO()
        # Neither the time nor the name of the file in its header.
        with gzip.GzipFile("", "wb", 9, with_header, mtime=0) as file:
            file.write(content)
        content = with_header.getvalue()
    replace_file(path, content)
