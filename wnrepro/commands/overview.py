"""How far runs are, and what a sweep would still take.

    python -m wnrepro.runs status                      every run below ./runs
    python -m wnrepro.runs plan +sweep=digits_arms     what would run, what is done, estimated cost

Neither starts or changes anything.
"""

import shutil
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wnrepro.commands.composition import expand
from wnrepro.commands.launchers import slurm
from wnrepro.config import Config, as_dict
from wnrepro.durations import in_words
from wnrepro.errors import RunError
from wnrepro.runs.collection import find_runs
from wnrepro.runs.directory import RunDirectory
from wnrepro.runs.identity import run_directory
from wnrepro.runs.manifest import read_manifest
from wnrepro.runs.rows import METRICS_FILE, TIMING_FILE, Row, read_rows
from wnrepro.runs.status import Status, read_status
from wnrepro.tasks import task_of

STATES = (
    *("running", "unknown", "queued", "killed", "failed", "interrupted", "new", "diverged", "done"),
)
"""As shown, what needs a look first. `killed`: its status says `running`, and no process has it.
`unknown`: it says so, and its lock is closed to us. `queued`: waits for SLURM. `new`: was never
begun. The others as in `wnrepro.runs.status`."""

FINISHED = ("done", "diverged")


@dataclass(frozen=True)
class Progress:
    """How far one run is. note: why it is not further."""

    directory: Path
    state: str
    epoch: int = 0
    epochs: int | None = None
    updated: str = ""
    note: str = ""


def progress_of(directory: Path, queued: Mapping[str, str]) -> Progress:
    """queued: SLURM's task of each run that has one, by the last two parts of its directory."""
    try:
        status = read_status(directory)
    except RunError as error:
        return Progress(directory, "failed", note=str(error))
    task = queued.get("/".join(directory.parts[-2:]))
    if status is None:
        return Progress(
            directory, "queued" if task else "new", note=f"SLURM {task}" if task else ""
        )
    state, note = _state(directory, status)
    if task and state not in ("running", "unknown", *FINISHED):
        state, note = "queued", f"SLURM {task}"
    return Progress(directory, state, status.epoch, status.epochs, status.updated, note)


def _state(directory: Path, status: Status) -> tuple[str, str]:
    match status.state:
        case "running":
            owner = f"process {status.pid} on {status.host}"
            held = RunDirectory(directory).held()
            if held is None:
                return "unknown", f"{owner}: running, or not to be told from here"
            if held:
                return "running", owner
            return "killed", f"{owner} is gone; the same command goes on from its checkpoint"
        case "failed":
            return "failed", status.error or ""
        case "interrupted":
            return "interrupted", status.signal or ""
        case other:
            return other, ""


def queued_tasks(root: Path) -> dict[str, str]:
    """SLURM's task of each run below `root` that has one; none where SLURM cannot be asked."""
    with suppress(RunError, OSError):
        return slurm.queued_before(root / ".slurm")
    return {}


def show_status(roots: Sequence[Path]) -> None:
    """Print one line per run below `roots`; raises RunError where there are none."""
    runs = []
    for root in roots:
        queued = queued_tasks(root)
        runs += [progress_of(directory, queued) for directory in find_runs(root)]
    runs.sort(key=lambda run: (STATES.index(run.state), run.directory))
    rows = [("state", "run", "epoch", "result", "updated (UTC)", "")]
    for run in runs:
        rows.append(
            (
                run.state,
                str(run.directory),
                f"{run.epoch}/{run.epochs or '?'}",
                _last_headline(run.directory),
                run.updated.removesuffix("+00:00").replace("T", " "),
                run.note,
            )
        )
    print_table(rows)
    print(f"{len(runs)} runs: {_counted(run.state for run in runs)}")


def _last_headline(directory: Path) -> str:
    """The task's headline metric after the last epoch, on the test or the held-out images."""
    with suppress(RunError, LookupError, TypeError):
        task = task_of((read_manifest(directory) or {})["config"])
        said = task.headlines(read_rows(directory / METRICS_FILE)[-1])
        return next(value for part, value in said.items() if part != "train")
    return ""


def show_plan(overrides: Sequence[str]) -> None:
    """Print how far the runs of a sweep are and what the rest takes; raises as `expand` does."""
    sweep = expand(overrides)
    configs = sweep.configs
    roots = {Path(config.runs.root) for config in configs}
    queued = {name: task for root in roots for name, task in queued_tasks(root).items()}
    runs = [progress_of(run_directory(as_dict(config)), queued) for config in configs]
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        groups[run.directory.parent.name][run.state] += 1
    found = [state for state in STATES if any(counts[state] for counts in groups.values())]
    rows = [("data and arm", "runs", *found)]
    for group, counts in groups.items():
        cells = (str(counts[state] or "") for state in found)
        rows.append((group, str(counts.total()), *cells))
    print_table(rows)
    for line in sweep.replaced:
        print(line)
    left = [
        (config, run)
        for config, run in zip(configs, runs, strict=True)
        if run.state not in FINISHED
    ]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them finished, {len(left)} to do")
    if left:
        print("\n".join(_cost(left, roots)))


@dataclass(frozen=True)
class _Timed:
    """Seconds per epoch of a run that was timed, with all that lies between its epochs."""

    hardware: str
    work: tuple[Any, ...]
    arm: str
    seconds: float


def _cost(left: Sequence[tuple[Config, Progress]], roots: set[Path]) -> list[str]:
    """A line for each hardware on which runs like all of those that are left were timed."""
    timed = [each for root in sorted(roots) for each in _timed_runs(root)]
    lines = []
    for hardware in sorted({each.hardware for each in timed}):
        by_arm: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        by_work: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for each in timed:
            if each.hardware == hardware:
                by_arm[(*each.work, each.arm)].append(each.seconds)
                by_work[each.work].append(each.seconds)
        total, guessed = 0.0, 0
        for config, run in left:
            plain = as_dict(config)
            work, arm = _work(plain), plain["norm"]["name"]
            guessed += (*work, arm) not in by_arm
            known = by_arm.get((*work, arm)) or by_work.get(work)
            if known is None:
                break
            total += statistics.median(known) * (config.epochs - run.epoch)
        else:
            other = f"; {guessed} of them taken as other arms" if guessed else ""
            lines.append(f"about {in_words(total)}, one run at a time, on {hardware}{other}")
    return lines or [
        "cost: not known, since no run like these was timed here; "
        "the header of a file in conf/sweep/ says what was measured for it"
    ]


def _timed_runs(root: Path) -> Iterator[_Timed]:
    try:
        directories = find_runs(root)
    except RunError:
        return
    for directory in directories:
        with suppress(RunError, LookupError, TypeError, ValueError):
            manifest = read_manifest(directory)
            rows = read_rows(directory / TIMING_FILE)
            # A run that went on elsewhere was timed on two machines.
            if manifest is None or manifest["resumed"] or not rows:
                continue
            machine = manifest["hardware"]
            threads = f"{manifest['threads']} thread" + ("s" if manifest["threads"] > 1 else "")
            yield _Timed(
                machine["gpu"] or f"{threads} of {machine['cpu']}",
                _work(manifest["config"]),
                manifest["config"]["norm"]["name"],
                _seconds(directory, manifest, rows) / len(rows),
            )


def _seconds(directory: Path, manifest: Mapping[str, Any], rows: Sequence[Row]) -> float:
    """Of a whole run; while it is not finished, of its epochs alone."""
    keys = ("train_time_sec", "evaluation_time_sec")
    in_epochs = sum(float(row[key] or 0) for row in rows for key in keys)
    status = read_status(directory)
    if status is None or not status.finished:
        return in_epochs
    begun, ended = map(datetime.fromisoformat, (manifest["time"], status.updated))
    return max(in_epochs, (ended - begun).total_seconds())


def _work(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides how long an epoch takes, but for the arm and the hardware."""
    data = {key: value for key, value in config["data"].items() if key != "root"}
    return (repr(data), repr(config["model"]), config["batch_size"], config["precision"])


def _counted(states: Iterator[str]) -> str:
    counts = Counter(states)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns side by side; on a terminal no wider than it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip()[:limit])
