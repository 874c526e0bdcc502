"""One W&B run: what it is called, which rows it has been sent, how it ended."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Row = Mapping[str, Any]

INIT_TIMEOUT_SEC = 30.0
"""How long W&B's server has to accept a run before it is kept offline ($WANDB_INIT_TIMEOUT)."""


class End(NamedTuple):
    """How a run ended. pictures: files by name. summary: what else to say of it."""

    status: str
    pictures: Mapping[str, Path] | None = None
    summary: Mapping[str, Any] | None = None


def description(config: Mapping[str, Any], directory: Path, identity: str) -> dict[str, Any]:
    """Arguments of `wandb.init` that say which run it is: the same however it gets to W&B.

    config: resolved, or what is computed of it. directory: the run's. identity: the config's.
    """
    group = directory.parent.name
    parts = ("data", "model", "norm", "init", "scale")
    names = {config[key]["name"] for key in parts if key in config}
    return {
        "id": f"wnrepro-{identity}-{group}"[:64],
        "name": f"{group}/{directory.name}",
        "group": group,
        "job_type": "train",
        "tags": sorted({*names, config["precision"]}),
        "config": {k: v for k, v in config.items() if k not in ("tracker", "runs")},
    }


class WandbRun:
    """A W&B run that is open.

    Its id is made of the run's identity, so a resumed run goes on under its old id. Online,
    epochs that the server has are not sent again. Offline, a resumed run writes a new file, for
    what a killed run wrote lacks its end: the whole record, and the older files are removed; but
    a file that ended well and has been uploaded remains, and the new one goes on after it, since
    an upload adds to what the server has.

    W&B's own step is the epoch. It sends a step when the next one comes, or at the end.
    """

    def __init__(
        self, described: Mapping[str, Any], directory: Path, mode: str, **settings: Any
    ) -> None:
        """Open it.

        Args:
            described: see `description`; with `project` and `entity`.
            directory: where wandb writes its files, in a folder `wandb`.
            mode: "online", or "offline".
            settings: of wandb.Settings, further ones.
        """
        import wandb

        folder = directory / "wandb"
        before = set(folder.glob("*run-*"))
        try:
            self._run = wandb.init(
                **described,
                dir=directory,
                mode="online" if mode == "online" else "offline",
                resume="allow" if mode == "online" else None,
                reinit="create_new",  # whatever became of another run in this process
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or INIT_TIMEOUT_SEC),
                    **settings,
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

    def finish(self, end: End) -> None:
        if end.pictures:
            images = {name: self._image(str(path)) for name, path in end.pictures.items()}
            self._run.log(images, step=max(0, self._next_epoch - 1))
        self._run.summary.update({"status": end.status} | dict(end.summary or {}))
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


def mark_uploaded(directory: Path, wandb_id: str) -> None:
    """Mark the offline runs of the run in `directory` as uploaded, as `wandb sync` does.

    That command then passes them over; sent once more, their epochs would be there twice.
    """
    for path in directory.glob(f"wandb/offline-run-*/run-{wandb_id}.wandb"):
        path.with_suffix(".wandb.synced").touch()
