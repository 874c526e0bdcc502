"""How many epochs an arm takes to a training error: 5, 3 and 1 %, as one reads figure 1."""

import math
from collections.abc import Mapping
from functools import partial

import pandas as pd

from wnrepro.analysis import exhibit
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import COMPARABLE_TIMES, DONE, Records, finite, tested
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.intervals import T

LEVELS_PERCENT = (5.0, 3.0, 1.0)


def first_epoch(errors: Mapping[int, float], percent: float) -> float:
    """The first epoch with a training error of at most `percent`; NaN if there is none.

    errors: epoch → training error. As recorded: nothing is smoothed, nothing interpolated, and a
    value that is no number reaches nothing.
    """
    return min((epoch for epoch, error in errors.items() if error <= percent), default=math.nan)


def first_epochs(
    records: Records, runs: pd.DataFrame, level: float, part: str = "train"
) -> dict[int, float]:
    """Seed → the first epoch with a headline metric as good as `level`; NaN if there is none.

    runs: of one arm at one setting. part: of the data.
    """
    task = records.task
    column = tested(task) if part == "test" else f"{part}_{task.headline}"
    values = records.curves[column]
    good = records.curves[values <= level if task.smaller_is_better else values >= level]
    first = good.groupby("identity")["epoch"].min().reindex(runs.index)
    return {int(s): float(epoch) for s, epoch in zip(runs["seed"], first, strict=True)}


def relative_times(records: Records, arm: str, to: str = "plain") -> dict[int, float]:
    """Seed → time per training epoch (median, without evaluation) of `arm` over that of `to`.

    Only pairs of runs to the end, of one seed, one commit and one torch, on the same hardware with
    the same number of threads; on a machine that is shared with other work the ratio is theirs too.
    """
    done = records.runs[records.runs["status"] == DONE].fillna({"gpu": ""})
    done = done.set_index(["seed", *COMPARABLE_TIMES])
    ours, theirs = (done["time_per_epoch_sec"][done["arm"] == each] for each in (arm, to))
    return {int(place[0]): float(ratio) for place, ratio in (ours / theirs).dropna().items()}


def rows(records: Records, paper: Paper, beside_paper: bool = False) -> exhibit.Rows:
    """Epochs to 5, 3 and 1 % training error by arm, and time per epoch relative to plain.

    A seed that does not get there is censored: its number is known to be larger and no more. As
    soon as there is one there is no mean and no interval.
    """
    for arm, own in records.by_arm():
        said, numbers = {"arm": ARMS[arm].label}, {"arm": arm}
        for percent in LEVELS_PERCENT:
            found = first_epochs(own, own.runs, percent)
            known = finite(found)
            interval = exhibit.interval_of(known) if len(known) == len(found) else None
            text = f"not in {own.runs['epochs'].max()}"
            if known:
                first = min(known.values())
                text = f"{len(known)} of {len(found)} seeds, the first at {first:g}"
            text = exhibit.with_interval(interval, 1) if interval else text
            said[f"epochs to {percent:g} %"] = text
            key = f"epochs_to_{percent:g}_percent"
            numbers |= exhibit.interval_values(key, interval) | {f"{key}_reached": len(known)}
            if beside_paper:
                theirs = first_epoch(paper.training_error(arm), percent)
                said[f"the paper's to {percent:g} %"] = exhibit.number(theirs, 0)
                numbers[f"{key}_paper"] = theirs
        time = exhibit.interval_of(relative_times(records, arm)) if arm != "plain" else None
        n = own.runs["seed"].nunique()
        said["time per epoch / plain's"] = exhibit.with_interval(time, n=n)
        numbers |= exhibit.interval_values("time_per_epoch_over_plain", time)
        yield said | {"n": str(n)}, numbers | {"n": n}


def _table(name: str, evidence: str, title: str, beside_paper: bool = False) -> exhibit.Table:
    theirs = "The paper's: read off its figure 1, whose epochs may count from 0. " * beside_paper
    return exhibit.Table(
        name=name,
        title=f"{title}: epochs to a training error",
        evidence=(evidence,),
        says=f"{theirs}The first epoch whose training error is at most the level, as recorded; "
        f"mean over seeds with its {T}, given only where every seed got there; no width: all "
        "seeds took equally many, which is known to one epoch. Time per epoch: ratio of medians, "
        "paired by seed on equal hardware, with its t interval; where the machine was shared with "
        "other work (results/README.md) it is no measure of the arms.",
        rows=partial(rows, beside_paper=beside_paper),
    )


TABLES = (
    _table("epochs_cifar_bf16", "cifar_table1_bf16", "CIFAR-10, bf16", beside_paper=True),
    _table("epochs_cifar_float32", "cifar_table1", "CIFAR-10, float32", beside_paper=True),
    *(
        _table(f"epochs_{data}", f"{data}_arms", CATALOGUE[data].title)
        for data in ("mnist", "fashion_mnist")
    ),
)
