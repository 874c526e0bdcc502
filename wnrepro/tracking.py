"""Where curves are shown: Weights & Biases, or nowhere. The only module that imports wandb.

A run's record on disk is the truth; a tracker mirrors it. So a tracker is given the whole record
each time and sends what it has not sent, and nothing that goes wrong with it stops a training.
"""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

FINISH_TIMEOUT_SEC = 120.0
"""How long the end of a run waits for W&B to take what is left."""


class Tracker(Protocol):
    def mirror(self, rows: Sequence[Row]) -> None:
        """Show every row, one per epoch, that has not been shown yet."""

    def finish(self, status: str, picture: Path | None) -> None:
        """The run has ended, with `status`; show the picture of its curves."""


class NoTracker:
    """`tracker=none`."""

    def mirror(self, rows: Sequence[Row]) -> None:
        pass

    def finish(self, status: str, picture: Path | None) -> None:
        pass


def start(config: Mapping[str, Any], directory: Path, identity: str) -> Tracker:
    """The tracker that the config asks for, ready to mirror the run in `directory`."""
    if config["tracker"]["name"] == "none":
        return NoTracker()
    try:
        return WandbTracker(config, directory, identity)
    except Exception as error:
        _report("start", error)
        return NoTracker()


class WandbTracker:
    """One W&B run per run.

    The W&B id is made of the run's identity, so a resumed run goes on under its old id. Online,
    epochs that the server has are not sent again. Offline, W&B cannot go on with a file (each
    file uploaded replaces what the server has), so a resumed run writes a new one from the
    record, complete, and the older are removed: one upload shows each epoch once.
    """

    def __init__(self, config: Mapping[str, Any], directory: Path, identity: str) -> None:
        import wandb

        self._failed = False
        self._picture_of = wandb.Image
        mode = _mode(wandb)
        names = {key: config[key]["name"] for key in ("data", "model", "norm", "init", "scale")}
        folder = directory / "wandb"
        older = list(folder.glob("offline-run-*"))
        self._run = wandb.init(
            project=config["tracker"]["project"],
            entity=config["tracker"]["entity"],
            id=f"wnrepro-{identity}-{directory.parent.name}"[:64],
            name=f"{directory.parent.name}/{directory.name}",
            group=directory.parent.name,
            job_type="train",
            tags=sorted({*names.values(), config["precision"]}),
            config={key: value for key, value in config.items() if key not in ("tracker", "runs")},
            dir=directory,
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(
                silent=True,
                console="off",
                finish_timeout=FINISH_TIMEOUT_SEC,
            ),
        )
        for path in older:
            shutil.rmtree(path, ignore_errors=True)
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        # W&B's own step is the epoch, and a resumed run starts at the step after the last one.
        self._next = self._run.step if mode == "online" else 0
        if mode == "online":
            log.info("W&B: %s", self._run.url)
        elif mode == "offline":
            log.info(
                "W&B: not logged in, so offline; to upload later: wandb login, then wandb sync %s",
                Path(self._run.dir).parent,
            )

    def mirror(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row["epoch"] >= self._next and not self._failed:
                self._try("log", self._log, row)

    def _log(self, row: Row) -> None:
        self._run.log({k: v for k, v in row.items() if v is not None}, step=row["epoch"])
        self._next = row["epoch"] + 1

    def finish(self, status: str, picture: Path | None) -> None:
        if picture is not None:
            image = {"curves": self._picture_of(str(picture))}
            self._try("log", self._run.log, image, step=self._next - 1)
        self._try("summary", self._run.summary.update, {"status": status})
        # To W&B, a run that was interrupted is one that may go on.
        self._try("finish", self._run.finish, 0 if status in ("done", "diverged") else 1)

    def _try(self, what: str, action: Any, *arguments: Any, **options: Any) -> None:
        if self._failed:
            return
        try:
            action(*arguments, **options)
        except Exception as error:
            self._failed = True
            _report(what, error)


def _mode(wandb: Any) -> Any:
    """The mode the user set ($WANDB_MODE), else online when logged in, else offline."""
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"]
    logged_in = wandb.login(prompt=False, verify=False)
    return "online" if logged_in else "offline"


def _report(what: str, error: Exception) -> None:
    reason = str(error).strip().splitlines()
    log.warning(
        "W&B failed (%s: %s): the training goes on, its record is in the run directory",
        what,
        reason[0] if reason else type(error).__name__,
    )
