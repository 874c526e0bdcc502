"""Where a run was made, as it stands beside every number of the claims and of the page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

Run = Mapping[str, Any]
"""A row of `Records.runs`."""


def hardware(run: Run) -> str:
    """The GPU, else the CPU with its threads."""
    if not missing(run["gpu"]):
        return str(run["gpu"])
    if missing(run["threads"]):
        return str(run["cpu"])
    return f"{run['cpu']}, {run['threads']:g} thread{'' if run['threads'] == 1 else 's'}"


def commit(run: Run) -> str:
    """Its first ten digits, of each one if the run was resumed; and whether it was clean."""
    if missing(run["commit"]):
        return "no commit"
    changed = " with changes" if run["dirty"] else ""
    return " + ".join(part[:10] for part in str(run["commit"]).split(" + ")) + changed


def missing(value: object) -> bool:
    return bool(pd.isna(value)) or value == ""
