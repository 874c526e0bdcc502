"""How far a run is, while it trains and at its end."""

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from wnrepro.config import Config, as_dict, epoch_steps, quick_steps
from wnrepro.durations import in_words
from wnrepro.errors import RunError
from wnrepro.runs.identity import run_directory
from wnrepro.runs.rows import METRICS_FILE, TIMING_FILE, read_rows
from wnrepro.runs.status import Status
from wnrepro.tasks import FIRST, TASKS

if TYPE_CHECKING:
    from wnrepro.training import Epoch, Training

log = logging.getLogger("wnrepro.train")

SAYING_EVERY_SEC = 60
"""Without a terminal to show a bar on, a run says where it is at the ends of epochs, but not more
often than this: a short one stays quiet."""

ESTIMATE_AFTER_SEC = 20
"""When a run has trained for so long, it says how long the rest will take."""

LONG_RUN_SEC = 120
"""A run that takes longer says so."""


class Display:
    """A bar on a terminal, elsewhere a line now and then; neither unless `shown`."""

    def __init__(self, config: Config, training: "Training", shown: bool) -> None:
        self.config, self.training, self.shown = config, training, shown
        self.task = TASKS[config.task.name]
        self.said_at = time.perf_counter()
        self.estimated = not shown
        self.epoch_steps, self.quick_steps = epoch_steps(config), quick_steps(config)
        self.begun: tuple[float, int] | None = None  # when, and at which step

    def __enter__(self) -> Self:
        steps = self.training.steps_per_epoch
        self.bar = tqdm(
            total=steps * self.config.epochs,
            initial=steps * self.training.epoch + self.training.step,
            unit="step",
            leave=False,
            dynamic_ncols=True,
            disable=None if self.shown else True,  # None: where stderr is no terminal
        )
        self._open = ExitStack()
        self._open.enter_context(self.bar)
        self._open.enter_context(logging_redirect_tqdm())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def step(self) -> None:
        self.bar.update()
        if not self.estimated:
            self._estimate()

    def epoch(self, epoch: "Epoch") -> None:
        self.bar.update()
        said = [
            f"{value} in training" if part == "train" else f"{value} {part.replace('-', '_')}"
            for part, value in self.task.headlines(epoch.metrics).items()
        ]
        metric = self.task.headline_metric.label
        line = f"epoch {epoch.epoch}/{self.config.epochs}, {metric} {', '.join(said)}"
        self.bar.set_postfix_str(line)
        now, level = time.perf_counter(), logging.DEBUG
        if self.shown and self.bar.disable and now >= self.said_at + SAYING_EVERY_SEC:
            self.said_at, level = now, logging.INFO
        log.log(level, line)

    def _estimate(self) -> None:
        """Say once how long the rest will take, if that is long; and what would be faster."""
        training, now = self.training, time.perf_counter()
        steps, evaluation = self.epoch_steps
        if training.epoch * steps + training.step < self.quick_steps:
            return
        place = training.epoch * (steps + evaluation) + training.step
        if self.begun is None:
            self.begun = (now, place)
        since, first = self.begun
        if place == first or now < since + ESTIMATE_AFTER_SEC:
            return
        self.estimated = True
        per_step = (now - since) / (place - first)
        seconds = (self.config.epochs * (steps + evaluation) - place) * per_step
        if seconds < LONG_RUN_SEC:
            return
        log.info("about %s to go here (%.2g s a step)", in_words(seconds), per_step)
        if self.config.precision == "float32" and training.device.type == "cpu":
            from wnrepro import cost  # imports torch

            with training.paused():
                gain = cost.gain_of_bf16(self.config)
            if gain >= 2:
                said = in_words(seconds / gain)
                log.info("precision=bf16 would take %s: another run, never pooled with this", said)


def print_result(config: Config, status: Status) -> None:
    """What a run has come to, and what to type next; raises RunError for half a record."""
    directory = run_directory(as_dict(config))
    lines = [("status", f"{status.state}, epoch {status.epoch} of {config.epochs}")]
    if (directory / METRICS_FILE).exists():
        metrics, timing = (read_rows(directory / each) for each in (METRICS_FILE, TIMING_FILE))
        keys = ("train_time_sec", "evaluation_time_sec")
        if not metrics or not timing or not set(keys) <= timing[0].keys():
            raise RunError(f"{directory} lacks rows of its record: delete it to train it again")
        task = TASKS[config.task.name]
        for part, said in task.headlines(metrics[-1], as_dict(config)).items():
            lines.append((f"{part} {task.headline_metric.label}", said))
        seconds = sum(float(row[key] or 0) for row in timing for key in keys)
        lines.append(("time", f"{seconds:.1f} s for {len(timing)} epoch{'s' * (len(timing) != 1)}"))
    lines.append(("run", str(directory)))
    if status.state == "interrupted":
        lines.append(("next", "repeat the command: it goes on from here"))
    else:
        lines.append(("next", f"python -m wnrepro.train {_next(config)}"))
    for name, value in lines:
        print(f"{name:<15} {value}")


def _next(config: Config) -> str:
    """Something to compare this run with: the plain network, or the next data set's."""
    data = config.data.name.removesuffix("10")
    if config.task.name != FIRST:
        other = "plain" if config.norm.name != "plain" else "wn"
        return f"+exp={TASKS[config.task.name].experiment(config)}_{other}"
    if config.scale.name != "full":
        return f"+exp={data}_{config.norm.name}"
    if config.norm.name != "plain":
        return f"+exp={data}_plain"
    larger = {"digits": "mnist", "mnist": "fashion_mnist", "fashion_mnist": "cifar"}
    return f"+exp={larger.get(data, data)}_wn"
