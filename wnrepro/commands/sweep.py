"""A sweep: many runs from one command line, all checked before the first begins.

    python -m wnrepro.train -m +sweep=digits_arms

What has finished is not run again, so repeating the command finishes the sweep.
"""

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from wnrepro.commands.composition import Sweep, expand
from wnrepro.commands.launchers import local, slurm
from wnrepro.commands.launchers.job import Outcome, Progress, Train
from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError, RunError
from wnrepro.runs.identity import identity, run_directory
from wnrepro.runs.status import Status, read_status

log = logging.getLogger(__name__)

Launch = Callable[[Sequence[Config], Mapping[str, Any], Train, Progress], None]


def run(overrides: Sequence[str], train: Train) -> int:
    """Run what is left of the sweep that a command line asks for; as `expand` and `run_sweep`."""
    if not any(override.startswith("hydra/launcher=") for override in overrides):
        local.prepare()  # while the sweep is composed
    sweep = expand(overrides)
    for line in sweep.replaced:
        log.info("%s", line)
    return run_sweep(sweep, train)


def run_sweep(sweep: Sweep, train: Train, collected: Container[str] = ()) -> int:
    """Run what is left of a sweep; its exit code: 0 if every run has finished, else 1.

    collected: identities of runs that finished elsewhere and are not to be run here.
    """
    launch = _launcher(sweep)
    left = [c for c in sweep.configs if not _finished(c, collected)]
    total = len(sweep.configs)
    log.info("%d runs, %d of them finished before", total, total - len(left))
    with _Progress(left) as progress, logging_redirect_tqdm():
        if left:
            _refuse_unwritable({Path(config.runs.root) for config in left})
            launch(left, sweep.settings, train, progress)
    return _summary(left, progress.outcomes, total)


def _refuse_unwritable(roots: set[Path]) -> None:
    """One error at once, and not one of each run."""
    for root in roots:
        there = next(each for each in (root, *root.parents) if os.path.exists(each))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise RunError(f"cannot write runs.root={root}: set it to a folder that can be written")


def _finished(config: Config, collected: Container[str]) -> bool:
    with suppress(RunError):  # a record that was altered: said when it is that run's turn
        status = status_of(config)
        if status is not None and status.finished:
            return True
    return identity(as_dict(config)) in collected


def _launcher(sweep: Sweep) -> Launch:
    """By its settings and not its name, so that copies of slurm.yaml for other clusters work."""
    if str(sweep.settings.get("_target_")).endswith(".SlurmLauncher"):
        return slurm.launch
    if "runs_at_once" in sweep.settings:
        return local.launch
    raise ConfigError(
        f"hydra/launcher={sweep.launcher} does not work here: choose local, slurm or a copy of one"
    )


class _Progress:
    """One line for the whole sweep on a terminal; elsewhere one line per run that ended."""

    def __init__(self, configs: Sequence[Config]) -> None:
        self.configs = configs
        self.outcomes: dict[int, Outcome] = {}
        self._running = 0
        # None: none where stderr is no terminal
        self._bar = tqdm(total=len(configs), unit="run", disable=None, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def running(self, count: int) -> None:
        if count != self._running:
            self._running = count
            self._show()

    def ended(self, k: int, outcome: Outcome) -> None:
        self.outcomes[k] = outcome
        self._bar.update()
        self._show()
        if self._bar.disable:
            name = run_directory(as_dict(self.configs[k]))
            log.info("%d/%d %s: %s", len(self.outcomes), len(self.configs), name, outcome.state)

    def _show(self) -> None:
        counts = Counter(each.state for each in self.outcomes.values())
        said = [f"{self._running} running", *(f"{n} {state}" for state, n in counts.items())]
        self._bar.set_postfix_str(", ".join(said))


def status_of(config: Config) -> Status | None:
    """How far a run is; None if it was never begun."""
    return read_status(run_directory(as_dict(config)))


def _summary(left: Sequence[Config], outcomes: dict[int, Outcome], total: int) -> int:
    counts = Counter(outcome.state for outcome in outcomes.values())
    finished = total - len(left) + counts["done"] + counts["diverged"]
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    print(f"{finished} of {total} runs have finished" + (f"; now: {said}" if said else ""))
    for k, outcome in sorted(outcomes.items()):
        if outcome.state in ("failed", "held"):
            print(f"  {outcome.state:<8} {run_directory(as_dict(left[k]))}: {outcome.error}")
    if finished < total:
        print("repeat the command to finish the rest", file=sys.stderr)
    return 0 if finished == total else 1
