"""Seconds of training."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """A stopwatch; `seconds` may be read at any time, and set while it stands still."""

    def __init__(self) -> None:
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
