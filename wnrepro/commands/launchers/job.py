"""One run of a sweep, in whichever process it runs."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from wnrepro.config import Config
from wnrepro.errors import RunHeld, WnreproError
from wnrepro.runs.status import Status

Train = Callable[[Config], Status]


@dataclass(frozen=True)
class Outcome:
    """What became of one run of a sweep.

    state: of the run; `held`: another live process has it; `waiting`: it was not begun, since the
    sweep was stopped. error: one line, for `failed` and `held`.
    """

    state: Literal["done", "diverged", "interrupted", "failed", "held", "waiting"]
    error: str | None = None
    signal: str | None = None

    @property
    def finished(self) -> bool:
        return self.state in ("done", "diverged")


class Progress(Protocol):
    """Where a launcher says how its sweep goes."""

    def running(self, count: int) -> None:
        """So many runs are under way now."""

    def ended(self, k: int, outcome: Outcome) -> None:
        """The `k`-th run is over, for now at least; said once of each run."""


def outcome(train: Train, config: Config) -> Outcome:
    """Train one run; whatever goes wrong is its outcome and stops nobody else."""
    try:
        status = train(config)
    except RunHeld as error:
        return Outcome("held", str(error))
    except WnreproError as error:
        return Outcome("failed", str(error).splitlines()[0])
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        first = (str(error).splitlines() or [""])[0]
        return Outcome("failed", f"{type(error).__name__}: {first}")
    assert status.state != "running"
    return Outcome(status.state, status.error, status.signal)
