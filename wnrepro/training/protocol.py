"""What the runner, checkpoints, records and trackers need of a training, whatever it trains."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

AfterStep = Callable[[], None]


@dataclass(frozen=True)
class Epoch:
    """What one epoch left.

    epoch: counted from 1, the number of epochs done.
    metrics: what the config determines, by column of metrics.csv and in their order: numbers, or
        None for what the epoch has not.
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


class LargeState(Protocol):
    """What is too large for a checkpoint and lies in a file beside it: see `Training.large_state`.

    `Training.state_dict` then holds what it takes to check the file, and to go back to where it was
    at either of the last two checkpoints.
    """

    def open(self, folder: Path) -> None:
        """Keep the file in this folder from now on, and find one there that is to be gone on with.

        Called once, before `initialise` or `load_state_dict`.
        """

    @property
    def full(self) -> bool:
        """Whether a checkpoint is due: it must be written before the next step."""
        ...

    def remove(self) -> None:
        """Delete the file: the run is over."""


class Training(Protocol):
    """One training run, at any moment between two steps.

    `epoch` counts the epochs that are done, `step` the steps of the current one. A step is whatever
    the task takes for one: of an optimiser, or of an environment.
    """

    epoch: int
    step: int

    @property
    def large_state(self) -> LargeState | None:
        """What of the state is not in `state_dict`, but in a file; None where all is."""
        ...

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

    def evaluate(self) -> Mapping[str, float | None]:
        """The evaluation of what is trained as it is now, by column of metrics.csv.

        After the last step of an epoch these are that epoch's values.
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

    def load_trained(self, state: dict[str, Any]) -> None:
        """Of a `state_dict` what `evaluate` and `pictures` need: no `large_state`, for one."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
