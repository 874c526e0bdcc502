"""Where curves are shown: Weights & Biases, or nowhere. The only package that imports wandb.

A run's record on disk is the truth; a tracker mirrors it.

    live.py        a training that is going on, which W&B must neither stop nor hold up
    upload.py      runs that have finished, sent from the tables; finished.py: what is sent
    wandb_run.py   what both write: one W&B run
    service.py     wandb's own process, and whether it may go online
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from wnrepro.tracking.live import WandbTracker
from wnrepro.tracking.wandb_run import Row


class Tracker(Protocol):
    def mirror(self, rows: Sequence[Row]) -> None:
        """Show every row, one per epoch, that has not been shown yet.

        `rows` is the whole record: what was given before, and new rows after it.
        """

    def finish(self, status: str, pictures: Mapping[str, Path] | None) -> None:
        """The run has ended, with `status`; show its pictures."""


class NoTracker:
    """`tracker=none`."""

    def mirror(self, rows: Sequence[Row]) -> None:
        pass

    def finish(self, status: str, pictures: Mapping[str, Path] | None) -> None:
        pass


def start(config: Mapping[str, Any], directory: Path, identity: str) -> Tracker:
    """The tracker that the config asks for, ready to mirror the run in `directory`.

    Returns after `live.START_WAIT_SEC` at the latest, whether W&B has answered by then or not.
    """
    if config["tracker"]["name"] == "none":
        return NoTracker()
    return WandbTracker(config, directory, identity)
