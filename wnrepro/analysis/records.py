"""The tables of finished runs as data frames: what every figure, table and claim is made from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wnrepro.errors import RunError
from wnrepro.runs.identity import identity
from wnrepro.runs.tables import (
    CURVES_COLUMNS,
    LAYERS_COLUMNS,
    RUNS_COLUMNS,
    RUNS_FILE,
    Cells,
    read_tables,
)

_TEXT = frozenset(
    ("identity", "name", "data", "arm", "init", "model", "optimizer", "precision", "status")
) | {"config", "dirty", "layer", "device", "cpu", "gpu", "torch", "commit", "date"}
"""Columns that are no numbers. A version such as 2.10 is none either."""
COMPARABLE_TIMES = ("device", "cpu", "gpu", "threads", "torch", "commit")
"""Columns in which runs must agree for their times to be compared."""
_WHOLE = ("seed", "epochs", "epochs_done", "width", "batch_size", "held_out", "epoch")


@dataclass(frozen=True)
class Records:
    """Finished runs, as `wnrepro.runs.tables` keeps them.

    runs: one row per run, indexed by identity (a string). `config` is the parsed config, `dirty`
        a bool: whether the run was not made from a clean commit. `setting` is equal for runs that
        differ in nothing but the seed.
    curves: one row per run and epoch; layers: one row per run, epoch and layer. Both have the
        column `identity`, by which they are merged with `runs`.

    Missing numbers and numbers that were not finite are NaN; which of the two, `runs.status` says.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    layers: pd.DataFrame

    def of(self, identities: pd.Index) -> "Records":
        """The same tables with the runs of these identities only."""
        return Records(
            self.runs.loc[self.runs.index.isin(identities)],
            self.curves.loc[self.curves["identity"].isin(identities)],
            self.layers.loc[self.layers["identity"].isin(identities)],
        )

    def timed_alike(self) -> "Records":
        """The runs of the largest group whose times may be compared, the first of equals."""
        alike = self.runs.groupby(list(COMPARABLE_TIMES), dropna=False, sort=False)
        largest = max((own for _, own in alike), key=len, default=self.runs)
        return self.of(largest.index)

    @property
    def diverged(self) -> pd.DataFrame:
        return self.runs[self.runs["status"] == "diverged"]


def load(results: Path) -> Records:
    """The tables in the folder `results`, checked: a row's config has the identity it says.

    Raises:
        RunError: there is no table, or one is damaged; the message says what to do.
    """
    path = results / RUNS_FILE
    if not path.exists():
        raise RunError(f"there is no {path}; train something, then: python scripts/collect.py")
    collected = read_tables(results)
    rows = [run.row for run in collected.values()]
    runs = _frame(rows, RUNS_COLUMNS, path).set_index("identity")
    runs["dirty"] = [row.get("dirty") != "False" for row in rows]
    runs["config"] = [run.config for run in collected.values()]
    runs["setting"] = [setting_identity(config) for config in runs["config"]]
    curves = [row for run in collected.values() for row in run.curve]
    layers = [row for run in collected.values() for row in run.layers]
    return Records(runs, _frame(curves, CURVES_COLUMNS, path), _frame(layers, LAYERS_COLUMNS, path))


def setting_identity(config: Mapping[str, Any]) -> str:
    """The identity of a run's config but for its seed."""
    return identity({key: value for key, value in config.items() if key != "seed"})


def comparable_times(runs: pd.DataFrame) -> bool:
    """Whether the times of all these runs may be compared."""
    return len(runs[list(COMPARABLE_TIMES)].drop_duplicates()) <= 1


def finals(runs: pd.DataFrame, column: str = "test_error_percent") -> dict[int, float]:
    """Seed → value of `column` after the last epoch, for one arm at one setting.

    NaN for a run that diverged: what its table row holds is of the epoch in which it did, and no
    result of the training that was asked for. Raises ValueError where a seed occurs twice: the rows
    are then of more than one setting.
    """
    if runs["seed"].duplicated().any():
        raise ValueError("several runs of one seed: they belong to different settings")
    values = runs[column].where(runs["status"] == "done", math.nan)
    return {int(seed): float(value) for seed, value in zip(runs["seed"], values, strict=True)}


def finite(values: dict[int, float]) -> dict[int, float]:
    """Those seeds that have a number."""
    return {seed: value for seed, value in values.items() if math.isfinite(value)}


def _frame(rows: list[Cells], columns: tuple[str, ...], path: Path) -> pd.DataFrame:
    """A column of the tables is text or all numbers; cells that are missing become None or NaN."""
    known = dict.fromkeys(columns)
    frame = {}
    for column in known:
        cells = [row.get(column) for row in rows]
        if column in _TEXT:
            frame[column] = pd.Series(cells, dtype=object)
            continue
        try:
            frame[column] = pd.Series(
                [math.nan if c is None else float(c) for c in cells], dtype=float
            )
        except ValueError as error:
            raise RunError(
                f"the column {column} beside {path} holds what is no number ({error}); "
                "take the tables from version control again"
            ) from None
        if column in _WHOLE and frame[column].notna().all():
            frame[column] = frame[column].astype(int)
    return pd.DataFrame(frame)
