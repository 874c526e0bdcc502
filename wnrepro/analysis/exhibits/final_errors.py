"""Errors after the last epoch, arm by arm, and their difference from plain."""

import pandas as pd

from wnrepro.analysis.canvas import TEST, TRAIN
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.exhibit import (
    MEAN,
    Cells,
    Table,
    count,
    interval_of,
    interval_values,
    listed,
    with_interval,
)
from wnrepro.analysis.exhibits.error_curves import RATES_DIFFER
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, comparable_times, finals, finite
from wnrepro.arms import ARMS
from wnrepro.statistics import paired_difference


def tabulate(chosen: dict[str, Records], _: Paper) -> Cells:
    """The difference from plain is paired by seed."""
    ((name, own),) = chosen.items()
    words, values = [], []
    plain = finite(finals(own.runs[own.runs["arm"] == "plain"]))
    for arm in arms_in(own.runs):
        runs = own.runs[own.runs["arm"] == arm].sort_values("seed")
        trained, test = interval_of(finals(runs, TRAIN)), finals(runs, TEST)
        tested, known = interval_of(test), finite(test)
        paired = arm != "plain" and known.keys() & plain.keys()
        difference = paired_difference(known, plain) if paired else None
        alike = runs if comparable_times(runs) else runs.iloc[:0]
        words.append(
            {
                "arm": ARMS[arm].label,
                "training error (%)": with_interval(trained, 3),
                "test error (%)": with_interval(tested),
                "test error − plain's": with_interval(difference, n=len(known)),
                "n": count(test),
                "all test errors": listed(test.values()),
            }
        )
        values.append(
            {"arm": arm, "n": len(known), "diverged": len(test) - len(known)}
            | interval_values(TRAIN, trained)
            | interval_values(TEST, tested)
            | interval_values("test_error_minus_plain", difference)
            | interval_values(
                "time_per_epoch_sec", interval_of(finals(alike, "time_per_epoch_sec"))
            )
            | {"values": " ".join(map(str, test.values())), "evidence": name}
        )
    return Cells(pd.DataFrame(words), pd.DataFrame(values))


def _table(name: str, title: str, says: str = "") -> Table:
    return Table(
        name=f"{name}_errors",
        title=f"{title}: errors after the last epoch",
        evidence=(name,),
        says=f"{says} {MEAN}; the difference from plain is paired by seed, with the t interval of "
        "the differences. All values: one per seed, in the order of seeds.".lstrip(),
        build=tabulate,
    )


TABLES = (
    _table("cifar_small", "CIFAR-10, small (not table 1)", RATES_DIFFER),
    _table("cifar_small_one_rate", "CIFAR-10, small, one learning rate (not table 1)"),
    _table("mnist_arms", "MNIST"),
    _table("fashion_mnist_arms", "Fashion-MNIST"),
    _table("digits_arms", "Digits"),
)
