"""The table of runs as it stands in the page: which columns, and how each is written."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.claims_provenance import commit, hardware, missing
from wnrepro.analysis.records import Records

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """text, as shown. value: what to sort by where that is another; empty for a missing number."""

    text: str
    value: str | None = None


@dataclass(frozen=True)
class RunTable:
    """heads: a heading and whether the column holds numbers. rows: data set, arm and the cells."""

    heads: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    data: tuple[str, ...]
    arms: tuple[str, ...]


def run_table(records: Records) -> RunTable:
    """All runs in the order of runs.csv."""
    runs = records.runs
    columns = [(head, numeric, write) for head, numeric, write in _COLUMNS if _shown(head, runs)]
    rows = [
        (str(run["data"]), str(run["arm"]), tuple(write(run) for _, _, write in columns))
        for run in runs.reset_index().to_dict("records")
    ]
    return RunTable(
        tuple((head, numeric) for head, numeric, _ in columns),
        tuple(rows),
        tuple(sorted(set(runs["data"]))),
        tuple(arms_in(runs)),
    )


def _text(column: str) -> Callable[[dict], Cell]:
    return lambda run: Cell(MISSING if missing(run[column]) else str(run[column]))


def _number(column: str, form: str) -> Callable[[dict], Cell]:
    def write(run: dict) -> Cell:
        value = run[column]
        if missing(value):
            return Cell(MISSING, "")
        return Cell(f"{value:{form}}", repr(float(value)))

    return write


def _network(run: dict) -> Cell:
    sizes = [f"{run[c]:g}" for c in ("depth", "width") if not missing(run[c])]
    return Cell(" ".join([str(run["model"]), " × ".join(sizes)]))


def _shown(head: str, runs: pd.DataFrame) -> bool:
    return head != _HELD_OUT or bool(runs["held_out_error_percent"].notna().any())


_HELD_OUT = "held-out error, %"
_COLUMNS: tuple[tuple[str, bool, Callable[[dict], Cell]], ...] = (
    ("data", False, _text("data")),
    ("arm", False, _text("arm")),
    ("init", False, _text("init")),
    ("network", False, _network),
    ("epochs", True, _number("epochs", "g")),
    ("optimiser", False, _text("optimizer")),
    ("learning rate", True, _number("learning_rate", "g")),
    ("precision", False, _text("precision")),
    ("seed", True, _number("seed", "g")),
    ("status", False, _text("status")),
    ("training error, %", True, _number("train_error_percent", ".2f")),
    ("test error, %", True, _number("test_error_percent", ".2f")),
    (_HELD_OUT, True, _number("held_out_error_percent", ".2f")),
    ("time per epoch, s", True, _number("time_per_epoch_sec", ".3g")),
    ("hardware", False, lambda run: Cell(hardware(run))),
    ("commit", False, lambda run: Cell(commit(run))),
    ("run", False, _text("identity")),
)
