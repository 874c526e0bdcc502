"""How far a run is: `status.json`, always the last file that is written."""

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args, get_type_hints

from wnrepro.errors import RunError
from wnrepro.replacement import replace_file

STATUS_FILE = "status.json"

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


def utc_now() -> str:
    """The time in UTC to the second, as `2026-01-31T12:00:00+00:00`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_status(directory: Path, status: Status) -> None:
    """Write `status.json` in `directory`.

    Raises:
        RunError: the file cannot be written.
    """
    replace_file(directory / STATUS_FILE, json.dumps(asdict(status), indent=2) + "\n")


def read_status(directory: Path) -> Status | None:
    """The status of the run in `directory`; None where there is none yet.

    Raises:
        RunError: the file cannot be read or is not a status.
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
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is not the status of a run ({error}); delete it to go on without"
        ) from error
    return status
