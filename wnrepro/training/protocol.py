"""What the runner, checkpoints, records and trackers need of a training, whatever it trains."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

AfterStep = Callable[[], None]


@dataclass(frozen=True)
class Epoch:
    """What one epoch left.

    epoch: counted from 1, the number of epochs done.
    metrics: what the config determines, by column of metrics.csv and in their order: numbers, or
        None for what is measured after the last epoch only.
    layers: per layer of the network the mean over its units of `v_norm`, ‖v‖, of `g`, |g|, and of
        `grad_norm`, ‖∇_v L‖ in the last step of the epoch; None for what an arm has not.
    timing: what the machine determines, by column of timing.csv and in their order.
    diverged: whether a loss was no finite number. Such an epoch is the last.
    """

    epoch: int
    metrics: dict[str, Any]
    layers: dict[str, dict[str, float | None]]
    timing: dict[str, float]
    diverged: bool


class Training(Protocol):
    """One training run, at any moment between two steps.

    `epoch` counts the epochs that are done, `step` the steps of the current one. A step is whatever
    the task takes for one: of an optimiser, or of an environment.
    """

    epoch: int
    step: int

    @property
    def device(self) -> torch.device: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def initialise(self, n: int) -> object:
        """The data-dependent init, on n examples."""

    def epochs(self, after_step: AfterStep | None = None) -> Iterator[Epoch]:
        """Train to the end, from wherever this is; what each epoch left.

        after_step: called between two steps of an epoch. It may raise, to stop here: the state is
        then that of a run that can go on.
        """
        ...

    def pictures(self) -> Mapping[str, torch.Tensor]:
        """What to look at when it is over, by name: images in [0, 1], (rows, columns, C, H, W)."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Time spent in this block counts as no training time. The device is idle in it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, but for data and config."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
