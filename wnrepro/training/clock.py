"""Seconds of training."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """A stopwatch; `seconds` may be read at any time, and set while it stands still.

    It stops when the device has done all steps: those that a GPU still has to do take time too.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._before + running

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._before = value

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        wait_for(self._device)
        self._before, self._since = self.seconds, None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stands still within, if it ran before."""
        running = self._since is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()


def wait_for(device: torch.device) -> None:
    """Until it has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
