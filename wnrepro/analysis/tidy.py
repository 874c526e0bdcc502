"""Runs as two tidy data frames, for pandas and seaborn: see `results`."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from wnrepro.analysis.records import DONE, Records, load
from wnrepro.runs.identity import ADDED
from wnrepro.runs.tables import SETTINGS
from wnrepro.tasks import task_of

FINAL = "final_"
"""Begins the names of the metrics after the last epoch, which are not those of each epoch."""
_OF_AN_EPOCH = {"learning_rate": "epoch_learning_rate", "train_time_sec": "epoch_time_sec"}
"""Columns of curves.csv.gz that runs.csv has too, for something else."""
_OF_A_RUN = (
    *("epochs_done", "time_per_epoch_sec", "train_time_sec", "device", "cpu", "gpu", "threads"),
    *("torch", "python", "commit", "dirty", "resumptions", "date", "command", "config"),
)


class Results(NamedTuple):
    """Runs, as two frames that begin with the same columns, which say what a run is.

    These are `identity`, `name`, `status` (done, diverged, unfinished), the settings (`arm`,
    `learning_rate`, `seed` …) and each other key of the config in which the runs differ, by its
    dotted name, as `model.dropout`. The frames share no further ones: `curves.merge(final)` has a
    row per run and epoch again, and neither `_x` nor `_y`.

    curves: one row per run and epoch: `epoch`, `epoch_learning_rate`, the metrics of that epoch
        (`test_error_percent` …) and `epoch_time_sec`.
    final: one row per run: the metrics after its last epoch (`final_test_error_percent` …; NaN
        unless it is done), `epochs_done`, times, hardware, versions, commit, `command`, and its
        whole `config`, a nested dict.

    Errors are in percent; times in seconds, without evaluation. NaN is missing, or not finite.
    """

    curves: pd.DataFrame
    final: pd.DataFrame

    def of(self, identities: pd.Series) -> "Results":
        """Both frames with the runs of these identities only."""
        return Results(*(each[each["identity"].isin(identities)] for each in self))


def results(*folders: str | Path, left_out: Callable[[str], object] = warnings.warn) -> Results:
    """All runs in these folders: run directories, as `runs`, or collected tables, as `results`.

    Runs in progress are there with their epochs so far. Of a run in two folders the first counts.

    Args:
        left_out: is told, in one line each, which directories are no whole record of a run.

    Raises:
        RunError: a folder has no runs, or a damaged table; the message says what to do.
    """
    found = _together([load(Path(folder), left_out) for folder in folders])
    runs, configs = found.runs.reset_index(), list(found.runs["config"])
    keys = keys_of(runs["config"])
    metrics = list(dict.fromkeys(name for config in configs for name in task_of(config).columns))
    further = keys[[key for key in differing(keys) if key not in SETTINGS.values()]]
    shared = pd.concat([runs[["identity", "name", "status", *SETTINGS]], further], axis=1)
    last = runs[metrics].where(runs["status"] == DONE).add_prefix(FINAL)
    final = pd.concat([shared, last, runs[list(_OF_A_RUN)]], axis=1)
    own = ["identity", "epoch", *_OF_AN_EPOCH, *metrics]
    curves = shared.merge(found.curves[own].rename(columns=_OF_AN_EPOCH), on="identity")
    return Results(curves, final)


def keys_of(configs: pd.Series) -> pd.DataFrame:
    """The configs with a column for each dotted key, indexed as they are.

    A key that a config lacks has there the value of the runs before it was added, else NaN.
    """
    keys = pd.json_normalize(list(configs)).set_index(configs.index)
    keys = keys.map(lambda value: str(value) if isinstance(value, list) else value)
    return keys.fillna({key: value for key, value in ADDED.items() if key in keys})


def differing(keys: pd.DataFrame) -> list[str]:
    """The columns in which the rows differ, but for the seed; those that are settings first."""
    found = [key for key in keys if key != "seed" and keys[key].nunique(dropna=False) > 1]
    first = [key for key in SETTINGS.values() if key in found]
    return list(dict.fromkeys([*first, *found]))


def _together(found: Sequence[Records]) -> Records:
    known = pd.Index([])
    parts = []
    for records in found:
        parts.append(records.of(records.runs.index.difference(known)))
        known = known.union(records.runs.index)
    frames = zip(*((part.runs, part.curves, part.layers) for part in parts), strict=True)
    return Records(*map(pd.concat, frames))
