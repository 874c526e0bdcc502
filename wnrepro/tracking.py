"""Where curves are shown: Weights & Biases, or nowhere. The only module that imports wandb.

A run's record on disk is the truth; a tracker mirrors it. Whatever goes wrong with W&B, the
training neither stops nor waits: every call to wandb is made in a thread of its own, and the
training only hands it rows. What W&B did not take is written to an offline run, from the record.
"""

import contextlib
import logging
import os
import queue
import shlex
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

START_WAIT_SEC = 10.0
"""How long a training waits for W&B to start; after that it begins, and W&B may come later."""

INIT_TIMEOUT_SEC = 30.0
"""How long W&B's server has to accept a run before it is kept offline ($WANDB_INIT_TIMEOUT)."""

FINISH_TIMEOUT_SEC = 60.0
"""How long the end of a run waits for W&B to take what is left, before that is kept offline."""

STOPPED_TIMEOUT_SEC = 15.0
"""The same where the run was stopped or failed: schedulers kill soon after they ask to stop."""

FALLBACK_SEC = 15.0
"""How long writing the offline run may take when W&B did not take what was left."""


class Tracker(Protocol):
    def mirror(self, rows: Sequence[Row]) -> None:
        """Show every row, one per epoch, that has not been shown yet.

        `rows` is the whole record: what was given before, and new rows after it.
        """

    def finish(self, status: str, picture: Path | None) -> None:
        """The run has ended, with `status`; show the picture of its curves."""


class NoTracker:
    """`tracker=none`."""

    def mirror(self, rows: Sequence[Row]) -> None:
        pass

    def finish(self, status: str, picture: Path | None) -> None:
        pass


def start(config: Mapping[str, Any], directory: Path, identity: str) -> Tracker:
    """The tracker that the config asks for, ready to mirror the run in `directory`.

    Returns after `START_WAIT_SEC` at the latest, whether W&B has answered by then or not.
    """
    if config["tracker"]["name"] == "none":
        return NoTracker()
    return WandbTracker(config, directory, identity)


class _End(NamedTuple):
    status: str
    picture: Path | None


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
        self._end: _End | None = None
        self._queue: queue.SimpleQueue[Sequence[Row] | _End] = queue.SimpleQueue()
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

    def finish(self, status: str, picture: Path | None) -> None:
        """Wait for W&B, at most `FINISH_TIMEOUT_SEC` (`STOPPED_TIMEOUT_SEC`) + `FALLBACK_SEC`."""
        self._queue.put(_End(status, picture))
        ended = status in ("done", "diverged")
        patience = FINISH_TIMEOUT_SEC if ended else STOPPED_TIMEOUT_SEC
        try:
            self._thread.join(patience)
            if self._thread.is_alive():
                self._gave_up = f"not done within {patience:g} s"
                _kill_service()  # so that the thread's call to wandb fails, and it falls back
                self._thread.join(FALLBACK_SEC)
        finally:
            if self._thread.is_alive():  # it hangs again, or somebody pressed Ctrl-C
                _report(TimeoutError("no answer"))
                _kill_service()  # wandb would wait for it when the process exits

    def _work(self) -> None:
        """The thread: open a run, send rows until the end; if that fails, once more, offline."""
        try:
            with _hooks_of_this_process():
                mode, why = _mode()
            if mode == "disabled":
                log.info("W&B%s", why)
                return
            self._mirror_all(mode, why)
        except BaseException as error:  # wandb may exit; in a thread nobody would hear of it
            _report(error)
        finally:
            self._settled.set()
            _tear_down()

    def _mirror_all(self, mode: str, why: str) -> None:
        run = None
        try:
            run = self._open(mode)
            self._announce(run, why)
            self._follow(run)
        except Exception as error:
            _kill_service()
            _tear_down()
            if run is not None:
                shutil.rmtree(run.directory, ignore_errors=True)
            run = self._open("offline")
            run.send(self._record)
            self._announce(run, f" failed ({self._gave_up or _reason(error)}); offline")
            self._follow(run)

    def _follow(self, run: "_WandbRun") -> None:
        """Send rows as they come, to the end."""
        while self._end is None:
            item = self._queue.get()
            if isinstance(item, _End):
                self._end = item
            else:
                self._record.extend(item)
            run.send(self._record)
        run.finish(self._end)

    def _open(self, mode: str) -> "_WandbRun":
        with _hooks_of_this_process():
            return _WandbRun(self._config, self._directory, self._identity, mode)

    def _announce(self, run: "_WandbRun", why: str) -> None:
        """One line: where the curves are, or why they are offline and how to upload them."""
        if run.url is not None:
            log.info("W&B: %s", run.url)
        else:
            login = "python -m wandb login && " if why == NOT_LOGGED_IN else ""
            path = shlex.quote(str(run.directory))
            log.info("W&B%s; to upload later: %spython -m wandb sync %s", why, login, path)
        self._settled.set()


class _WandbRun:
    """A W&B run that is open.

    Its id is made of the run's identity, so a resumed run goes on under its old id. Online,
    epochs that the server has are not sent again. Offline, a resumed run writes a new file, for
    what a killed run wrote lacks its end: the whole record, and the older files are removed; but
    a file that ended well and has been uploaded remains, and the new one goes on after it, since
    an upload adds to what the server has.

    W&B's own step is the epoch. It sends a step when the next one comes, or at the end.
    """

    def __init__(
        self, config: Mapping[str, Any], directory: Path, identity: str, mode: str
    ) -> None:
        import wandb

        folder = directory / "wandb"
        before = set(folder.glob("*run-*"))
        group = directory.parent.name
        names = {config[key]["name"] for key in ("data", "model", "norm", "init", "scale")}
        try:
            self._run = wandb.init(
                project=config["tracker"]["project"],
                entity=config["tracker"]["entity"],
                id=f"wnrepro-{identity}-{group}"[:64],
                name=f"{group}/{directory.name}",
                group=group,
                job_type="train",
                tags=sorted({*names, config["precision"]}),
                config={k: v for k, v in config.items() if k not in ("tracker", "runs")},
                dir=directory,
                mode="online" if mode == "online" else "offline",
                resume="allow" if mode == "online" else None,
                reinit="create_new",  # whatever became of another run in this process
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or INIT_TIMEOUT_SEC),
                ),
            )
        except BaseException:
            for path in set(folder.glob("*run-*")) - before:
                shutil.rmtree(path, ignore_errors=True)
            raise
        self._image = wandb.Image
        self.directory = folder / Path(self._run.dir).parent.name
        self.url = self._run.url if mode == "online" else None
        self._sent = 0
        # A resumed run starts at the step after the last one.
        uploaded = {} if mode == "online" else _uploaded(before)
        self._next_epoch = self._run.step if mode == "online" else max(uploaded.values(), default=0)
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        for path in before - {self.directory} - uploaded.keys():
            if path.name.startswith("offline-run-"):
                shutil.rmtree(path, ignore_errors=True)

    def send(self, record: Sequence[Row]) -> None:
        """Log the rows that were not sent."""
        for row in record[self._sent :]:
            if row["epoch"] >= self._next_epoch:
                shown = {key: value for key, value in row.items() if value is not None}
                self._run.log(shown, step=row["epoch"])
                self._next_epoch = row["epoch"] + 1
            self._sent += 1

    def finish(self, end: _End) -> None:
        if end.picture is not None:
            image = self._image(str(end.picture))
            self._run.log({"curves": image}, step=max(0, self._next_epoch - 1))
        self._run.summary.update({"status": end.status})
        # To W&B, a run that was interrupted is one that may go on.
        self._run.finish(0 if end.status in ("done", "diverged") else 1)
        (self.directory / NEXT_EPOCH_FILE).write_text(f"{self._next_epoch}\n")


NEXT_EPOCH_FILE = "next_epoch.txt"
"""In the directory of a W&B run that ended well: the epoch that comes after it."""


def _uploaded(directories: Iterable[Path]) -> dict[Path, int]:
    """Offline runs that ended well and were uploaded, with the epoch that comes after each."""
    return {
        path: int((path / NEXT_EPOCH_FILE).read_text())
        for path in directories
        if list(path.glob("*.wandb.synced")) and (path / NEXT_EPOCH_FILE).exists()
    }


NOT_LOGGED_IN = ": not logged in, so offline"


def _mode() -> tuple[str, str]:
    """`online`, `offline` or `disabled`, and why; raises ValueError.

    What the user set ($WANDB_MODE, `wandb offline`) counts, but nobody is asked to log in.
    """
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        if not os.environ[name]:
            del os.environ[name]  # wandb does not take an empty variable for one that is not set
    # Reports of wandb on itself, which hold up the process at its end where no server answers.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    named = os.environ.get("WANDB_MODE")
    if named not in (None, "online", "run", "offline", "dryrun", "disabled"):
        raise ValueError(f"$WANDB_MODE is {named!r}: choose from online, offline, disabled")
    import wandb

    mode = wandb.setup(wandb.Settings(silent=True)).settings.mode
    source = f"$WANDB_MODE={named}" if named else "mode of your W&B settings"
    if mode == "disabled":
        return "disabled", f": off, as {source} says"
    if mode in ("offline", "dryrun"):
        return "offline", f": offline, as {source} says"
    logged_in = wandb.login(prompt=False, verify=False)
    return ("online", "") if logged_in else ("offline", NOT_LOGGED_IN)


@contextlib.contextmanager
def _hooks_of_this_process() -> Iterator[None]:
    """wandb replaces sys.exit and sys.excepthook, once more with each service: put them back."""
    before = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = before


def _kill_service() -> None:
    """Kill wandb's service process, so that whatever waits for it fails instead of waiting.

    There is no public way; where a version of wandb keeps it elsewhere, nothing is killed.
    """
    setup = sys.modules.get("wandb.sdk.wandb_setup")
    connection = getattr(getattr(setup, "_singleton", None), "_connection", None)
    process = getattr(getattr(connection, "_proc", None), "_process", None)
    if process is not None:
        process.kill()
        process.wait(10)


def _tear_down() -> None:
    """End wandb's service process and forget its state: the next run in this process starts anew.

    So it does not remain to be done by wandb's hooks at exit, which wait without limit.
    """
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        with contextlib.suppress(Exception, SystemExit):  # of a service that is dead
            wandb.teardown()


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _report(error: BaseException) -> None:
    log.warning(
        "W&B failed (%s): the training goes on, its record is in the run directory",
        _reason(error),
    )
