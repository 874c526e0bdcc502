"""Errors that a user can mend. They are shown as their message alone, without a traceback."""

import difflib
from collections.abc import Sequence


class WnreproError(Exception):
    """Something the user can mend: the message says what is wrong and what to do.

    A command that catches it prints the message and nothing else; every other exception is a
    defect of this package and keeps its traceback.
    """


class DataError(WnreproError):
    """Data files are missing, corrupt or cannot be read."""


class ConfigError(WnreproError):
    """A config names an unknown key, a wrong type, or a combination that makes no sense."""


class RunError(WnreproError):
    """A run cannot start or go on: its directory, its checkpoint or its device is in the way."""


class RunHeld(RunError):
    """Another live process has the run's directory."""


class TrackingError(WnreproError):
    """Weights & Biases cannot be used: nobody is logged in, or its server does not take part."""


def did_you_mean(got: str, options: Sequence[str]) -> str:
    """ " (did you mean …?)" with the closest of the options, or nothing."""
    close = difflib.get_close_matches(got, options, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
