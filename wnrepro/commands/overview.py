"""How far runs are, and what a sweep would still take.

    python -m wnrepro.runs status                      every run below ./runs
    python -m wnrepro.runs plan +sweep=digits_arms     what would run, what is done, estimated cost

Neither starts or changes anything.
"""

import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wnrepro.commands.composition import expand
from wnrepro.commands.estimate import Machine
from wnrepro.commands.launchers import slurm
from wnrepro.config import Config, as_dict
from wnrepro.durations import in_words
from wnrepro.errors import RunError
from wnrepro.runs.collection import find_runs
from wnrepro.runs.directory import RunDirectory
from wnrepro.runs.identity import run_directory
from wnrepro.runs.manifest import read_manifest
from wnrepro.runs.rows import METRICS_FILE, read_rows
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
        (config, run.epoch)
        for config, run in zip(configs, runs, strict=True)
        if run.state not in FINISHED
    ]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them finished, {len(left)} to do")
    if left:
        print(_cost(left))


def _cost(left: Sequence[tuple[Config, int]]) -> str:
    try:
        cost, at_once = Machine().rest(left)
    except RunError as error:
        return f"what they take is not known here: {error}"
    aside = f"{at_once} runs at a time" if at_once > 1 else "one run at a time"
    return f"about {in_words(cost.seconds)} on this machine, {aside}: a few steps were timed"


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
