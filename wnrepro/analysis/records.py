"""The tables of runs as data frames: what every figure, table and claim is made from."""

import json
import math
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wnrepro.arms import ARMS
from wnrepro.errors import RunError
from wnrepro.runs.collection import find_runs, read_run
from wnrepro.runs.identity import identity, setting_identity
from wnrepro.runs.status import read_status
from wnrepro.runs.tables import (
    CURVES_COLUMNS,
    CURVES_FILE,
    LAYERS_COLUMNS,
    LAYERS_FILE,
    METRICS,
    RUNS_COLUMNS,
    RUNS_FILE,
    UNFINISHED,
    CollectedRun,
)
from wnrepro.tasks import Task, task_of

DONE, DIVERGED = "done", "diverged"
"""Values of the column `status`, beside UNFINISHED."""
COMPARABLE_TIMES = ("device", "cpu", "gpu", "threads", "torch", "commit")
"""Runs whose times are compared must agree in these columns."""
AGAIN = "take it from version control again"
Number = str | Callable[[pd.Series], float]
"""Of a curve, as pandas aggregates it: "mean", "max", or a function."""
_TEXT = (
    *("identity", "name", "data", "arm", "init", "model", "optimizer", "precision", "status"),
    *("config", "dirty", "layer", "device", "cpu", "gpu", "torch", "python", "commit", "date"),
    "command",
)
"""Columns that hold text, though a cell may look like a number: a version 2.10, an identity."""
_WHOLE = ("seed", "epochs", "epochs_done", "width", "batch_size", "held_out", "epoch")
_COLUMNS = {RUNS_FILE: RUNS_COLUMNS, CURVES_FILE: CURVES_COLUMNS, LAYERS_FILE: LAYERS_COLUMNS}


@dataclass(frozen=True)
class Records:
    """Runs, as `wnrepro.runs.tables` keeps them.

    runs: one row per run, indexed by identity (a string). `config` is the parsed config. `dirty`
        is a bool, True unless the run is known to come from a clean commit. `setting` is equal for
        runs that differ in the seed alone.
    curves: one row per run and epoch. layers: one row per run, epoch and layer. Both refer to
        `runs` by the column `identity`.

    A number is NaN if it is missing or was not finite; `status` says which.
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

    @property
    def task(self) -> Task:
        """What the runs are trained for; all are of one task."""
        return task_of(self.runs["config"].iloc[0])

    def by_arm(self) -> Iterator[tuple[str, "Records"]]:
        """Each arm that has runs, with them."""
        for arm in arms_in(self.runs):
            yield arm, self.of(self.runs.index[self.runs["arm"] == arm])

    def timed_alike(self) -> "Records":
        """The runs of the largest group whose times may be compared, the first of equals."""
        alike = self.runs.groupby(list(COMPARABLE_TIMES), dropna=False, sort=False)
        largest = max((own for _, own in alike), key=len, default=self.runs)
        return self.of(largest.index)


def load(folder: Path, left_out: Callable[[str], object] = warnings.warn) -> Records:
    """Read and check the tables in `folder`; where it has none, the run directories below it.

    Args:
        left_out: is told, in one line each, which directories are no whole record of a run. A run
            that has not finished is there with its epochs so far; one without any is not.

    Raises:
        RunError: there are no runs, or a table is damaged; the message says what to do.
    """
    path = folder / RUNS_FILE
    if path.exists():
        # As text first: not every version of pandas reads a number to its last digit.
        text = {"dtype": str, "keep_default_na": False, "na_values": ["", "nan"]}
        tables = [read_csv(folder / file, **text) for file in _COLUMNS]
    else:
        found = list(_read_runs(folder, left_out))
        if not found:
            raise RunError(
                f"no run in {folder} has finished an epoch, and there is no {path}; "
                "train something, then: python scripts/collect.py"
            )
        cells = zip(*(([run.row], run.curve, run.layers) for run in found), strict=True)
        tables = [
            pd.DataFrame([row for rows in part for row in rows], columns=list(columns), dtype=str)
            for part, columns in zip(cells, _COLUMNS.values(), strict=True)
        ]
    runs, curves, layers = (
        _typed(table, columns, folder / file)
        for table, (file, columns) in zip(tables, _COLUMNS.items(), strict=True)
    )
    runs = runs.set_index("identity")
    ends = curves.drop_duplicates("identity", keep="last").set_index("identity")
    ends = ends.reindex(runs.index)[["epoch", *METRICS]].to_numpy(float)
    shown = runs[["epochs_done", *METRICS]].to_numpy(float)
    whole = ((ends == shown) | (np.isnan(ends) & np.isnan(shown))).all(axis=1)
    configs = [_config(key, text) for key, text in runs["config"].items()]
    for key, config, whole_curve in zip(runs.index, configs, whole, strict=True):
        if config is None or not whole_curve or not runs.index.is_unique:
            raise RunError(
                f"{path} is damaged at the run {key}, or does not belong to {CURVES_FILE}: "
                "take them from version control again, or delete both and collect anew"
            )
    runs["config"] = configs
    runs["dirty"] = runs["dirty"] != "False"
    runs["setting"] = [setting_identity(config) for config in configs]
    known = curves["identity"].isin(runs.index), layers["identity"].isin(runs.index)
    return Records(runs, curves[known[0]], layers[known[1]])


def read_csv(path: Path, mend: str = AGAIN, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv`. Raises RunError where it fails, in one line that ends with `mend`."""
    try:
        return pd.read_csv(path, **options)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise RunError(f"cannot read {path}: {' '.join(str(error).split())}; {mend}") from error


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Those that are no longer in progress: trained to the end, or diverged."""
    return runs[runs["status"] != UNFINISHED]


def arms_in(runs: pd.DataFrame) -> list[str]:
    """The arms that have runs, in the order of the registry."""
    present = set(runs["arm"])
    return [arm for arm in ARMS if arm in present]


def finals(runs: pd.DataFrame, column: str = "") -> dict[int, float]:
    """Seed → value of `column` after the last epoch, for one arm at one setting.

    By default the headline metric on the test set. A run that was not trained to the end has NaN:
    its row is of another epoch.

    Raises:
        ValueError: a seed occurs twice; then the rows are of more than one setting.
    """
    if runs["seed"].duplicated().any():
        raise ValueError("several runs of one seed: they belong to different settings")
    if not column and len(runs):
        column = tested(task_of(runs["config"].iloc[0]))
    values = runs[column].where(runs["status"] == DONE, math.nan) if len(runs) else ()
    return {int(seed): float(value) for seed, value in zip(runs["seed"], values, strict=True)}


def over_epochs(records: Records, runs: pd.DataFrame, of: Number) -> dict[int, float]:
    """The same for one number of a run's curve: the headline metric on the test set, by epoch.

    of: "mean" is the area under the curve.
    """
    if runs.empty:
        return {}
    curves = records.curves[records.curves["identity"].isin(runs.index)]
    values = curves.groupby("identity")[tested(records.task)].agg(of)
    return finals(runs.assign(value=values), "value")


def tested(task: Task) -> str:
    """Column of the headline metric on the test set, of averaged parameters where there are."""
    return f"test_{'averaged_' * task.averaged}{task.headline}"


def finite(values: dict[int, float]) -> dict[int, float]:
    """Those seeds that have a number."""
    return {seed: value for seed, value in values.items() if math.isfinite(value)}


def _config(key: object, text: object) -> dict[str, Any] | None:
    """None unless `text` is a config that has the identity `key`."""
    try:
        config = json.loads(text)
        return config if identity(config) == key else None
    except (LookupError, TypeError, ValueError):
        return None


def _read_runs(folder: Path, left_out: Callable[[str], object]) -> Iterable[CollectedRun]:
    """Each run below `folder`; of copies of one run that with the most epochs."""
    found: dict[str, CollectedRun] = {}
    try:
        directories = sorted(find_runs(folder))
    except RunError:
        return ()
    for directory in directories:
        try:
            status = read_status(directory)
            if status is None or not status.epoch:
                continue
            run = read_run(directory, status)
        except RunError as error:
            left_out(f"left out: {error}")
            continue
        known = found.setdefault(run.row["identity"], run)
        if known is run:
            continue
        longer, other = sorted((known, run), key=lambda each: -len(each.curve))
        found[run.row["identity"]] = longer
        if other.metrics != longer.first(len(other.curve)):
            left_out(f"left out: {other.source} is the run {longer.source} with other numbers")
    return found.values()


def _typed(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> pd.DataFrame:
    """The known columns, numbers as numbers; a column that is not there is missing."""
    table = table.reindex(columns=columns)
    if table["identity"].isna().any():
        raise RunError(f"{path} has a row without identity; {AGAIN}")
    try:
        table = table.astype(dict.fromkeys(table.columns.difference([*_TEXT]), float))
    except ValueError as error:
        raise RunError(f"{path} holds what is no number: {error}; {AGAIN}") from None
    whole = [column for column in _WHOLE if column in table and table[column].notna().all()]
    return table.astype(dict.fromkeys(whole, int))
