"""What a caption says of the runs behind a figure or table: n, interval, divergence, provenance."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.records import DIVERGED, DONE, UNFINISHED, Records, arms_in, finished


def seeds(runs: pd.DataFrame) -> str:
    """ "n = 5 seeds", or "n = 3 to 5 seeds" where settings differ in how many they have.

    A run that diverged is in no mean and does not count; nor does one in progress where others of
    its setting have finished.
    """
    counts = _counts(runs)
    return f"n = {_range(counts)} seed{_s(counts.max())}"


def seeds_by_arm(runs: pd.DataFrame) -> str:
    """The same, with the number of each arm where they differ."""
    counts = _counts(runs)
    if counts.min() == counts.max():
        return seeds(runs)
    return f"{seeds(runs)} ({', '.join(f'{arm} {_range(counts[arm])}' for arm in arms_in(runs))})"


def heading(name: str, records: Records) -> str:
    """The line above a figure: experiment, interval, n, and how many runs diverged or go on."""
    n = seeds(records.runs)
    interval = "no interval" if n == "n = 1 seed" else "mean and 95 % t interval"
    counts = records.runs["status"].value_counts()
    said = [
        f"{counts[status]} run{_s(counts[status])} {words}"
        for status, words in ((DIVERGED, "diverged"), (UNFINISHED, "in progress"))
        if status in counts
    ]
    return ", ".join([f"{EVIDENCE[name].title}; {interval}", n, *said])


def completeness(name: str, records: Records) -> str:
    """How many of the planned runs have finished, if not all; else nothing."""
    evidence = EVIDENCE[name]
    have = evidence.have(records.runs)
    if have >= evidence.planned:
        return ""
    return f"So far {have} of {evidence.planned} planned runs; the others: {evidence.command}."


def progress(runs: pd.DataFrame) -> str:
    """How far the runs in progress have come, by arm; nothing if there are none."""
    said = []
    for arm in arms_in(runs):
        own = runs[(runs["arm"] == arm) & (runs["status"] == UNFINISHED)]
        if len(own):
            done = " and ".join(str(epochs) for epochs in sorted(own["epochs_done"])[::-1])
            of = f"{done} of {own['epochs'].max()} epochs"
            said.append(f"{arm}: {of}, {len(own)} seed{_s(len(own))} in progress")
    return f"{'; '.join(said)}." if said else ""


def divergence(runs: pd.DataFrame) -> str:
    """Which runs diverged: named up to six, counted by arm beyond."""
    lost = runs[runs["status"] == DIVERGED]
    if lost.empty:
        return "No run diverged."
    if len(lost) > 6:
        counts = Counter(lost["arm"])
        by_arm = ", ".join(f"{counts[arm]} of {arm}" for arm in arms_in(lost))
        return f"{len(lost)} of {len(runs)} runs diverged ({by_arm}). No mean includes them."
    columns = ("arm", "seed", "learning_rate", "epochs_done")
    named = "; ".join(
        f"{arm} seed {seed}, learning rate {rate:g}, in epoch {epoch}"
        for arm, seed, rate, epoch in lost[list(columns)].itertuples(index=False)
    )
    return f"Diverged ({len(lost)} of {len(runs)} runs): {named}. No mean includes them."


def provenance(runs: pd.DataFrame) -> str:
    """Hardware, version, commits, and how many runs were not made from a clean commit."""
    hardware = _several(runs["gpu"].fillna(runs["cpu"]))
    threads = _several(f"{t:g}" for t in runs["threads"][runs["gpu"].isna()].dropna())
    if threads:
        hardware += f", {threads} thread{'' if threads == '1' else 's'}"
    commits = _several(
        part[:7] for commit in runs["commit"].dropna() for part in commit.split(" + ")
    )
    said = f"{hardware or 'hardware not recorded'}; torch {_several(runs['torch'])}; "
    said += f"commit {commits or 'not recorded'}."
    if dirty := int(runs["dirty"].sum()):
        said += f" {dirty} of {len(runs)} runs were not made from a clean commit."
    return said


def hardware(run: Mapping[str, Any]) -> str:
    """The GPU of a row of `Records.runs`, else the CPU with its threads."""
    if not pd.isna(run["gpu"]):
        return str(run["gpu"])
    if pd.isna(run["threads"]):
        return str(run["cpu"])
    return f"{run['cpu']}, {run['threads']:g} thread{'' if run['threads'] == 1 else 's'}"


def commit(run: Mapping[str, Any]) -> str:
    """Its first ten digits, of each one if the run was resumed; and whether it was clean."""
    if pd.isna(run["commit"]):
        return "no commit"
    changed = " with changes" if run["dirty"] else ""
    return " + ".join(part[:10] for part in str(run["commit"]).split(" + ")) + changed


def caption(name: str, records: Records, timed: bool = False) -> str:
    """What is to be said of the runs of the evidence `name`.

    timed: only those are shown whose times may be compared.
    """
    runs = (records.timed_alike() if timed else records).runs
    n = seeds_by_arm(runs)
    said = [f"{EVIDENCE[name].title}: {n}.", progress(runs)]
    if n == "n = 1 seed":
        said.append("One run each: no mean, no interval.")
    if out := len(records.runs) - len(runs):
        left_out = f"{out} of {len(records.runs)} runs are left out, from other hardware, torch "
        said.append(f"{left_out}or commit: their times do not compare.")
    said += [divergence(runs), completeness(name, records), provenance(runs)]
    return " ".join(part for part in said if part)


def _counts(runs: pd.DataFrame) -> pd.Series:
    """Runs in a mean, by arm and setting; 0 where all diverged."""
    by = [runs["arm"], runs["setting"]]
    waiting = (~runs["setting"].isin(finished(runs)["setting"])).groupby(by).sum()
    return (runs["status"] == DONE).groupby(by).sum() + waiting


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _several(values: Iterable[object]) -> str:
    return " and ".join(sorted({str(value) for value in values if pd.notna(value)}))


def _s(count: int) -> str:
    return "" if count == 1 else "s"
