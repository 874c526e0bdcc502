"""Errors after the last epoch, arm by arm, and their difference from plain."""

from statistics import median

import pandas as pd

from wnrepro.analysis import exhibit
from wnrepro.analysis.canvas import TEST, TRAIN
from wnrepro.analysis.exhibits.error_curves import RATES_DIFFER
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import COMPARABLE_TIMES, Records, finals, finite
from wnrepro.arms import ARMS
from wnrepro.intervals import paired_difference, welch_difference

SECONDS = "time_per_epoch_sec"


def tabulate(chosen: dict[str, Records], _: Paper) -> exhibit.Cells:
    """The difference from plain is paired by seed; beside it Welch's interval, which does not pair.

    Where a run of either broke down it is that of the medians, without an interval.
    """
    ((name, records),) = chosen.items()
    words, values = [], []
    plain = finite(finals(records.runs[records.runs["arm"] == "plain"]))
    for arm, own in records.by_arm():
        runs = own.runs.sort_values("seed")
        trained, test = exhibit.interval_of(finals(runs, TRAIN)), finals(runs, TEST)
        tested, known = exhibit.interval_of(test), finite(test)
        paired = arm != "plain" and known.keys() & plain.keys()
        difference = paired_difference(known, plain) if paired else None
        welch = welch_difference([*known.values()], [*plain.values()]) if paired else None
        down = exhibit.broken(test)
        said = exhibit.with_interval(difference, n=len(known))
        apart = exhibit.with_interval(welch)
        if paired and (down or exhibit.broken(plain)):
            said = f"{exhibit.number(median(known.values()) - median(plain.values()))} of medians"
            apart = exhibit.MISSING
        alike = len(runs[list(COMPARABLE_TIMES)].drop_duplicates()) == 1
        time = exhibit.interval_of(finals(runs, SECONDS)) if alike else None
        words.append(
            {
                "arm": ARMS[arm].label,
                "training error (%)": exhibit.summary(finals(runs, TRAIN), down, 3),
                "test error (%)": exhibit.summary(test, down),
                "test error − plain's": said,
                "not paired": apart,
                "n": exhibit.count(test),
                "all test errors": exhibit.listed(test.values()),
            }
        )
        values.append(
            {"arm": arm, "n": len(known), "diverged": len(test) - len(known)}
            | {"broke_down": len(down)}
            | exhibit.interval_values(TRAIN, trained)
            | exhibit.interval_values(TEST, tested)
            | exhibit.interval_values("test_error_minus_plain", difference)
            | exhibit.interval_values("test_error_minus_plain_unpaired", welch)
            | exhibit.interval_values(SECONDS, time)
            | {"values": " ".join(map(str, test.values())), "evidence": name}
        )
    return exhibit.Cells(pd.DataFrame(words), pd.DataFrame(values))


def _table(name: str, title: str, says: str = "") -> exhibit.Table:
    return exhibit.Table(
        name=f"{name}_errors",
        title=f"{title}: errors after the last epoch",
        evidence=(name,),
        says=f"{says} {exhibit.MEAN}; the difference from plain is paired by seed, with the t "
        "interval of the differences; not paired: Welch's interval. A run broke down that ends "
        f"with over {exhibit.BROKEN} times its arm's median test error. All values: one per seed, "
        "in the order of seeds.".lstrip(),
        build=tabulate,
    )


TABLES = (
    _table("cifar_small", "CIFAR-10, small (not table 1)", RATES_DIFFER),
    _table("cifar_small_one_rate", "CIFAR-10, small, one learning rate (not table 1)"),
    _table("mnist_arms", "MNIST"),
    _table("fashion_mnist_arms", "Fashion-MNIST"),
    _table("digits_arms", "Digits"),
)
