"""Two settings compared: their final numbers over seeds, and what they differ in."""

from typing import NamedTuple

import pandas as pd

from wnrepro.analysis.records import COMPARABLE_TIMES, finals, finite
from wnrepro.analysis.selection import shown
from wnrepro.analysis.tidy import FINAL, differing, keys_of
from wnrepro.errors import ConfigError
from wnrepro.intervals import Interval, paired_difference, welch_difference
from wnrepro.tasks import task_of


class Compared(NamedTuple):
    """One metric of two settings, A and B.

    metric: its column, as `test_error_percent`. a, b: the means over the runs that have a number;
    n_a, n_b: how many. welch: mean of A − mean of B with Welch's interval, infinitely wide where a
    side has one run. paired: the mean of A − B over the seeds that both have, with its t interval;
    None where they share none.
    """

    metric: str
    a: float
    b: float
    n_a: int
    n_b: int
    welch: Interval
    paired: Interval | None


def compare(a: pd.DataFrame, b: pd.DataFrame) -> list[Compared]:
    """Each metric of which both have numbers; a, b: rows of `wnrepro.results(…).final`.

    Raises:
        ConfigError: one of them has runs of several settings, or none that is done; or they have no
            metric in common, or are the same runs.
    """
    for name, side in (("A", a), ("B", b)):
        _check(name, side)
    tasks = [task_of(side["config"].iloc[0]).name for side in (a, b)]
    if len(set(tasks)) > 1:
        raise ConfigError(f"A is {tasks[0]} and B {tasks[1]}: they have no metric in common")
    found = []
    for column in (each for each in a if each.startswith(FINAL) and each in b):
        ours, theirs = (finite(finals(side, column)) for side in (a, b))
        if ours and theirs:
            means = (sum(each.values()) / len(each) for each in (ours, theirs))
            welch = welch_difference([*ours.values()], [*theirs.values()])
            paired = paired_difference(ours, theirs) if ours.keys() & theirs.keys() else None
            metric = column.removeprefix(FINAL)
            found.append(Compared(metric, *means, len(ours), len(theirs), welch, paired))
    if not found:
        raise ConfigError("A and B have no metric in common, so there is nothing to compare")
    if set(a["identity"]) == set(b["identity"]) and all(each.a == each.b for each in found):
        raise ConfigError("A and B are the same runs")
    return found


def differences(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Key of the config, or column of hardware and code → its values in A and in B."""
    both = pd.concat([a, b], keys=["A", "B"])
    keys = keys_of(both["config"])
    further = pd.concat([keys[differing(keys)], both[list(COMPARABLE_TIMES)]], axis=1)
    values = {key: [", ".join(shown(further.loc[s, key])) for s in "AB"] for key in further}
    return {key: (ours, theirs) for key, (ours, theirs) in values.items() if ours != theirs}


def _check(name: str, side: pd.DataFrame) -> None:
    keys = keys_of(side["config"])
    if mixed := differing(keys):
        first, *others = (key.removesuffix(".name") for key in mixed)
        known = " or ".join(f"{first}={value}" for value in shown(keys[mixed[0]]))
        more = f"; they differ in {', '.join(others)} too" if others else ""
        raise ConfigError(f"{name} mixes runs of several settings: add {known}{more}")
    if not (side["status"] == "done").any():
        counted = ", ".join(f"{n} {status}" for status, n in side["status"].value_counts().items())
        raise ConfigError(
            f"{name} has no run that is done, but {counted}; a picture shows these: "
            "python -m wnrepro.runs plot"
        )
