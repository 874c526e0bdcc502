"""python -m wnrepro.train: one run, from its config to its record.

    python -m wnrepro.train                          digits, weight norm, about ten seconds
    python -m wnrepro.train +exp=cifar_wn            the paper's protocol, 200 epochs
    python -m wnrepro.train +exp=cifar_wn scale=smoke    does it run at all?
    python -m wnrepro.train norm=plain optim.lr=0.001 seed=1

The only place where data, model, engine, record and tracker meet. Repeating a command goes on
where the run stopped, or says that it is done. Exit codes: 0 done (or diverged, which is a result
too), 1 failed, 2 a mistake in the config, 128 + n stopped by signal n with a checkpoint written.
"""

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnrepro.allocator import keep_freed_memory
from wnrepro.commands import pictures
from wnrepro.commands.command_line import GOES_ON, arguments, guarded
from wnrepro.commands.composition import compose_one
from wnrepro.commands.display import Display, print_result
from wnrepro.config import Config, as_dict, as_yaml, compiles
from wnrepro.errors import WnreproError
from wnrepro.replacement import replace_file
from wnrepro.runs.directory import CURVES_FILE, RunDirectory
from wnrepro.runs.identity import identity, run_directory
from wnrepro.runs.interruption import Interruption
from wnrepro.runs.manifest import CONFIG_FILE, write_manifest
from wnrepro.runs.status import Status, read_status

if TYPE_CHECKING:
    from wnrepro.training import Epoch

# torch takes seconds to import, and printing or refusing a config shall take none: what needs it
# is imported where it is used.

log = logging.getLogger("wnrepro.train")

KEEPING_EVERY = 20
"""On a GPU, where an epoch may take half a second and a checkpoint 0.1, a run is kept once it has
trained so many times as long as keeping it took: that costs at most a twentieth, and two seconds of
training are lost if it is killed. On a CPU it is kept after each epoch."""

SAVING_EVERY_SEC = 60
"""Within an epoch, which may take many minutes on a CPU, a checkpoint is written so often."""


class Stopped(Exception):
    """Raised between two steps when a signal asks the run to stop."""


def train(config: Config, *, progress: bool = False) -> Status:
    """Train one run, or go on with it, and say how far it got; raises WnreproError.

    progress: whether to show a bar, or lines now and then where stderr is no terminal.
    """
    keep_freed_memory()
    directory = RunDirectory(run_directory(as_dict(config)))
    above = (directory.path, *directory.path.parents)
    new = [each for each in above if not os.path.exists(each)]  # Path.exists may raise
    with Interruption() as interruption:
        before = read_status(directory.path)
        if before is None or not before.finished:
            from wnrepro import assembly

            assembly.device(config)  # one that is not here leaves no directory behind
        with directory.claim(config.epochs):
            if directory.found is not None and directory.found.finished:
                log.info("already %s: nothing to do", directory.found.state)
                if not (directory.path / CURVES_FILE).exists():  # killed while it was drawn
                    pictures.curves(directory.path)
                return directory.found
            return _train(config, directory, interruption, progress, new)


def _train(
    config: Config,
    directory: RunDirectory,
    interruption: Interruption,
    progress: bool,
    new: Sequence[Path],
) -> Status:
    """new: the run's directory and those above it that were not there before."""
    from wnrepro import assembly

    run = None
    try:
        with assembly.memory_errors_in_one_line():
            run = _Run(config, directory, interruption)
            run.train(progress)
    except BaseException as error:
        if run is not None:
            run.tracker.finish("failed", None)
        if new and isinstance(error, WnreproError) and (run is None or not run.has_begun):
            shutil.rmtree(new[0], ignore_errors=True)
            for above in new[1:]:
                with suppress(OSError):  # another run is there now
                    above.rmdir()
        raise
    status = read_status(directory.path)
    assert status is not None
    return status


def train_and_show(config: Config) -> int:
    """Train one run, with a progress bar and a table at the end; its exit code."""
    status = train(config, progress=True)
    print_result(config, status)
    return 128 + signal.Signals[status.signal] if status.signal else 0


class _Run:
    """The parts of one run, put together."""

    def __init__(self, config: Config, directory: RunDirectory, interruption: Interruption) -> None:
        from wnrepro import assembly, tracking
        from wnrepro.runs import checkpoint

        self.config = config
        self.directory = directory
        self.interruption = interruption
        plain = as_dict(config)
        self.identity = identity(plain)
        device = assembly.device(config)
        self.training = assembly.training(config, device)
        plain["compile"] = compiles(config, device.type)  # what null stood for here
        manifest = write_manifest(
            directory.path,
            plain,
            sys.argv,
            device=str(device),
            threads=assembly.threads(config),
            gpu=assembly.gpu_name(device),
        )
        replace_file(directory.path / CONFIG_FILE, as_yaml(config))
        self.metrics: list[dict[str, Any]] = []
        self.timing: list[dict[str, Any]] = []
        self.due, self.saved = 0.0, time.perf_counter()
        if (large := self.training.large_state) is not None:
            large.open(directory.path)
        state = checkpoint.load_latest(directory.path, plain)
        if state is None:
            if config.init.name == "data_dependent":
                self.training.initialise(config.init.batch_size)
            self.save()
        else:
            self.training.load_state_dict(state["training"])
            self.metrics, self.timing = state["metrics"], state["timing"]
            log.info("going on from epoch %d of %d", self.training.epoch, config.epochs)
            commits = [each["commit"] for each in (manifest, *manifest["resumed"])][-2:]
            if len(set(commits)) > 1:
                log.info("by other code than before: commit %s, then %s", *commits)
            self.record("running")
        self.tracker = tracking.start(plain, directory.path, self.identity)
        self.tracker.mirror(self.metrics)

    def train(self, progress: bool) -> None:
        """Train to the end, to divergence or to a signal; leave record, status and picture."""
        training, state = self.training, "done"
        with Display(self.config, training, progress) as display:

            def after_step() -> None:
                self._stop_if_asked()
                display.step()
                if self._must_save or time.perf_counter() >= self.saved + SAVING_EVERY_SEC:
                    with training.paused():
                        self.save()

            try:
                for epoch in training.epochs(after_step):
                    display.epoch(epoch)
                    self.metrics.append(_metrics_row(epoch))
                    self.timing.append({"epoch": epoch.epoch, **epoch.timing})
                    if epoch.diverged:
                        state = "diverged"
                    last = epoch.diverged or training.epoch == self.config.epochs
                    if last or self._must_save or time.perf_counter() >= self.due:
                        self.keep()
                    if not last:
                        self._stop_if_asked()
            except Stopped:
                state = "interrupted"
                self.save()
        self._end(state)

    @property
    def has_begun(self) -> bool:
        return self.training.epoch > 0 or self.training.step > 0

    @property
    def _must_save(self) -> bool:
        return (large := self.training.large_state) is not None and large.full

    def _stop_if_asked(self) -> None:
        if self.interruption.requested is not None:
            raise Stopped

    def _end(self, state: str) -> None:
        """Record first, show afterwards: a picture that fails takes nothing from a run."""
        self.record(state)
        drawn = pictures.curves(self.directory.path) if self.metrics else {}
        if self.metrics and state != "interrupted":
            drawn |= pictures.of_task(self.training, self.directory.path)
        self.tracker.finish(state, drawn)
        if state != "interrupted" and (large := self.training.large_state) is not None:
            large.remove()

    def keep(self) -> None:
        """Save, record and show what there is, and set the time before which not to do it again."""
        begun = time.perf_counter()
        self.save()
        self.record("running")
        self.tracker.mirror(self.metrics)
        if self.training.device.type == "cuda":
            done = time.perf_counter()
            self.due = done + KEEPING_EVERY * (done - begun)

    def save(self) -> None:
        """Checkpoint: all that the rest of the run depends on, and its record so far."""
        from wnrepro.runs import checkpoint

        checkpoint.save_generation(
            self.directory.path,
            {
                "config": as_dict(self.config),
                "training": self.training.state_dict(),
                "metrics": self.metrics,
                "timing": self.timing,
            },
        )
        self.saved = time.perf_counter()

    def record(self, state: Any) -> None:
        """Bring the files that people read up to the checkpoint; the status last."""
        asked = self.interruption.requested if state == "interrupted" else None
        if self.metrics:
            self.directory.write_rows(self.metrics, self.timing)
        self.directory.write_status(
            state,
            self.training.epoch,
            self.config.epochs,
            signal=None if asked is None else asked.name,
        )


def _metrics_row(epoch: "Epoch") -> dict[str, Any]:
    """What the config determines: one row of metrics.csv."""
    row = {"epoch": epoch.epoch, **epoch.metrics}
    for layer, norms in epoch.layers.items():
        row |= {f"{quantity}/{layer}": value for quantity, value in norms.items()}
    return row


def main() -> None:
    sys.exit(guarded(lambda: _command(sys.argv[1:]), GOES_ON))


def _command(given: Sequence[str]) -> int:
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("wnrepro").setLevel(logging.INFO)
    asked = arguments(given)
    if asked.of_sweep:
        from wnrepro.commands import sweep

        return sweep.run(asked.overrides, train)
    config = compose_one(asked.overrides)
    if asked.show:
        print(as_yaml(config), end="")
        return 0
    return train_and_show(config)


if __name__ == "__main__":
    # The module under its own name, so that other processes can find what it defines.
    from wnrepro import train as module

    module.main()
