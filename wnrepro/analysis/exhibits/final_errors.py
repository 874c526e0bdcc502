"""Errors after the last epoch, arm by arm, and their difference from plain."""

from statistics import median

from wnrepro.analysis import exhibit
from wnrepro.analysis.exhibits.beside_paper import STARTS
from wnrepro.analysis.exhibits.error_curves import RATES_DIFFER
from wnrepro.analysis.lines import by_setting
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import COMPARABLE_TIMES, Records, finals, finite, tested
from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.intervals import paired_difference, welch_difference

SECONDS = "time_per_epoch_sec"


def rows(records: Records, _: Paper) -> exhibit.Rows:
    """The headline metric, and its difference from plain's of the same other settings.

    That is paired by seed; beside it Welch's interval, which does not pair. Where a run of either
    broke down it is that of the medians, without an interval.
    """
    task = records.task
    train, test_column = f"train_{task.headline}", tested(task)
    label = task.headline_metric.label
    settings = [(told, own.runs.sort_values("seed")) for _, told, own in by_setting(records)]
    plains = {told: finals(runs) for told, runs in settings if runs["arm"].iloc[0] == "plain"}
    for told, runs in settings:
        arm, trained, test = str(runs["arm"].iloc[0]), finals(runs, train), finals(runs)
        known, plain = finite(test), finite(plains.get(told, {}))
        paired = arm != "plain" and known.keys() & plain.keys()
        difference = paired_difference(known, plain) if paired else None
        welch = welch_difference([*known.values()], [*plain.values()]) if paired else None
        down, plain_down = (
            exhibit.broken(seeds) if task.smaller_is_better else [] for seeds in (test, plain)
        )
        said, apart = exhibit.with_interval(difference, n=len(known)), exhibit.with_interval(welch)
        if paired and (down or plain_down):
            said = f"{exhibit.number(median(known.values()) - median(plain.values()))} of medians"
            apart = exhibit.MISSING
        alike = len(runs[list(COMPARABLE_TIMES)].drop_duplicates()) == 1
        time = exhibit.interval_of(finals(runs, SECONDS)) if alike else None
        bits = exhibit.interval_of(_in_bits(records, test))
        words = {
            "arm": ", ".join(filter(None, (ARMS[arm].label, told))),
            task.labels[train]: exhibit.summary(trained, down, 3),
            task.labels[test_column]: exhibit.summary(test, down),
            **({"the same in bits per dimension": exhibit.with_interval(bits, 3)} if bits else {}),
            f"test {label} − plain's": said,
            "not paired": apart,
            "n": exhibit.count(test),
            f"test {label}, each seed": exhibit.listed(test.values()),
        }
        values = {"arm": arm} | ({"setting": told} if told else {}) | exhibit.counts(test)
        values |= {"broke_down": len(down)}
        values |= exhibit.interval_values(train, exhibit.interval_of(trained))
        values |= exhibit.interval_values(test_column, exhibit.interval_of(test))
        values |= exhibit.interval_values("test_minus_plain", difference)
        values |= exhibit.interval_values("test_minus_plain_unpaired", welch)
        if bits:
            values |= exhibit.interval_values("test_bits_per_dimension", bits)
        values |= exhibit.interval_values(SECONDS, time)
        yield words, values | exhibit.each_seed(test)


def _in_bits(records: Records, nats: dict[int, float]) -> dict[int, float]:
    """Per dimension, where that is usual; else nothing."""
    config, task = records.runs["config"].iloc[0], records.task
    bits = {seed: task.bits_per_dimension(config, value) for seed, value in nats.items()}
    return {seed: value for seed, value in bits.items() if value is not None}


def _table(name: str, title: str, says: str = "", what: str = "errors") -> exhibit.Table:
    return exhibit.Table(
        name=f"{name}_{what}",
        title=f"{title}: {what} after the last epoch",
        evidence=(name,),
        says=f"{says} {exhibit.MEAN}; the difference from plain is paired by seed, with the t "
        "interval of the differences; not paired: Welch's interval. A run broke down that ends "
        f"with over {exhibit.BROKEN} times its arm's median test error. All values: one per seed, "
        "in the order of seeds.".lstrip(),
        rows=rows,
    )


TABLES = (
    _table("cifar_small", "CIFAR-10, small (not table 1)", RATES_DIFFER),
    _table("cifar_small_one_rate", "CIFAR-10, small, one learning rate (not table 1)"),
    *(_table(f"{data}_arms", CATALOGUE[data].title) for data in ("mnist", "fashion_mnist")),
    _table("digits_arms", "Digits"),
    _table("draw", "DRAW on binarised MNIST", STARTS, "bounds"),
    _table("draw_small", "DRAW on binarised MNIST, reduced (not figure 4)", STARTS, "bounds"),
    _table("draw_medium", "DRAW on binarised MNIST, less reduced (not figure 4)", STARTS, "bounds"),
    *(
        _table(
            f"vae_{data}{small}",
            f"VAE on {title}{', reduced (not figure 3)' * bool(small)}",
            "",
            "bounds",
        )
        for data, title in (("mnist", "binarised MNIST"), ("cifar", "CIFAR-10"))
        for small in ("", "_small")
    ),
)
