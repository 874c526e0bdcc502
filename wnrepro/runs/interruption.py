"""Asked to stop: by a scheduler, a shell or a user."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR2") if hasattr(signal, name)
)
"""SIGTERM: a scheduler or the system; SIGINT: Ctrl-C; SIGUSR2: SLURM, ahead of the time limit."""


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes started in it ignore Ctrl-C, which a terminal sends to them too: they inherit that.

    Whoever started them is interrupted alone, and ends them.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Interruption:
    """Remembers the first signal that asks the process to stop, so that it can do so in good order.

    ::

        with Interruption() as interruption:
            for epoch in ...:
                if interruption.requested:
                    break

    A second SIGINT raises KeyboardInterrupt at once: somebody is waiting at the keyboard. The
    handlers that were installed before come back on exit. Outside the main thread, where Python
    cannot handle signals, nothing is installed and nothing is ever requested.
    """

    def __init__(self) -> None:
        self._first: signal.Signals | None = None
        self._interrupts = 0
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> signal.Signals | None:
        """The first signal received, or None."""
        return self._first

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
        if self._first is None:
            self._first = signal.Signals(number)
