"""The tables: table 1, errors, epochs, learning rates, init, optimisers."""

from collections.abc import Sequence

import pandas as pd

from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.evidence import select
from wnrepro.analysis.learning_rates import by_rate
from wnrepro.analysis.pairs import OPTIMISER_LABELS, WITH, WITHOUT, init_differences
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, comparable_times, finals, finite
from wnrepro.analysis.table import (
    MISSING,
    Table,
    interval_values,
    listed,
    number,
    with_interval,
    with_pairs,
)
from wnrepro.analysis.thresholds import LEVELS_PERCENT, Reach, in_paper, reach, relative_times
from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.statistics import Interval, bootstrap_interval, paired_difference, t_interval

TEST = "test_error_percent"


def table1(records: Records, paper: Paper, names: Sequence[str]) -> Table:
    """Test error by arm, for each experiment of `names` that has runs, beside the paper's."""
    rows, values = [], []
    chosen = {name: select(records, name) for name in names}
    for arm in (*PAPER_ARMS, "plain_frozen_scale"):
        theirs, rerun = paper.table1.get(arm), paper.rerun.get(arm)
        if arm in PAPER_ARMS and not any(arm in set(own.runs["arm"]) for own in chosen.values()):
            missing = [MISSING] * 3
            row = (*missing, "0", MISSING, number(theirs), MISSING, MISSING, number(rerun))
            rows.append((ARMS[arm].label, *row))
        for name, own in chosen.items():
            runs = own.runs[own.runs["arm"] == arm]
            if runs.empty:
                continue
            seeds = finals(runs)
            known = list(finite(seeds).values())
            t, bootstrap = (t_interval(known), bootstrap_interval(known)) if known else (None, None)
            difference = t.estimate - theirs if t and theirs is not None else None
            inside = t.contains(theirs) if t and t.n > 1 and theirs is not None else None
            precision = runs["precision"].iloc[0]
            rows.append(
                (
                    ARMS[arm].label,
                    precision,
                    with_interval(t),
                    _bootstrap(bootstrap),
                    count(seeds),
                    listed(seeds.values()),
                    number(theirs),
                    number(difference),
                    {True: "yes", False: "no", None: MISSING}[inside],
                    number(rerun),
                )
            )
            values.append(
                {
                    "arm": arm,
                    "precision": precision,
                    "n": len(known),
                    "diverged": len(seeds) - len(known),
                    **interval_values(TEST, t),
                    **interval_values(f"{TEST}_bootstrap", bootstrap),
                    "values": " ".join(map(str, seeds.values())),
                    "paper": theirs,
                    "difference": difference,
                    "paper_in_t_interval": inside,
                    "rmsnorm_2019_rerun": rerun,
                    "evidence": name,
                }
            )
    columns = ("arm", "precision", "test error (%)", "bootstrap", "n", "all values", "paper")
    columns += ("ours − paper", "paper in our t interval", "2019 re-run")
    return Table(columns, tuple(rows), pd.DataFrame(values))


def errors(records: Records, paper: Paper, name: str) -> Table:
    """Errors after the last epoch by arm; the difference from plain paired by seed."""
    own = select(records, name)
    rows, values = [], []
    plain = finite(finals(own.runs[own.runs["arm"] == "plain"]))
    for arm in arms_in(own.runs):
        runs = own.runs[own.runs["arm"] == arm].sort_values("seed")
        train, test = (finals(runs, column) for column in ("train_error_percent", TEST))
        trained, tested = _interval(train), _interval(test)
        paired = finite(test)
        difference = None
        if arm != "plain" and paired.keys() & plain.keys():
            difference = paired_difference(paired, plain)
        alike = runs if comparable_times(runs) else runs.iloc[:0]
        rows.append(
            (
                ARMS[arm].label,
                with_interval(trained, 3),
                with_interval(tested),
                with_pairs(difference, len(paired)),
                count(test),
                listed(test.values()),
            )
        )
        values.append(
            {"arm": arm, "n": len(paired), "diverged": len(test) - len(paired)}
            | interval_values("train_error_percent", trained)
            | interval_values(TEST, tested)
            | interval_values("test_error_minus_plain", difference)
            | interval_values("time_per_epoch_sec", _interval(finals(alike, "time_per_epoch_sec")))
            | {"values": " ".join(map(str, test.values())), "evidence": name}
        )
    columns = ("arm", "training error (%)", "test error (%)", "test error − plain's")
    return Table((*columns, "n", "all test errors"), tuple(rows), pd.DataFrame(values))


def epochs(records: Records, paper: Paper, name: str, beside_paper: bool = False) -> Table:
    """Epochs to 5, 3 and 1 % training error by arm, and time per epoch relative to plain."""
    own = select(records, name)
    rows, values = [], []
    for arm in arms_in(own.runs):
        cells, numbers = [ARMS[arm].label], {"arm": arm}
        for percent in LEVELS_PERCENT:
            found = reach(own, arm, percent)
            theirs = in_paper(paper.figure1, arm, percent) if beside_paper else None
            cells += [_reached(found), *([number(theirs, 0)] if beside_paper else [])]
            key = f"epochs_to_{percent:g}_percent"
            numbers |= interval_values(key, found.interval() if found else None)
            numbers |= {f"{key}_reached": found.reached if found else None}
            numbers |= {f"{key}_paper": theirs} if beside_paper else {}
        ratios = relative_times(own, arm) if arm != "plain" else {}
        time = t_interval(list(ratios.values())) if ratios else None
        n = own.runs[own.runs["arm"] == arm]["seed"].nunique()
        rows.append((*cells, with_pairs(time, n), str(n)))
        values.append(numbers | interval_values("time_per_epoch_over_plain", time))
        values[-1] |= {"n": n, "evidence": name}
    columns = ["arm"]
    for percent in LEVELS_PERCENT:
        columns += [f"epochs to {percent:g} %", *(["paper"] if beside_paper else [])]
    return Table((*columns, "time per epoch / plain's", "n"), tuple(rows), pd.DataFrame(values))


def first_epochs(records: Records, paper: Paper, name: str) -> Table:
    """Training error beside figure 1's, which may count its epochs from 1 or from 0.

    A row in words for each epoch that figure 1 has, counted from 1; a row of values for every one.
    """
    own = select(records, name)
    rows, values = [], []
    for arm in arms_in(own.runs):
        done = own.runs.index[(own.runs["arm"] == arm) & (own.runs["status"] == "done")]
        curves = own.curves[own.curves["identity"].isin(done)]
        figure1 = paper.figure1[paper.figure1["arm"] == arm]
        theirs = dict(zip(figure1["epoch"], figure1["train_error_percent"], strict=True))
        for epoch, ours in curves.groupby("epoch")["train_error_percent"]:
            trained = t_interval(list(ours))
            from_1, from_0 = theirs.get(epoch), theirs.get(epoch - 1)
            values.append(
                {"arm": arm, "epoch": epoch, "n": trained.n}
                | interval_values("train_error_percent", trained)
                | {"paper_counting_from_1": from_1, "paper_counting_from_0": from_0}
                | {"evidence": name}
            )
            if from_1 is not None:
                cells = (with_interval(trained), number(from_1), number(from_0), str(trained.n))
                rows.append((ARMS[arm].label, str(epoch), *cells))
    columns = ("arm", "epoch", "training error (%)", "paper, counting from 1", "from 0", "n")
    return Table(columns, tuple(rows), pd.DataFrame(values))


def rates(records: Records, paper: Paper, name: str, column: str) -> Table:
    """Error by arm and learning rate: a row per rate, a column per arm."""
    runs = select(records, name).runs
    arms = arms_in(runs)
    cells: dict[float, dict[str, str]] = {}
    values = []
    for arm in arms:
        for point in by_rate(runs[runs["arm"] == arm], column):
            n = len(point.values)
            said = [with_interval(point.interval)] if point.interval else []
            said += [f"{point.diverged} of {n} diverged"] if point.diverged else []
            cells.setdefault(point.rate, {})[arm] = "; ".join(said) or MISSING
            values.append(
                {"arm": arm, "learning_rate": point.rate, "n": n - point.diverged}
                | {"diverged": point.diverged}
                | interval_values(column, point.interval)
                | {"values": " ".join(map(str, point.values.values())), "evidence": name}
            )
    rows = [
        (f"{rate:g}", *(cells[rate].get(arm, MISSING) for arm in arms)) for rate in sorted(cells)
    ]
    columns = ("learning rate", *(ARMS[arm].label for arm in arms))
    return Table(columns, tuple(rows), pd.DataFrame(values))


def inits(records: Records, paper: Paper, name: str) -> Table:
    """Test error with and without the data-dependent init, and their difference by seed."""
    own = select(records, name)
    differences = init_differences(own, TEST)
    rows, values = [], []
    for arm in arms_in(own.runs):
        runs = own.runs[own.runs["arm"] == arm]
        each = {i: finals(runs[runs["init"] == i]) for i in (WITH, WITHOUT)}
        intervals = {i: _interval(seeds) for i, seeds in each.items()}
        rows.append(
            (
                ARMS[arm].label,
                *(with_interval(intervals[i]) for i in (WITH, WITHOUT)),
                with_pairs(differences[arm], len(finite(each[WITH]))),
                *(count(each[i]) for i in (WITH, WITHOUT)),
            )
        )
        values.append(
            {"arm": arm}
            | interval_values(f"{TEST}_with", intervals[WITH])
            | interval_values(f"{TEST}_without", intervals[WITHOUT])
            | interval_values("with_minus_without", differences[arm])
            | {"n_with": len(finite(each[WITH])), "n_without": len(finite(each[WITHOUT]))}
            | {"evidence": name}
        )
    columns = (
        "arm",
        "test error (%) with init",
        "without",
        "with − without",
        "n with",
        "n without",
    )
    return Table(columns, tuple(rows), pd.DataFrame(values))


def optimisers(records: Records, paper: Paper, name: str) -> Table:
    """Test error by optimiser and arm, each at its own learning rate."""
    runs = select(records, name).runs
    rows, values = [], []
    for optimiser in OPTIMISER_LABELS:
        for arm in arms_in(runs):
            own = runs[(runs["optimizer"] == optimiser) & (runs["arm"] == arm)]
            if own.empty:
                continue
            seeds, rate = finals(own), float(own["learning_rate"].iloc[0])
            tested, trained = _interval(seeds), _interval(finals(own, "train_error_percent"))
            rows.append(
                (
                    optimiser,
                    ARMS[arm].label,
                    f"{rate:g}",
                    with_interval(trained, 3),
                    with_interval(tested),
                    count(seeds),
                    listed(seeds.values()),
                )
            )
            values.append(
                {"optimizer": optimiser, "arm": arm, "learning_rate": rate}
                | {"n": len(finite(seeds)), "diverged": len(seeds) - len(finite(seeds))}
                | interval_values("train_error_percent", trained)
                | interval_values(TEST, tested)
                | {"values": " ".join(map(str, seeds.values())), "evidence": name}
            )
    columns = ("optimiser", "arm", "learning rate", "training error (%)", "test error (%)")
    return Table((*columns, "n", "all test errors"), tuple(rows), pd.DataFrame(values))


def count(seeds: dict[int, float]) -> str:
    """How many runs an interval is of; those that diverged are counted beside it."""
    n = len(finite(seeds))
    return str(n) if n == len(seeds) else f"{n} of {len(seeds)} ({len(seeds) - n} diverged)"


def _interval(seeds: dict[int, float]) -> Interval | None:
    known = list(finite(seeds).values())
    return t_interval(known) if known else None


def _bootstrap(interval: Interval | None) -> str:
    if interval is None or interval.n == 1:
        return MISSING
    return f"[{number(interval.low)}, {number(interval.high)}]"


def _reached(found: Reach | None) -> str:
    """The mean and interval; where a seed did not get there, how many did, and never a mean."""
    if found is None:
        return MISSING
    if (interval := found.interval()) is not None:
        return with_interval(interval, 1)
    if not found.reached:
        return f"not in {found.within}"
    best = min(epoch for epoch in found.epochs.values() if epoch is not None)
    return f"{found.reached} of {found.n} seeds, the first at {best}"
