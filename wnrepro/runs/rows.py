"""Rows of numbers, one per epoch, as CSV that gives back exactly the numbers it was given."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from wnrepro.errors import RunError
from wnrepro.replacement import replace_file

METRICS_FILE = "metrics.csv"
TIMING_FILE = "timing.csv"

Value = int | float | None
Row = dict[str, Value]

_INTEGER = re.compile(r"-?\d+")


def write_rows(path: Path, rows: Sequence[Mapping[str, Value]]) -> None:
    """Replace `path` by all of `rows`; the first one fixes the columns, `epoch` comes first.

    None becomes an empty cell (missing), nan stays `nan`; a float has as many digits as it takes to
    read it back exactly. A later row may lack columns. No rows give the header `epoch` alone.

    Raises:
        RunError: the file cannot be written; the old one stays as it was.
        ValueError: a row has no `epoch`, a column that the first one has not, or one with a name
            that cannot be printed.
        TypeError: a value is neither int, float nor None.
    """
    columns = ["epoch", *(key for key in (rows[0] if rows else ()) if key != "epoch")]
    if not all(map(str.isprintable, columns)):
        raise ValueError(f"the columns {columns} of {path.name} cannot all be printed")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        if "epoch" not in row or not set(row) <= set(columns):
            raise ValueError(f"the columns of {path.name} are {columns}, a row has {list(row)}")
        writer.writerow([_cell(key, row.get(key)) for key in columns])
    replace_file(path, text.getvalue())


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file of `write_rows`: ints, floats, and None for empty cells.

    Raises:
        RunError: there is no such file, or it holds something else.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            text = file.read()
        if not text:
            raise ValueError("it is empty")
        if not text.endswith("\n"):  # its last number may be whole by chance, and another one
            raise ValueError("it is cut off: copy it again")
        columns, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [
            {key: value_of(cell) for key, cell in zip(columns, cells, strict=True)}
            for cells in lines
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"cannot read the rows of {path}: {error}") from error


def _cell(key: str, value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            raise TypeError(f"{key} is a bool, not a number")
        case int():
            return int.__repr__(value)
        case float():
            # Not repr: NumPy's floats are floats too and show themselves as np.float64(…).
            return float.__repr__(value)
        case _:
            raise TypeError(f"{key} is a {type(value).__name__}, not a number")


def value_of(cell: str) -> Value:
    """The number in a cell, None for an empty one; raises ValueError for anything else."""
    if not cell:
        return None
    return int(cell) if _INTEGER.fullmatch(cell) else float(cell)
