"""Errors after the last epoch, arm by arm, and their difference from plain."""

import pandas as pd

from wnrepro.analysis import exhibit
from wnrepro.analysis.canvas import TEST, TRAIN
from wnrepro.analysis.exhibits.error_curves import RATES_DIFFER
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import COMPARABLE_TIMES, Records, finals, finite
from wnrepro.arms import ARMS
from wnrepro.intervals import paired_difference

SECONDS = "time_per_epoch_sec"


def tabulate(chosen: dict[str, Records], _: Paper) -> exhibit.Cells:
    """The difference from plain is paired by seed."""
    ((name, records),) = chosen.items()
    words, values = [], []
    plain = finite(finals(records.runs[records.runs["arm"] == "plain"]))
    for arm, own in records.by_arm():
        runs = own.runs.sort_values("seed")
        trained, test = exhibit.interval_of(finals(runs, TRAIN)), finals(runs, TEST)
        tested, known = exhibit.interval_of(test), finite(test)
        paired = arm != "plain" and known.keys() & plain.keys()
        difference = paired_difference(known, plain) if paired else None
        alike = len(runs[list(COMPARABLE_TIMES)].drop_duplicates()) == 1
        time = exhibit.interval_of(finals(runs, SECONDS)) if alike else None
        words.append(
            {
                "arm": ARMS[arm].label,
                "training error (%)": exhibit.with_interval(trained, 3),
                "test error (%)": exhibit.with_interval(tested),
                "test error − plain's": exhibit.with_interval(difference, n=len(known)),
                "n": exhibit.count(test),
                "all test errors": exhibit.listed(test.values()),
            }
        )
        values.append(
            {"arm": arm, "n": len(known), "diverged": len(test) - len(known)}
            | exhibit.interval_values(TRAIN, trained)
            | exhibit.interval_values(TEST, tested)
            | exhibit.interval_values("test_error_minus_plain", difference)
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
        "interval of the differences. All values: one per seed, in the order of seeds.".lstrip(),
        build=tabulate,
    )


TABLES = (
    _table("cifar_small", "CIFAR-10, small (not table 1)", RATES_DIFFER),
    _table("cifar_small_one_rate", "CIFAR-10, small, one learning rate (not table 1)"),
    _table("mnist_arms", "MNIST"),
    _table("fashion_mnist_arms", "Fashion-MNIST"),
    _table("digits_arms", "Digits"),
)
