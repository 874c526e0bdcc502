"""Processes beside this one: how they are started, and what a machine may refuse them."""

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

from wnrepro.errors import RunError

_LONGEST_FOLDER = 70
"""Bytes of $TMPDIR that leave room for the name of the forkserver's socket: of 104 on macOS."""


def prepare(modules: Sequence[str]) -> None:
    """Begin, in the background, to import what the processes need: once for all.

    Raises:
        RunError: as `context`.
    """
    if context().get_start_method() == "forkserver":
        multiprocessing.set_forkserver_preload(list(modules))
        with _refused_in_one_line():
            forkserver.ensure_running()


def context(method: str | None = None) -> BaseContext:
    """Where processes come from: a server that has imported what they need, or each from nothing.

    Never forked from this process: torch and numpy have threads, which do not survive that.

    Raises:
        RunError: this machine has no folder for temporary files, or no semaphores.
    """
    with _refused_in_one_line():
        if method is None:
            short = len(tempfile.gettempdir().encode()) <= _LONGEST_FOLDER
            served = short and "forkserver" in multiprocessing.get_all_start_methods()
            method = "forkserver" if served else "spawn"
        found = multiprocessing.get_context(method)
        found.Lock()
    return found


@contextmanager
def _refused_in_one_line() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot start further processes: {error.strerror or error}; they need some space in "
            f"/dev/shm (`docker run --shm-size`) and in $TMPDIR"
        ) from error
