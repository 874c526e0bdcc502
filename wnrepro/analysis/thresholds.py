"""How many epochs an arm takes to a training error: 5, 3 and 1 %, as one reads figure 1."""

import math
from dataclasses import dataclass

import pandas as pd

from wnrepro.analysis.records import COMPARABLE_TIMES, Records
from wnrepro.statistics import Interval, t_interval

LEVELS_PERCENT = (5.0, 3.0, 1.0)


def first_epoch(curve: pd.DataFrame, percent: float) -> int | None:
    """The first epoch with a training error of at most `percent`; None if there is none.

    curve: columns `epoch` and `train_error_percent`. As recorded: nothing is smoothed, nothing
    interpolated, and a value that is no number reaches nothing.
    """
    ordered = curve.sort_values("epoch")
    reached = ordered["epoch"][ordered["train_error_percent"] <= percent]
    return None if reached.empty else int(reached.iloc[0])


@dataclass(frozen=True)
class Reach:
    """Epochs to one level, over seeds.

    epochs: seed → epoch, None where the seed did not reach it within `within` epochs, diverged or
    not. Such a seed's number is censored: it is known to be larger and no more, so there is no
    mean and no interval as soon as there is one.
    """

    epochs: dict[int, int | None]
    within: int

    @property
    def n(self) -> int:
        return len(self.epochs)

    @property
    def reached(self) -> int:
        return sum(epoch is not None for epoch in self.epochs.values())

    def interval(self) -> Interval | None:
        """Mean over seeds; None unless every seed has reached the level."""
        known = [epoch for epoch in self.epochs.values() if epoch is not None]
        return t_interval(known) if known and len(known) == self.n else None


def reach(records: Records, arm: str, percent: float) -> Reach | None:
    """Of all runs of `arm`; None if there are none. records: one run per arm and seed."""
    runs = records.runs[records.runs["arm"] == arm].sort_values("seed")
    if runs.empty:
        return None
    curves = dict(list(records.curves.groupby("identity")))
    found = {
        int(seed): first_epoch(curves[identity], percent)
        for identity, seed in zip(runs.index, runs["seed"], strict=True)
    }
    return Reach(found, int(runs["epochs"].max()))


def in_paper(figure1: pd.DataFrame, arm: str, percent: float) -> int | None:
    """The same, read off the paper's curve; None where it does not go that low."""
    return first_epoch(figure1[figure1["arm"] == arm], percent)


def relative_times(records: Records, arm: str, to: str = "plain") -> dict[int, float]:
    """Seed → time per training epoch (median, without evaluation) of `arm` over that of `to`.

    Only pairs of runs to the end, of one seed, one commit and one torch, on the same hardware with
    the same number of threads; on a machine that is shared with other work the ratio is theirs too.
    """
    machine = ["seed", *COMPARABLE_TIMES]
    done = records.runs[records.runs["status"] == "done"].fillna({"gpu": ""})
    ours, theirs = (done[done["arm"] == each] for each in (arm, to))
    pairs = ours.merge(theirs, on=machine)
    ratios = pairs["time_per_epoch_sec_x"] / pairs["time_per_epoch_sec_y"]
    found = zip(pairs["seed"], ratios, strict=True)
    return {int(seed): float(ratio) for seed, ratio in found if math.isfinite(ratio)}
