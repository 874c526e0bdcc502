"""Finished runs of the tables, as W&B is to know them.

A run gets the id, name, group, tags, config and rows that it has when W&B follows the training.
Left out is what the tables do not hold: the picture of the curves, `scale`, and the keys of the
config that do not change what is computed. Added is where the run comes from (`provenance` in the
config) and how long it took (in the summary).
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from wnrepro.errors import RunError, did_you_mean
from wnrepro.runs.identity import run_directory
from wnrepro.runs.tables import CollectedRun
from wnrepro.tracking.wandb_run import End, Row, description


class FinishedRun(NamedTuple):
    """What a run of the tables is at W&B. settings: arguments of `wandb.init`."""

    settings: dict[str, Any]
    rows: list[Row]
    end: End

    @property
    def id(self) -> str:
        return self.settings["id"]

    @property
    def name(self) -> str:
        """<data>_<arm>/seed<seed>-<identity>, which is also the run's directory in runs.root."""
        return self.settings["name"]


def describe(run: CollectedRun) -> FinishedRun:
    """All that W&B is to know of a run; raises RunError if the tables are damaged there."""
    row, config = run.row, run.config
    directory = run_directory(config | {"runs": {"root": ""}})
    settings = description(config, directory, row["identity"])
    provenance: dict[str, Any] = {
        key: row[key]
        for key in ("name", "device", "cpu", "gpu", "torch", "commit", "date")
        if key in row
    }
    # Of a run that went on elsewhere with other threads it is "1 + 2", else a number.
    provenance |= {
        key: int(row[key]) if row[key].isdecimal() else row[key]
        for key in ("threads", "resumptions")
        if key in row
    }
    if "dirty" in row:
        provenance["dirty"] = row["dirty"] == "True"
    settings["config"]["provenance"] = provenance
    times = ("time_per_epoch_sec", "train_time_sec")
    try:
        summary: dict[str, Any] = {key: float(row[key]) for key in times if key in row}
        summary["epochs_done"] = int(row["epochs_done"])
    except (LookupError, ValueError) as error:
        raise RunError(f"{run.source} is damaged at the run {row['identity']}: {error}") from error
    return FinishedRun(settings, list(run.rows()), End(row.get("status", ""), None, summary))


def select(runs: Mapping[str, CollectedRun], filters: Sequence[str]) -> list[FinishedRun]:
    """The runs that one of the filters names, or all where there are none, in the tables' order.

    A filter is an identity, the name that a run was collected under, its group (`mnist_wn`) or its
    name at W&B, or a shell pattern of one (`mnist_*`).

    Raises:
        RunError: there are no runs, a filter names none of them, or a table is damaged.
    """
    if not runs:
        raise RunError("there are no collected runs: python scripts/collect.py collects them")
    finished = {key: describe(run) for key, run in runs.items()}
    names = {
        key: {key, runs[key].row.get("name", ""), each.settings["group"], each.name}
        for key, each in finished.items()
    }
    chosen: set[str] = set()
    for wanted in filters:
        found = {
            key for key, known in names.items() if any(fnmatchcase(name, wanted) for name in known)
        }
        if not found:
            close = did_you_mean(wanted, sorted(set().union(*names.values())))
            raise RunError(f"no run is called {wanted!r}{close}: --list shows them all")
        chosen |= found
    return [each for key, each in finished.items() if key in chosen or not filters]
