"""Training by gradient steps on a loss, as a generator of epochs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from wnrepro.optim import Schedule
from wnrepro.randomness import Streams
from wnrepro.training.average import ParameterAverage
from wnrepro.training.clock import Clock
from wnrepro.training.protocol import AfterStep, Epoch
from wnrepro.training.record import layer_norms, peak_memory_mib
from wnrepro.training.step import Batch, Step, compiled
from wnrepro.training.sums import Sums

Forward = Callable[..., Any]
"""The model, or `compiled` of it."""


class Objective(Protocol):
    """What is trained, on what, and how it is measured: a task's part of the loop."""

    model: nn.Module
    """Its parameters are trained. On `device`."""

    @property
    def summed(self) -> Sequence[str]:
        """What a training step sums up beside the loss."""
        ...

    @property
    def evaluation_name(self) -> str:
        """`test` or `held_out`: in the names of its metrics."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def n_train(self) -> int:
        """Examples to train on."""
        ...

    def batch(self, chosen: Tensor) -> Batch:
        """The training examples of these indices, on the device."""
        ...

    def loss(self, forward: Forward, batch: Batch) -> tuple[Tensor, Sequence[Tensor]]:
        """The mean loss of a batch in training, and the sums over it of what `summed` names."""
        ...

    def metrics(self, sums: dict[str, float], n: float) -> dict[str, float]:
        """From an epoch's sums over n examples: `loss` first, all without the prefix `train_`."""
        ...

    def evaluate(self, forward: Forward) -> dict[str, float]:
        """The same metrics on the evaluation set, of a model in evaluation mode."""
        ...

    def initialise(self, chosen: Tensor) -> object:
        """The data-dependent init on the training examples of these indices."""


@dataclass
class SupervisedTraining:
    """`Training` of an objective: see there.

    optimizer: with "lr" in its groups, which the schedule sets at each epoch's start, and β1 too
    where they have "betas". autocast: the precision of forward passes. compile: whether torch
    compiles the model, which takes up to a minute at the start. capture: whether a GPU replays the
    step (see `Step`); None for wherever there is one. clip_norm: gradients of a larger norm, over
    all parameters, are scaled down to it. average: evaluation is repeated with these, and its
    metrics are recorded with `averaged_` before their names.
    """

    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    streams: Streams
    batch_size: int
    autocast: Callable[[], AbstractContextManager] = nullcontext
    compile: bool = False
    capture: bool | None = None
    clip_norm: float | None = None
    average: ParameterAverage | None = None
    epoch: int = 0
    step: int = 0
    _step: Step | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._clock = Clock(self.device)  # of the current epoch's steps
        self._sums = Sums(self.device, self.objective.summed)
        self._forward = compiled(self.model) if self.compile else self.model
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)  # a process may train many runs

    @property
    def large_state(self) -> None:
        return None

    @property
    def model(self) -> nn.Module:
        return self.objective.model

    @property
    def device(self) -> torch.device:
        return self.objective.device

    @property
    def steps_per_epoch(self) -> int:
        # An incomplete last batch is left out, as in the authors' loop.
        return self.objective.n_train // self.batch_size

    def initialise(self, n: int) -> object:
        """The data-dependent init on the first n examples of the first epoch's order.

        The authors' protocol has 500. In the parameters' own precision, whatever training has.
        """
        self.model.train()
        initialised = self.objective.initialise(self._order_of(0)[:n])
        if self.average is not None:
            self.average.restart()
        return initialised

    def epochs(self, after_step: AfterStep | None = None) -> Iterator[Epoch]:
        """Train to the schedule's end, from wherever this is; what each epoch left.

        Nothing waits for the device inside an epoch, but what `after_step` does.
        """
        while self.epoch < self.schedule.epochs:
            epoch = self._train_epoch(after_step)
            yield epoch
            if epoch.diverged:
                return

    def _train_epoch(self, after_step: AfterStep | None) -> Epoch:
        epoch = self.epoch
        learning_rate = self.schedule.set_in(self.optimizer, epoch)
        if self.step == 0:
            self.streams.start_epoch(epoch)
            self._sums.tensor.zero_()
            self._clock.seconds = 0.0
        self._clock.start()
        try:
            self._train_steps(after_step)
            sums, n = self._sums.read()  # waits for the device
        finally:
            self._clock.stop()
        trained = time.perf_counter()
        layers = layer_norms(self.model)
        self.epoch, self.step = epoch + 1, 0
        evaluation = self.evaluate()
        evaluation_time_sec = time.perf_counter() - trained
        seconds = self._clock.seconds
        training = self.objective.metrics(sums, n)
        return Epoch(
            epoch=self.epoch,
            metrics={
                "learning_rate": learning_rate,
                **{f"train_{name}": value for name, value in training.items()},
                **evaluation,
            },
            layers=layers,
            timing={
                "train_time_sec": seconds,
                "evaluation_time_sec": evaluation_time_sec,
                "samples_per_sec": self.steps_per_epoch * self.batch_size / seconds,
                "peak_memory_mib": peak_memory_mib(self.device),
            },
            diverged=not abs(training["loss"]) < float("inf"),
        )

    def evaluate(self) -> dict[str, float | None]:
        self.model.eval()
        with self.autocast(), torch.no_grad():
            found = self._evaluated()
            if self.average is not None:
                with self.average.applied():
                    averaged = self._evaluated()
                found |= {f"averaged_{name}": value for name, value in averaged.items()}
        return {f"{self.objective.evaluation_name}_{name}": each for name, each in found.items()}

    def _evaluated(self) -> dict[str, float | None]:
        """The objective's metrics, and what it measures after the last epoch only, if anything."""
        found: dict[str, float | None] = {**self.objective.evaluate(self._forward)}
        final = getattr(self.objective, "final", None)
        return found if final is None else found | final(self.epoch == self.schedule.epochs)

    def _train_steps(self, after_step: AfterStep | None) -> None:
        """The steps of the current epoch that are left."""
        self.model.train()
        order = self._order_of(self.epoch)
        while self.step < self.steps_per_epoch:
            start = self.step * self.batch_size
            self.train_step(self.objective.batch(order[start : start + self.batch_size]))
            self.step += 1
            if after_step is not None and self.step < self.steps_per_epoch:
                after_step()

    def train_step(self, batch: Batch) -> None:
        """One step, on this batch; counts neither it nor its time."""
        if self._step is None or self._step.optimizer is not self.optimizer:
            self._step = Step(
                lambda batch: self.objective.loss(self._forward, batch),
                *(self.optimizer, self._sums, self.autocast),
                [each for each in self.streams.values() if each.device.type == "cuda"],
                capture=self.device.type == "cuda" if self.capture is None else self.capture,
                clip_norm=self.clip_norm,
            )
        self._step(*batch)
        if self.average is not None:
            self.average.update()

    def pictures(self) -> dict[str, Tensor]:
        """The objective's, if it has any, of the averaged parameters where there are such."""
        pictures = getattr(self.objective, "pictures", None)
        if pictures is None:
            return {}
        self.model.eval()
        with nullcontext() if self.average is None else self.average.applied():
            return pictures()

    def _order_of(self, epoch: int) -> Tensor:
        return self.streams.permutation(self.objective.n_train, epoch).to(self.device)

    def paused(self) -> AbstractContextManager[None]:
        return self._clock.paused()

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._sums.tensor.clone(),
            "train_time_sec": self._clock.seconds,
            "streams": self.streams.state_dict(),
            **({} if self.average is None else {"average": self.average.state_dict()}),
        }

    def load_trained(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.epoch, self.step = state["epoch"], state["step"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.load_trained(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self._sums.tensor.copy_(state["sums"])
        self._clock.seconds = state.get("train_time_sec", 0.0)  # older states have none
        self.streams.load_state_dict(state["streams"])
