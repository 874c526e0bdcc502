"""Curves over seeds: the mean at each epoch with its interval."""

from dataclasses import dataclass

import numpy as np

from wnrepro.analysis.records import Records
from wnrepro.statistics import t_quantile


@dataclass(frozen=True)
class Average:
    """One arm's curve over the seeds that were trained to the end.

    x: epochs (1 is the first), or mean training time in seconds up to them. mean, low, high: at
    each x, with the 95 % t interval over seeds (NaN where n is 1). n: seeds. stopped: the curves
    of those that diverged, each (x, values) up to its last finite value.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int
    stopped: tuple[tuple[np.ndarray, np.ndarray], ...] = ()


def over_seeds(records: Records, arm: str, column: str, against: str = "epoch") -> Average | None:
    """The curve of `arm` in `column` of `records.curves`; None where no run has a number there.

    records: at most one run per arm and seed. A run that diverged is no part of the mean, at any
    epoch: a mean whose seeds change along the way would show the change and not the arm. Nor does
    it vanish: it is in `stopped`.
    """
    runs = records.runs[records.runs["arm"] == arm]
    columns = list(dict.fromkeys(("identity", "epoch", column, "train_time_sec")))
    curves = records.curves.loc[records.curves["identity"].isin(runs.index), columns]
    if against == "train_time_sec":
        curves = curves.assign(train_time_sec=curves.groupby("identity")[against].cumsum())
    stopped = []
    for identity in runs.index[runs["status"] != "done"]:
        curve = curves[curves["identity"] == identity]
        known = np.isfinite(curve[column])
        stopped.append((curve[against][known].to_numpy(float), curve[column][known].to_numpy()))
    done = curves[curves["identity"].isin(runs.index[runs["status"] == "done"])]
    values = done.pivot(index="epoch", columns="identity", values=column).dropna(how="all")
    if values.empty and not any(len(x) for x, _ in stopped):
        return None
    n = values.shape[1]
    mean = values.mean(axis="columns", skipna=False).to_numpy()
    half = np.full_like(mean, np.nan)
    if n > 1:
        half = t_quantile(n - 1) * values.std(axis="columns", skipna=False).to_numpy() / np.sqrt(n)
    x = values.index.to_numpy(float)
    if against != "epoch" and n:
        times = done.pivot(index="epoch", columns="identity", values=against)
        x = times.loc[values.index].mean(axis="columns", skipna=False).to_numpy()
    return Average(x, mean, mean - half, mean + half, n, tuple(stopped))
