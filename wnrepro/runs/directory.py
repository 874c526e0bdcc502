"""The directory of one run, owned by one live process at a time."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from wnrepro.errors import RunError, RunHeld
from wnrepro.replacement import remove_torn
from wnrepro.runs import rows, status
from wnrepro.runs.rows import METRICS_FILE, TIMING_FILE, Value
from wnrepro.runs.status import State, Status

LOCK_FILE = "lock"
CURVES_FILE = "curves.png"


class RunDirectory:
    """Writes what a run leaves behind; whoever writes must hold it.

    ::

        directory = RunDirectory(run_directory(config))
        with directory.claim(epochs):
            if directory.found is not None and directory.found.finished:
                return
            write_manifest(directory.path, config, sys.argv, device="cpu", threads=1)
            for epoch in ...:
                checkpoint.save_generation(directory.path, state)
                directory.write_rows(metrics, timing)
                directory.write_status("running", epoch, epochs)
            directory.write_status("done", epochs, epochs)
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.found: Status | None = None
        """The status found when the directory was claimed; None in a new one."""

    @contextmanager
    def claim(self, epochs: int | None = None) -> Iterator[Self]:
        """Hold the directory until the end of the block or of the process, however it ends.

        epochs: that the run is to have, for the status, where they are known.

        Creates it if need be, clears away the torn files of killed processes and, unless the run
        is finished, says at once in its status that this process has it. A status that still says
        `running` when the block ends becomes `failed` with the error, or `interrupted`. A finished
        run may lie where nothing can be written: there is nothing to write.

        Raises:
            RunHeld: another live process holds it.
            RunError: the directory cannot be written, or its status cannot be believed.
        """
        try:
            lock = self._lock()
        except RunHeld:
            raise
        except RunError:
            self.found = status.read_status(self.path)
            if self.found is None or not self.found.finished:
                raise
            yield self
            return
        try:
            remove_torn(self.path)
            self.found = status.read_status(self.path)
            if self.found is None:
                self.write_status("running", 0, epochs)
            elif not self.found.finished:
                self.write_status("running", self.found.epoch, self.found.epochs or epochs)
            try:
                yield self
            except BaseException as error:
                self._close(error)
                raise
            self._close(None)
        finally:
            lock.release()

    def held(self) -> bool | None:
        """Whether a live process holds it; a status `running` alone may be a killed one's.

        None where that cannot be told: the lock of somebody else's run may be closed to us.
        """
        try:
            # Not by FileLock, which opens it to write: this works for whoever may read.
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        else:
            return False
        finally:
            os.close(descriptor)

    def write_rows(
        self, metrics: Sequence[Mapping[str, Value]], timing: Sequence[Mapping[str, Value]]
    ) -> None:
        """Replace `metrics.csv` and `timing.csv` by all rows so far; see `rows.write_rows`.

        Raises:
            RunError: a file cannot be written; the old one stays as it was.
        """
        rows.write_rows(self.path / TIMING_FILE, timing)
        rows.write_rows(self.path / METRICS_FILE, metrics)

    def write_status(
        self,
        state: State,
        epoch: int,
        epochs: int | None,
        *,
        error: str | None = None,
        signal: str | None = None,
    ) -> None:
        """Say how far the run is; the last thing to write, since readers trust it.

        Raises:
            RunError: the file cannot be written.
        """
        said = status.status_now(state, epoch, epochs, error=error, signal=signal)
        status.write_status(self.path, said)

    def _lock(self) -> FileLock:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # A lock of the kernel's: it ends with the process, so SIGKILL leaves none behind.
            # Not at once: `held` holds it too, for an instant.
            lock = FileLock(self.path / LOCK_FILE, timeout=0.2)
            lock.acquire(poll_interval=0.02)
        except Timeout:
            raise RunHeld(f"{self.path} is in use by {self._holder()}") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(
                f"cannot write the run directory {self.path}: {reason}; "
                "set runs.root to a directory that can be written"
            ) from error
        return lock

    def _holder(self) -> str:
        try:
            said = status.read_status(self.path)
        except RunError:
            said = None
        if said is None:
            return "another process, which has not said yet which one it is"
        return f"process {said.pid} on {said.host}, which is in epoch {said.epoch + 1}"

    def _close(self, error: BaseException | None) -> None:
        """Leave no `running` behind in the status."""
        try:
            said = status.read_status(self.path)
            if said is None or said.state != "running":
                return
            if isinstance(error, Exception):
                text = f"{type(error).__name__}: {error}"
                self.write_status("failed", said.epoch, said.epochs, error=text)
            else:
                name = "SIGINT" if isinstance(error, KeyboardInterrupt) else None
                self.write_status("interrupted", said.epoch, said.epochs, signal=name)
        except RunError:
            if error is None:
                raise
            # The first error is the one to report; on a full disk both have the same cause.
