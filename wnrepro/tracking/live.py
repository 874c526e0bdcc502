"""The curves of a training that is going on, shown on Weights & Biases while it runs.

Whatever goes wrong with W&B, the training neither stops nor waits: every call to wandb is made in
a thread of its own, and the training only hands it rows. What W&B did not take is written to an
offline run, from the record.
"""

import logging
import queue
import shlex
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wnrepro.tracking import service
from wnrepro.tracking.wandb_run import End, Row, WandbRun, description

log = logging.getLogger(__name__)

START_WAIT_SEC = 10.0
"""How long a training waits for W&B to start; after that it begins, and W&B may come later."""

FINISH_TIMEOUT_SEC = 60.0
"""How long the end of a run waits for W&B to take what is left, before that is kept offline."""

STOPPED_TIMEOUT_SEC = 15.0
"""The same where the run was stopped or failed: schedulers kill soon after they ask to stop."""

FALLBACK_SEC = 15.0
"""How long writing the offline run may take when W&B did not take what was left."""


class WandbTracker:
    """One W&B run per run, online where the user is logged in, else offline.

    If W&B fails (its server does not accept the run in time, its service process dies, it does
    not finish), the whole record goes to an offline run, and one line says why and how to upload
    it. If that fails as well, one line says so, and nothing more is tried.
    """

    def __init__(self, config: Mapping[str, Any], directory: Path, identity: str) -> None:
        self._config, self._directory, self._identity = config, directory, identity
        self._handed_over = 0
        self._gave_up: str | None = None
        self._record: list[Row] = []  # the thread's; what it has been given so far
        self._end: End | None = None
        self._queue: queue.SimpleQueue[Sequence[Row] | End] = queue.SimpleQueue()
        self._settled = threading.Event()  # it is known where the curves go
        # A daemon: a call to wandb that never returns does not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()
        self._settled.wait(START_WAIT_SEC)

    def mirror(self, rows: Sequence[Row]) -> None:
        """Hand over the rows that are new; never waits."""
        if self._thread.is_alive():
            self._queue.put([dict(row) for row in rows[self._handed_over :]])
            self._handed_over = len(rows)

    def finish(self, status: str, pictures: Mapping[str, Path] | None) -> None:
        """Wait for W&B, at most `FINISH_TIMEOUT_SEC` (`STOPPED_TIMEOUT_SEC`) + `FALLBACK_SEC`."""
        self._queue.put(End(status, pictures))
        ended = status in ("done", "diverged")
        patience = FINISH_TIMEOUT_SEC if ended else STOPPED_TIMEOUT_SEC
        try:
            self._thread.join(patience)
            if self._thread.is_alive():
                self._gave_up = f"not done within {patience:g} s"
                service.kill()  # so that the thread's call to wandb fails, and it falls back
                self._thread.join(FALLBACK_SEC)
        finally:
            if self._thread.is_alive():  # it hangs again, or somebody pressed Ctrl-C
                _report(TimeoutError("no answer"))
                service.kill()  # wandb would wait for it when the process exits

    def _work(self) -> None:
        """The thread: open a run, send rows until the end; if that fails, once more, offline."""
        try:
            with service.hooks_of_this_process():
                mode, why = service.mode()
            if mode == "disabled":
                log.info("W&B%s", why)
                return
            self._mirror_all(mode, why)
        except BaseException as error:  # wandb may exit; in a thread nobody would hear of it
            _report(error)
        finally:
            self._settled.set()
            service.tear_down()

    def _mirror_all(self, mode: str, why: str) -> None:
        run = None
        try:
            run = self._open(mode)
            self._announce(run, why)
            self._follow(run)
        except Exception as error:
            service.kill()
            service.tear_down()
            if run is not None:
                shutil.rmtree(run.directory, ignore_errors=True)
            run = self._open("offline")
            run.send(self._record)
            self._announce(run, f" failed ({self._gave_up or service.reason(error)}); offline")
            self._follow(run)

    def _follow(self, run: WandbRun) -> None:
        """Send rows as they come, to the end."""
        while self._end is None:
            item = self._queue.get()
            if isinstance(item, End):
                self._end = item
            else:
                self._record.extend(item)
            run.send(self._record)
        run.finish(self._end)

    def _open(self, mode: str) -> WandbRun:
        with service.hooks_of_this_process():
            described = description(self._config, self._directory, self._identity)
            tracker = self._config["tracker"]
            account = {"project": service.project(tracker["project"]), "entity": tracker["entity"]}
            return WandbRun(described | account, self._directory, mode)

    def _announce(self, run: WandbRun, why: str) -> None:
        """One line: where the curves are, or why they are offline and how to upload them."""
        if run.url is not None:
            log.info("W&B: %s", run.url)
        else:
            login = "python -m wandb login && " if why.startswith(service.NOT_LOGGED_IN) else ""
            path = shlex.quote(str(run.directory))
            log.info("W&B%s; to upload later: %spython -m wandb sync %s", why, login, path)
        self._settled.set()


def _report(error: BaseException) -> None:
    log.warning(
        "W&B failed (%s): the training goes on, its record is in the run directory",
        service.reason(error),
    )
