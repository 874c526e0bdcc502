"""Runs, gathered from any folders into the tables of `wnrepro.runs.tables`.

A finished run enters once, by its identity, and then stays as it is; what is collected decides over
what is found, and the order of folders decides nothing. A run in progress is evidence of its first
epochs: where the caller wants it, it enters as `unfinished` and grows with each collecting.
Refused are

- a run whose config does not have the identity in its manifest and its directory's name;
- a run that is there already, or found twice, with other metrics: the same config and seed
  computed by other code or on other hardware. Nobody but the user can say which one counts, and a
  result of a GPU never gives way to one of a CPU;
- a mixture of configs under one name: two runs that agree in their name, in the keys of their task
  and in all of `SETTINGS` but the seed, and differ elsewhere, as in `model.dropout`. Whoever reads
  the table would take them for seeds of one configuration. They are collected under another name,
  or not at all.
"""

import json
import os
import re
import shlex
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wnrepro.errors import ConfigError, RunError
from wnrepro.replacement import alone_in, remove_torn
from wnrepro.runs import pictures
from wnrepro.runs.identity import computed, differences, identity, setting_identity
from wnrepro.runs.manifest import MANIFEST_FILE, read_manifest
from wnrepro.runs.rows import METRICS_FILE, TIMING_FILE, Row, read_rows
from wnrepro.runs.status import STATUS_FILE, Status, read_status
from wnrepro.runs.tables import (
    SETTINGS,
    TABLES,
    UNFINISHED,
    Cells,
    CollectedRun,
    read_tables,
    write_tables,
)
from wnrepro.tasks import task_of

DEFAULT_NAME = "main"

_RUN_NAME = re.compile(r"seed-?\d+-[0-9a-f]{10}")


@dataclass
class Report:
    """What one collecting did.

    runs: all that is in the tables now, by identity. new, replaced, grown: identities; the last of
    unfinished runs that have more epochs now. pictures: identities of the runs whose pictures are
    kept from now on. known: how many were there already. unfinished: directories that were left
    out, with how far they are. problems: one line for each thing that was refused or could not be
    read.
    """

    runs: dict[str, CollectedRun]
    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    known: int = 0
    unfinished: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def collect(
    folders: Iterable[Path],
    results: Path,
    *,
    name: str = DEFAULT_NAME,
    replace: bool = False,
    in_progress: Callable[[Mapping[str, Any]], bool] = lambda config: False,
) -> Report:
    """Gather the runs below `folders` into the tables of the folder `results`.

    Args:
        folders: searched with all their subfolders.
        results: created if need be; files whose content stays the same are not touched.
        name: what new runs are collected under.
        replace: let a run that is there already with other metrics give way to the one found.
        in_progress: whether a run with this config is taken before it has finished.

    Raises:
        ConfigError: the name is no name.
        RunError: a folder holds no runs, or the tables cannot be read or written. What is wrong
            with a single run stands in the report, and the others are collected.
    """
    if not name.strip() or not name.isprintable():
        raise ConfigError(f"--name {name!r} is no name: give it letters, on one line")
    with alone_in(results):
        for file in TABLES:
            remove_torn(results, file)
        remove_torn(results / pictures.FOLDER)
        return _collect(folders, results, name, replace, in_progress)


def _collect(
    folders: Iterable[Path],
    results: Path,
    name: str,
    replace: bool,
    in_progress: Callable[[Mapping[str, Any]], bool],
) -> Report:
    report = Report(read_tables(results))
    before = dict(report.runs)
    found: dict[str, list[CollectedRun]] = defaultdict(list)
    paths = {path.resolve(): path for folder in folders for path in find_runs(folder)}
    for path in tqdm(sorted(paths.values()), unit="run", leave=False, disable=None):
        try:
            status = read_status(path)
            if status is None or not (status.finished or _is_wanted(path, status, in_progress)):
                report.unfinished.append(f"{path} ({_how_far(status)})")
            else:
                run = read_run(path, status, name)
                found[run.row["identity"]].append(run)
        except RunError as error:
            report.problems.append(str(error))
    for key in sorted(found):
        _merge(key, found[key], report, replace)
    _refuse_mixtures(report, before)
    if report.runs != before:
        write_tables(results, report.runs)
    report.pictures = pictures.keep(results, report.runs, chain.from_iterable(found.values()))
    return report


def find_runs(folder: Path) -> list[Path]:
    """Every run directory in `folder`: one that has a run's name, or a run's files.

    Raises:
        RunError: there is no such folder, or no run in it.
    """
    found = []
    seen = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(path)) in seen:
            folders.clear()  # a link to where we have been may be to a folder above
            continue
        seen.add(real)
        if _RUN_NAME.fullmatch(Path(path).name) or {STATUS_FILE, MANIFEST_FILE} & set(files):
            found.append(Path(path))
            folders.clear()  # what lies in a run, as W&B's files, is no run
    if not found:
        raise RunError(f"{folder} is no folder with runs: name one, as runs.root was")
    return found


def _is_wanted(
    directory: Path, status: Status, in_progress: Callable[[Mapping[str, Any]], bool]
) -> bool:
    manifest = read_manifest(directory) if status.epoch else None
    return manifest is not None and in_progress(manifest["config"])


def read_run(directory: Path, status: Status, name: str = DEFAULT_NAME) -> CollectedRun:
    """The run in `directory`, as far as it has come.

    Raises RunError, naming the file, if its record is not whole.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise RunError(f"{directory} has no {MANIFEST_FILE}: copy the whole directory again")
    try:
        config = computed(manifest["config"])
        key = identity(config)
        if not key == manifest["identity"] == directory.resolve().name.rpartition("-")[2]:
            raise RunError(
                f"{directory}: its config has the identity {key}, its {MANIFEST_FILE} says "
                f"{manifest['identity']}; it is not the run that its name says"
            )
        metrics, timing = (_whole(directory / file, status) for file in (METRICS_FILE, TIMING_FILE))
        if status.state == "done" and status.epoch != config["epochs"]:
            raise RunError(f"{directory} is done after {status.epoch} of {config['epochs']} epochs")
        row = {
            "identity": key,
            "name": name,
            **{column: _value(config, path) for column, path in SETTINGS.items()},
            "status": status.state if status.finished else UNFINISHED,
            "epochs_done": status.epoch,
            **{column: metrics[-1].get(column) for column in task_of(config).columns},
            **_provenance(manifest, timing),
            "date": status.updated,
            "config": json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False),
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{directory} is no record of a run: {error!r}") from error
    curve = [
        _cells(
            {"identity": key}
            | {column: value for column, value in row.items() if "/" not in column}
            | {"train_time_sec": times["train_time_sec"]}
        )
        for row, times in zip(metrics, timing, strict=True)
    ]
    layers = [
        _cells({"identity": key, "epoch": row["epoch"], "layer": layer} | quantities)
        for row in metrics
        for layer, quantities in _by_layer(row).items()
    ]
    return CollectedRun(str(directory), _cells(row), curve, layers)


def _merge(key: str, copies: Sequence[CollectedRun], report: Report, replace: bool) -> None:
    """Take a run that was found, perhaps more than once, into the report; or refuse it."""
    there = report.runs.get(key)
    known = [] if there is None else [there]
    copies = [copy for copy in copies if not any(copy.begins(o) for o in (*copies, *known))]
    if there is not None and not there.finished and any(there.begins(copy) for copy in copies):
        there = None
        report.grown.append(key)
    elif not copies:
        report.known += 1
        return
    distinct: list[CollectedRun] = []
    # The order of folders must decide nothing: of equal copies the first that ended is taken.
    for copy in sorted(copies, key=lambda run: (run.row["date"], sorted(run.row.items()))):
        if all(copy.metrics != other.metrics for other in distinct):
            distinct.append(copy)
    others = [copy for copy in distinct if there is None or copy.metrics != there.metrics]
    if len(others) > 1:
        report.problems.append(
            f"{others[0].source} and {others[1].source} are one run with different metrics "
            f"({_first_difference(*others[:2])}): collect the folder of the one that counts"
        )
    elif there is None:
        report.runs[key] = others[0]
        if key not in report.grown:
            report.new.append(key)
    elif not others:
        report.known += 1
    elif there.on_gpu and not others[0].on_gpu:
        report.problems.append(
            f"{others[0].source} was run on a CPU and has other metrics than {there.source} has "
            f"from a GPU for {key} ({_first_difference(there, others[0])}): the GPU's are kept"
        )
    elif replace:
        report.runs[key] = others[0]
        report.replaced.append(key)
    else:
        report.problems.append(
            f"{others[0].source} has other metrics than {there.source} has for {key} "
            f"({_first_difference(there, others[0])}): the old ones are kept; --replace takes these"
        )


def _refuse_mixtures(report: Report, before: Mapping[str, CollectedRun]) -> None:
    """Take out new runs that would be taken for further seeds of a configuration they are not."""
    groups: dict[tuple[str | None, ...], dict[str, list[str]]] = {}
    shown = ["name", *(column for column in SETTINGS if column != "seed")]
    for key, run in report.runs.items():
        config = run.config
        task = json.dumps(config.get("task"), sort_keys=True)  # DRAW's starts are one sweep
        group = groups.setdefault((task, *(run.row.get(column) for column in shown)), {})
        group.setdefault(setting_identity(config), []).append(key)
    for configs in groups.values():
        if len(configs) == 1:
            continue
        settled = [keys for keys in configs.values() if any(key in before for key in keys)]
        refused = [key for keys in configs.values() if keys not in settled for key in keys]
        if not refused:
            continue
        first = report.runs[refused[0]]
        keys = settled[0] if settled else next(k for k in configs.values() if refused[0] not in k)
        other = report.runs[keys[0]]
        differing = "; ".join(
            f"{path} is {old!r} there and {new!r} here"
            for path, old, new in differences(other.config, first.config)
            if path != "seed"
        )
        report.problems.append(
            f"{first.source} and {other.source} (run {keys[0]}): a mixture of configs under the "
            f"name {first.row['name']} ({differing}); {len(refused)} runs are left out: "
            "collect each kind with a --name of its own"
        )
        for key in refused:
            del report.runs[key]
            report.new.remove(key)


def _first_difference(one: CollectedRun, other: CollectedRun) -> str:
    for left, right in zip(one.metrics, other.metrics, strict=False):
        for column in sorted(left.keys() | right.keys()):
            a, b = left.get(column, "missing"), right.get(column, "missing")
            if a != b:
                return f"{column} of epoch {left['epoch']} is {a} there and {b} here"
    return f"{len(one.curve)} epochs there and {len(other.curve)} here"


def _how_far(status: Status | None) -> str:
    if status is None:
        return "no status"
    return f"{status.state}, epoch {status.epoch} of {status.epochs or '?'}"


def _whole(path: Path, status: Status) -> list[Row]:
    """The rows of `path`, which must be those of epochs 1 to the status's."""
    rows, epochs = read_rows(path), status.epoch
    if not status.finished:
        rows = rows[:epochs]  # the status is written last
    if not rows or [row.get("epoch") for row in rows] != list(range(1, epochs + 1)):
        raise RunError(f"{path} does not hold the epochs 1 to {epochs}: copy it again")
    return rows


def _provenance(manifest: Mapping[str, Any], timing: Sequence[Row]) -> dict[str, Any]:
    """How long, on what and by which code; of all the occasions on which the run went on."""
    occasions = [manifest, *manifest["resumed"]]
    commands = (each["command"] for each in occasions)
    times = [float(row["train_time_sec"]) for row in timing if row["train_time_sec"] is not None]

    def joined(path: str) -> str | None:
        values = (_value(occasion, path) for occasion in occasions)
        # A dictionary, as a set that keeps the order.
        return " + ".join(dict.fromkeys(str(v) for v in values if v is not None)) or None

    dirty = [_value(occasion, "dirty") for occasion in occasions]
    return {
        "time_per_epoch_sec": statistics.median(times) if times else None,
        "train_time_sec": sum(times) if times else None,
        "device": joined("device"),
        "cpu": joined("hardware.cpu"),
        "gpu": joined("hardware.gpu"),
        "threads": joined("threads"),
        "torch": joined("versions.torch"),
        "python": joined("versions.python"),
        "commit": joined("commit"),
        "dirty": None if None in dirty else any(dirty),
        "resumptions": len(occasions) - 1,
        "command": " + ".join(dict.fromkeys(_typed(each) for each in commands if each)) or None,
    }


def _typed(command: Sequence[str]) -> str:
    """`sys.argv` as a line for a shell; the module by its name, and not by where it lay."""
    program, *arguments = command
    module = Path(program).parts[-2:] == ("wnrepro", "train.py")
    return shlex.join(["python", *(("-m", "wnrepro.train") if module else (program,)), *arguments])


def _value(nested: Any, path: str) -> Any:
    for key in path.split("."):
        nested = nested.get(key) if isinstance(nested, Mapping) else None
    return nested


def _by_layer(row: Row) -> dict[str, Row]:
    """The values of columns like `v_norm/hidden1`, by layer in the row's order."""
    layers: dict[str, Row] = {}
    for column, value in row.items():
        quantity, slash, layer = column.partition("/")
        if slash:
            layers.setdefault(layer, {})[quantity] = value
    return layers


def _cells(values: Mapping[str, Any]) -> Cells:
    """The values as text, a float with as many digits as it takes to read it back exactly."""
    return {key: str(value) for key, value in values.items() if value is not None}
