"""Finished runs of the tables, sent to Weights & Biases after the fact.

The server knows how far each run is. So an upload that broke off goes on when it is repeated, runs
that W&B followed to their end are not sent again, and those it followed in part are completed.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from threading import Event
from time import sleep
from typing import Any, Literal

from wnrepro.errors import TrackingError
from wnrepro.tracking import service
from wnrepro.tracking.finished import FinishedRun
from wnrepro.tracking.wandb_run import WandbRun, mark_uploaded

AT_ONCE = 8
"""Runs that are sent side by side: nearly all of the time is waiting for the server's answers."""

RETRIES = 5
"""How often a request that failed is made again; wandb waits 2 s before the first, then longer."""

REQUEST_TIMEOUT_SEC = 30.0
"""How long the server has to answer one request."""

FAILURES_IN_A_ROW = 8
"""After so many the fault is not a run's, and the remaining ones are not tried."""

CONFIRMATIONS_SEC = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Waits before the server is asked whether it has what was sent; it may take a while to say so."""


@dataclass(frozen=True)
class Standing:
    """How a run stands at the server. there: all of it; other: with numbers that differ.

    said: the same in words. tags: those it has at the server.
    """

    run: FinishedRun
    state: Literal["there", "in part", "missing", "other"]
    said: str
    tags: tuple[str, ...] = ()


class Project:
    """A W&B project of a user who is logged in; made by `opened`."""

    def __init__(self, name: str, entity: str | None, folder: Path) -> None:
        self._folder = folder
        self._given_up = Event()
        self._api = _logged_in()
        try:
            entity = entity or self._api.settings["entity"] or self._api.default_entity
        except Exception as error:
            raise _unusable(error) from error
        if entity is None:
            raise TrackingError("W&B knows no default entity for you: name one with --entity")
        self._account = {"project": name, "entity": entity}
        self._path = f"{entity}/{name}"
        self.place = self._path
        """Its address, once a run is there."""

    def compare(self, runs: Iterable[FinishedRun]) -> list[Standing]:
        """How each of the runs stands at the server; raises TrackingError if it does not say."""
        try:
            self._api.flush()
            found = {run.id: run for run in self._api.runs(self._path, per_page=200, lazy=False)}
        except Exception as error:
            if not str(error).startswith("Could not find project"):
                raise _unusable(error) from error
            found = {}  # the first run makes it
        for run in found.values():
            self.place = run.url.partition("/runs/")[0]
        return [_standing(run, found.get(run.id)) for run in runs]

    def send(self, standings: Sequence[Standing]) -> Iterator[tuple[Standing, str | None]]:
        """Send what the server lacks of each run; yields each as it is done, and why it failed.

        What is not reported as failed may still not have arrived: wandb does not say.
        `unconfirmed` does.
        """
        executor = ThreadPoolExecutor(AT_ONCE)
        futures = {executor.submit(self._send, standing): standing for standing in standings}
        in_a_row = 0
        try:
            for future in as_completed(futures):
                failure = _failure(future)
                in_a_row = in_a_row + 1 if failure else 0
                if in_a_row == FAILURES_IN_A_ROW:
                    self._given_up.set()
                yield futures[future], failure
        except BaseException:
            # Ctrl-C: wandb's calls, for which the threads and so the process wait, then fail.
            self._given_up.set()
            service.kill()
            raise
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def unconfirmed(self, sent: Sequence[Standing]) -> dict[str, str]:
        """Of the runs that were sent those that the server does not have whole: name and why."""
        try:
            for seconds in CONFIRMATIONS_SEC:
                if sent:
                    sleep(seconds)
                    standings = self.compare(each.run for each in sent)
                    sent = [each for each in standings if each.state != "there"]
        except TrackingError as error:
            return {each.run.name: f"was sent and not confirmed: {error}" for each in sent}
        return {each.run.name: f"was sent, but the server says: {each.said}" for each in sent}

    def _send(self, standing: Standing) -> None:
        if self._given_up.is_set():
            raise TrackingError(f"not tried after {FAILURES_IN_A_ROW} failures in a row")
        described = standing.run.settings | self._account
        described["tags"] = sorted({*described["tags"], *standing.tags})
        with tempfile.TemporaryDirectory(dir=self._folder) as directory:
            run = WandbRun(described, Path(directory), "online", **_settings())
            run.send(standing.run.rows)
            run.finish(standing.run.end)


@contextlib.contextmanager
def opened(project: str | None, entity: str | None) -> Iterator[Project]:
    """The project (`service.project`), for a `with` block; wandb's service process ends with it.

    Raises:
        TrackingError: wandb is not installed, offline or not logged in, or its server does not
            answer; the message says what to do.
    """
    with (
        service.hooks_of_this_process(),
        tempfile.TemporaryDirectory(prefix="wnrepro-", ignore_cleanup_errors=True) as folder,
        _wandb_directory(folder),
    ):
        try:
            yield Project(service.project(project), entity, Path(folder))
        finally:
            service.kill()  # all has been sent, or will not be: wandb would wait for it at exit
            service.tear_down()


def mark_offline_runs(runs: Iterable[FinishedRun], root: Path) -> None:
    """Mark what trainings left offline in `root` (runs.root) of runs that the server has whole."""
    for run in runs:
        mark_uploaded(root / run.name, run.id)


@contextlib.contextmanager
def _wandb_directory(folder: str) -> Iterator[None]:
    """Let wandb put its files there: its listing of runs leaves an empty folder for each."""
    before = os.environ.get("WANDB_DIR")
    os.environ["WANDB_DIR"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DIR"]
        else:
            os.environ["WANDB_DIR"] = before


def _logged_in() -> Any:
    """wandb's interface for queries."""
    try:
        mode, why = service.mode()
    except (ImportError, ValueError) as error:
        raise TrackingError(f"W&B cannot be used: {service.reason(error)}") from error
    if why.startswith(service.NOT_LOGGED_IN):
        raise TrackingError(
            f"you are not logged in to W&B{why.removeprefix(service.NOT_LOGGED_IN)}: do so with "
            "`python -m wandb login`, or set $WANDB_API_KEY, and repeat the command"
        )
    if mode != "online":
        raise TrackingError(
            f"W&B{why}, so nothing can be sent: put WANDB_MODE=online before the command to send "
            "all the same"
        )
    import wandb

    try:
        return wandb.Api(timeout=int(REQUEST_TIMEOUT_SEC))
    except Exception as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> TrackingError:
    said = _one_line(error)
    if any(word in said for word in ("invalid credentials", "401", "permission")):
        return TrackingError(f"W&B refuses your login ({said}): `python -m wandb login --relogin`")
    return TrackingError(f"W&B's server does not answer ({said}): repeat the command when it does")


def _one_line(error: Exception) -> str:
    """wandb's first line says what failed, the others what the server answered."""
    return shorten(str(error), 300) or type(error).__name__


def _settings() -> dict[str, Any]:
    """Of wandb.Settings: fail in minutes, not hours; and nothing about the machine that uploads."""
    import wandb

    requests = ("x_graphql", "x_file_stream", "x_file_transfer")
    wanted = {f"{request}_retry_max": RETRIES for request in requests}
    wanted |= {f"{request}_timeout_seconds": REQUEST_TIMEOUT_SEC for request in requests}
    wanted |= {"x_disable_machine_info": True, "x_save_requirements": False}
    wanted |= {"disable_git": True, "disable_code": True}
    # Those with x_ are wandb's own affair, and may go.
    return {key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}


def _failure(future: "Future[None]") -> str | None:
    try:
        future.result()
    except Exception as error:  # wandb raises whatever its parts raise
        return _one_line(error)
    return None


def _standing(run: FinishedRun, found: Any) -> Standing:
    if found is None:
        return Standing(run, "missing", "not there")
    tags, summary = tuple(found.tags or ()), found.summary_metrics
    last = int(summary.get("epoch") or 0)
    if last > len(run.rows):
        said = f"has {last} epochs there and {len(run.rows)} here"
        return Standing(run, "other", said, tags)
    for key, here in run.rows[last - 1].items() if last else ():
        if key in summary and not _same(summary[key], here):
            said = f"{key} of epoch {last} is {summary[key]} there and {here} here"
            return Standing(run, "other", said, tags)
    ended = found.state == "finished" and summary.get("status") == run.end.status
    if ended and last == len(run.rows):
        return Standing(run, "there", "there", tags)
    return Standing(run, "in part", f"{last} of {len(run.rows)} epochs there", tags)


def _same(there: Any, here: Any) -> bool:
    """Whether two numbers are equal; W&B writes some as text ("NaN"), which float reads."""
    try:
        one, other = float(there), float(here)
    except (TypeError, ValueError):
        return there == here
    return math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other))
