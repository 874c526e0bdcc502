"""What a caption says of the runs behind a figure or table: n, interval, divergence, provenance."""

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS
from wnrepro.statistics import T

MEAN_AND_INTERVAL = f"Mean and {T}"


def arms_in(runs: pd.DataFrame) -> list[str]:
    """The arms that have runs, in the order of the registry."""
    present = set(runs["arm"])
    return [arm for arm in ARMS if arm in present]


def seeds(runs: pd.DataFrame, by: str = "arm") -> str:
    """ "n = 5 seeds", or "n = 3 to 5 seeds (plain 5, bn 3)" where groups differ."""
    counts = runs.groupby(by, sort=False)["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    if low == high:
        return f"n = {low} seed{'s' if low > 1 else ''}"
    each = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
    return f"n = {low} to {high} seeds ({each})"


def completeness(name: str, records: Records) -> str:
    """How many of the planned runs are there, where some are missing; else nothing."""
    evidence = EVIDENCE[name]
    have = evidence.have(records.runs)
    if have >= evidence.planned:
        return ""
    return f"So far {have} of {evidence.planned} planned runs; the others: {evidence.command}."


def divergence(runs: pd.DataFrame) -> str:
    """Which runs diverged: named up to six, counted by arm beyond."""
    lost = runs[runs["status"] == "diverged"]
    if lost.empty:
        return "No run diverged."
    if len(lost) > 6:
        counts = Counter(lost["arm"])
        by_arm = ", ".join(f"{counts[arm]} of {arm}" for arm in arms_in(lost))
        return f"{len(lost)} of {len(runs)} runs diverged ({by_arm})."
    named = "; ".join(
        f"{arm} seed {seed}, learning rate {rate:g}, in epoch {epoch}"
        for arm, seed, rate, epoch in zip(
            lost["arm"], lost["seed"], lost["learning_rate"], lost["epochs_done"], strict=True
        )
    )
    return f"Diverged ({len(lost)} of {len(runs)} runs): {named}."


def provenance(runs: pd.DataFrame) -> str:
    """Hardware, version, commits, and whether any run was not from a clean commit."""
    hardware = _several(runs["gpu"].fillna(runs["cpu"]))
    threads = _several(f"{t:g}" for t in runs["threads"][runs["gpu"].isna()].dropna())
    if threads:
        hardware += f", {threads} thread{'' if threads == '1' else 's'}"
    commits = _several(
        part[:7] for commit in runs["commit"].dropna() for part in commit.split(" + ")
    )
    dirty = int(runs["dirty"].sum())
    said = f"{hardware or 'hardware not recorded'}; torch {_several(runs['torch'])}; "
    said += f"commit {commits or 'not recorded'}."
    if dirty:
        said += f" {dirty} of {len(runs)} runs were not made from a clean commit."
    return said


def caption(name: str, records: Records, *parts: str) -> str:
    """`parts`, then what is to be said of the runs of the evidence `name`."""
    runs = records.runs
    said = (*parts, divergence(runs), completeness(name, records), provenance(runs))
    return " ".join(part for part in said if part)


def _several(values: Iterable[object]) -> str:
    return " and ".join(sorted({str(value) for value in values if pd.notna(value)}))
