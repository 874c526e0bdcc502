"""Training as a generator of epoch metrics. Knows no disk, no W&B and no Hydra."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wnrepro.classification import Sums, evaluate
from wnrepro.data import Dataset, batches
from wnrepro.nn import Unit, data_dependent_init
from wnrepro.optim import Schedule
from wnrepro.randomness import Streams
from wnrepro.step import Step, compiled

EVALUATION_BATCH = 500
"""Images per forward pass in evaluation; a matter of memory only."""


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch left.

    epoch: counted from 1, the number of epochs done.
    train_loss, train_error_percent: over the epoch's own batches, as they were trained on, with
        noise and dropout on and the weights of the moment: what the paper's figure 1 plots.
    loss, error_percent: of the evaluation set after the epoch.
    layers: per layer the mean over its units of ‖v‖, of |g| and of ‖∇_v L‖ in the last step of
        the epoch; None for what an arm has not.
    train_time_sec, samples_per_sec: of all of the epoch's steps, also where it was interrupted;
        the time in between does not count, nor that of a checkpoint.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_error_percent: float
    loss: float
    error_percent: float
    layers: dict[str, dict[str, float | None]]
    train_time_sec: float
    evaluation_time_sec: float
    samples_per_sec: float
    peak_memory_mib: float

    @property
    def diverged(self) -> bool:
        """Whether the loss of a batch was not a finite number."""
        return not abs(self.train_loss) < float("inf")


@dataclass
class Training:
    """One training run, at any moment between two steps.

    model: maps images to logits; on the data set's device. optimizer: with "lr" in its groups,
    which the schedule sets at each epoch's start, and β1 too where they have "betas". autocast:
    the precision of forward passes. compile: whether torch compiles the model, which takes up to a
    minute at the start. capture: whether a GPU replays the step (see `Step`); None for wherever
    there is one. `epoch` counts the epochs that are done, `step` the steps of the current one.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    dataset: Dataset
    schedule: Schedule
    streams: Streams
    batch_size: int
    autocast: Callable[[], AbstractContextManager] = nullcontext
    compile: bool = False
    capture: bool | None = None
    epoch: int = 0
    step: int = 0
    _sums: Sums = field(init=False)
    _train_time_sec: float = field(init=False, default=0.0)  # of the current epoch's steps so far
    _saved: bool = field(init=False, default=False)  # since the last step

    def __post_init__(self) -> None:
        self._sums = Sums(self.device)
        self._forward = compiled(self.model) if self.compile else self.model
        self._step: Step | None = None
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)  # a process may train many runs

    @property
    def device(self) -> torch.device:
        return self.dataset.train.images.device

    @property
    def steps_per_epoch(self) -> int:
        # An incomplete last batch is left out, as in the authors' loop.
        return len(self.dataset.train) // self.batch_size

    def initialise(self, n: int) -> list[str]:
        """The data-dependent init on the first n images of the first epoch's order.

        The authors' protocol has 500. In the parameters' own precision, whatever training has.
        """
        self.model.train()
        images = self.dataset.train.images[self._order_of(0)[:n]]
        return data_dependent_init(self.model, images)

    def epochs(self, after_step: Callable[[], None] | None = None) -> Iterator[EpochMetrics]:
        """Train to the schedule's end, from wherever this is; the metrics of each epoch.

        after_step: called between two steps of an epoch. It may raise, to stop here: the state is
        then that of a run that can go on, and `state_dict` keeps all of it. Nothing else waits
        for the device inside an epoch. An epoch whose loss is not finite is the last.
        """
        while self.epoch < self.schedule.epochs:
            metrics = self._train_epoch(after_step)
            yield metrics
            if metrics.diverged:
                return

    def _train_epoch(self, after_step: Callable[[], None] | None) -> EpochMetrics:
        epoch, last = self.epoch, time.perf_counter()
        learning_rate = self.schedule.learning_rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
            if "betas" in group:
                group["betas"] = (self.schedule.beta1_at(epoch), group["betas"][1])
        if self.step == 0:
            self.streams.start_epoch(epoch)
            self._sums.tensor.zero_()
            self._train_time_sec = 0.0
        self.model.train()
        order = self._order_of(epoch)[self.step * self.batch_size :]
        for images, labels in batches(self.dataset.train, self.batch_size, order):
            self._train_step(images, labels)
            self.step += 1
            if after_step is not None and self.step < self.steps_per_epoch:
                now = time.perf_counter()
                self._train_time_sec, last = self._train_time_sec + now - last, now
                self._saved = False
                after_step()
                if self._saved:  # the device did nothing meanwhile
                    last = time.perf_counter()
        train_loss, train_error_percent = self._sums.read()  # waits for the device
        trained = time.perf_counter()
        self._train_time_sec += trained - last
        layers = _layer_norms(self.model)
        self.model.eval()
        with self.autocast():
            test_batches = batches(self.dataset.evaluation, EVALUATION_BATCH)
            loss, error_percent = evaluate(self._forward, test_batches, self.device)
        done = time.perf_counter()
        samples = self.steps_per_epoch * self.batch_size
        self.epoch, self.step = epoch + 1, 0
        return EpochMetrics(
            epoch=self.epoch,
            learning_rate=learning_rate,
            train_loss=train_loss,
            train_error_percent=train_error_percent,
            loss=loss,
            error_percent=error_percent,
            layers=layers,
            train_time_sec=self._train_time_sec,
            evaluation_time_sec=done - trained,
            samples_per_sec=samples / self._train_time_sec,
            peak_memory_mib=_peak_memory_mib(self.device),
        )

    def _train_step(self, images: Tensor, labels: Tensor) -> None:
        if self._step is None or self._step.optimizer is not self.optimizer:
            self._step = Step(
                *(self._forward, self.optimizer, self._sums, self.autocast),
                [each for each in self.streams.values() if each.device.type == "cuda"],
                capture=self.device.type == "cuda" if self.capture is None else self.capture,
            )
        self._step(images, labels)

    def _order_of(self, epoch: int) -> Tensor:
        return self.streams.permutation(len(self.dataset.train), epoch).to(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, but for data and configuration."""
        asked = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # steps it has not done yet take their time too
        self._train_time_sec += time.perf_counter() - asked
        self._saved = True
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._sums.tensor.clone(),
            "train_time_sec": self._train_time_sec,
            "streams": self.streams.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self._sums.tensor.copy_(state["sums"])
        self._train_time_sec = state.get("train_time_sec", 0.0)  # older states have none
        self.streams.load_state_dict(state["streams"])


@torch.no_grad()
def _layer_norms(model: nn.Module) -> dict[str, dict[str, float | None]]:
    """Per `Unit`: mean over its output units of ‖v‖, |g| and ‖∇_v L‖; read in one transfer."""
    names: list[tuple[str, str]] = []
    values: list[Tensor] = []
    for layer, unit in model.named_modules():
        if not isinstance(unit, Unit):
            continue
        v = unit.v
        quantities = {"v_norm": v, "g": unit.g, "grad_norm": v.grad}
        for quantity, tensor in quantities.items():
            if tensor is not None:
                names.append((layer, quantity))
                values.append(
                    tensor.flatten(1).norm(dim=1).mean() if tensor.ndim > 1 else tensor.abs().mean()
                )
    read = torch.stack(values).tolist() if values else []
    layers: dict[str, dict[str, float | None]] = {}
    for (layer, quantity), value in zip(names, read, strict=True):
        layers.setdefault(layer, dict.fromkeys(("v_norm", "g", "grad_norm")))[quantity] = value
    return layers


def _peak_memory_mib(device: torch.device) -> float:
    """The most that tensors took on a GPU so far; on a CPU, that the process had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB on Linux
