"""How far a run is: `status.json`, always the last file of its record that is written."""

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from wnrepro.errors import RunError
from wnrepro.replacement import replace_file
from wnrepro.runs.manifest import CONFIG_FILE, MANIFEST_FILE, utc_now
from wnrepro.runs.rows import METRICS_FILE, TIMING_FILE

STATUS_FILE = "status.json"
FILES, CHECKSUM = "files", "checksum"
"""Keys of `status.json` once the run has finished: SHA-256 of each file of its record, and of all
else that the status says. Runs of versions before 2026-12 have none."""

State = Literal["running", "done", "interrupted", "failed", "diverged"]


@dataclass(frozen=True)
class Status:
    """The state of a run, and which process said so when."""

    state: State
    """`running` also after SIGKILL, which nobody can report: then no process holds the lock."""
    epoch: int
    """Epochs completed; 0 before the first."""
    epochs: int | None
    """Epochs the run is to have; None until known."""
    pid: int
    host: str
    updated: str
    """UTC, ISO 8601."""
    error: str | None = None
    """One line; None unless `failed`."""
    signal: str | None = None
    """Name of the signal that interrupted the run, as `SIGTERM`; None unless `interrupted`."""

    @property
    def finished(self) -> bool:
        """Whether repeating the command would compute nothing new. Divergence is a result."""
        return self.state in ("done", "diverged")


_TYPES = get_type_hints(Status) | {"state": str}


def status_now(
    state: State,
    epoch: int,
    epochs: int | None,
    *,
    error: str | None = None,
    signal: str | None = None,
) -> Status:
    """The status as this process sees it now. Of `error` the first line is kept."""
    if state not in get_args(State):
        raise ValueError(f"status {state!r} is none of {', '.join(get_args(State))}")
    lines = (error or "").strip().splitlines()
    return Status(
        state=state,
        epoch=epoch,
        epochs=epochs,
        pid=os.getpid(),
        host=socket.gethostname(),
        updated=utc_now(),
        error=lines[0] if lines else None,
        signal=signal,
    )


def write_status(directory: Path, status: Status) -> None:
    """Write `status.json` in `directory`; of a finished run with the checksums of its record.

    Raises:
        RunError: the file cannot be written.
    """
    content = asdict(status)
    if status.finished:
        content[FILES] = _files(directory)
        content[CHECKSUM] = _checksum(content)
    replace_file(directory / STATUS_FILE, json.dumps(content, indent=2) + "\n")


def read_status(directory: Path) -> Status | None:
    """The status of the run in `directory`; None where there is none yet.

    Raises:
        RunError: the file cannot be read or is not a status; or the run has finished and a file
            of its record is not as it was then.
    """
    path = Path(directory) / STATUS_FILE
    try:
        content = json.loads(path.read_bytes())
        known = {field.name for field in fields(Status)}
        status = Status(**{key: value for key, value in content.items() if key in known})
        for field in fields(Status):
            value = getattr(status, field.name)
            if not isinstance(value, _TYPES[field.name]):
                raise TypeError(f"its {field.name} is {value!r}")
        if status.state not in get_args(State):
            raise ValueError(f"unknown state {status.state!r}")
        signed = status.finished and not content.keys().isdisjoint((FILES, CHECKSUM))
        if signed and content.get(CHECKSUM) != _checksum(content):
            raise ValueError("altered since the run finished")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is not the status of a run ({error}); delete it to go on without"
        ) from error
    if signed:
        _refuse_altered(path.parent, content[FILES])
    return status


def _checksum(content: Mapping[str, Any]) -> str:
    said = {key: value for key, value in content.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _files(directory: Path) -> dict[str, str]:
    found = {}
    for name in (MANIFEST_FILE, CONFIG_FILE, METRICS_FILE, TIMING_FILE):
        with suppress(FileNotFoundError):
            found[name] = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    return found


def _refuse_altered(directory: Path, expected: Mapping[str, str]) -> None:
    try:
        found = _files(directory)
    except OSError as error:
        raise RunError(f"cannot read the record in {directory}: {error}") from error
    altered = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
    if altered:
        raise RunError(
            f"altered or lost since the run finished: "
            f"{', '.join(str(directory / name) for name in altered)}; "
            "copy the whole directory again, or delete it to train again"
        )
