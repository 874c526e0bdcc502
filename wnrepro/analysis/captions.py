"""What a caption says of the runs behind a figure or table: n, interval, divergence, provenance."""

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS


def arms_in(runs: pd.DataFrame) -> list[str]:
    """The arms that have runs, in the order of the registry."""
    present = set(runs["arm"])
    return [arm for arm in ARMS if arm in present]


def seeds(runs: pd.DataFrame) -> str:
    """ "n = 5 seeds", or "n = 3 to 5 seeds", where settings differ in how many they have.

    Of runs to the end: one that diverged is in no mean.
    """
    counts = _counts(runs)
    return f"n = {_range(counts)} seed{'' if counts.max() == 1 else 's'}"


def seeds_by_arm(runs: pd.DataFrame) -> str:
    """The same, with the number of each arm where they differ."""
    counts = _counts(runs)
    if counts.min() == counts.max():
        return seeds(runs)
    return f"{seeds(runs)} ({', '.join(f'{arm} {_range(counts[arm])}' for arm in arms_in(runs))})"


def heading(name: str, records: Records) -> str:
    """The line above a figure: experiment, interval, n, and whether runs diverged."""
    n = seeds(records.runs)
    shown = "no interval" if n == "n = 1 seed" else "mean and 95 % t interval"
    lost = len(records.diverged)
    divergence = f", {lost} run{'' if lost == 1 else 's'} diverged" if lost else ""
    return f"{EVIDENCE[name].title}; {shown}, {n}{divergence}"


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
    no_mean = "No mean includes them."
    if len(lost) > 6:
        counts = Counter(lost["arm"])
        by_arm = ", ".join(f"{counts[arm]} of {arm}" for arm in arms_in(lost))
        return f"{len(lost)} of {len(runs)} runs diverged ({by_arm}). {no_mean}"
    named = "; ".join(
        f"{arm} seed {seed}, learning rate {rate:g}, in epoch {epoch}"
        for arm, seed, rate, epoch in zip(
            lost["arm"], lost["seed"], lost["learning_rate"], lost["epochs_done"], strict=True
        )
    )
    return f"Diverged ({len(lost)} of {len(runs)} runs): {named}. {no_mean}"


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


def caption(name: str, records: Records, timed: bool = False) -> str:
    """What is to be said of the runs of the evidence `name`.

    timed: only those are shown whose times may be compared.
    """
    runs = (records.timed_alike() if timed else records).runs
    n = seeds_by_arm(runs)
    said = [f"{EVIDENCE[name].title}: {n}."]
    if n == "n = 1 seed":
        said.append("One run each: no mean, no interval.")
    if out := len(records.runs) - len(runs):
        said.append(f"{out} of {len(records.runs)} runs are left out, from other hardware, torch ")
        said[-1] += "or commit: their times do not compare."
    said += [divergence(runs), completeness(name, records), provenance(runs)]
    return " ".join(part for part in said if part)


def _counts(runs: pd.DataFrame) -> pd.Series:
    """Runs to the end, by arm and setting; 0 where all diverged."""
    done = runs["status"] == "done"
    return done.groupby([runs["arm"], runs["setting"]]).sum()


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _several(values: Iterable[object]) -> str:
    return " and ".join(sorted({str(value) for value in values if pd.notna(value)}))
