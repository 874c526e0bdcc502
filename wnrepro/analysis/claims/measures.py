"""The quantities that the paper's claims are about, measured on the runs of one experiment.

Every measure returns a `Sample`: one value per seed, and what hinders a verdict. Arms are compared
at equal seeds, and the interval that judges is that of these differences. Beside it stands Welch's.
What a run that diverged means is part of each definition; it is never left out in silence, for the
runs that are left would then be a choice of the good ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import yaml

from wnrepro.analysis.canvas import TEST, TRAIN
from wnrepro.analysis.exhibits.thresholds import first_epochs
from wnrepro.analysis.records import (
    COMPARABLE_TIMES,
    DONE,
    Records,
    finals,
    finite,
    over_epochs,
)
from wnrepro.analysis.tidy import keys_of
from wnrepro.arms import ARMS
from wnrepro.intervals import PAIRED, Interval, T, deviation_ratio, t_interval, welch_difference
from wnrepro.mechanisms.loss_range import Range, good_range

GOOD_RATE = 1.5
"""A learning rate is good if the test error is at most so many times that of the arm's best."""
OTHER_GOOD_RATES = (1.1, 1.2, 1.3, 2.0, 3.0)
"""Shown beside it, for the outcome depends on it."""
LOWEST_ERROR_PERCENT = 0.01
"""One image of 10,000: stands for an error of 0 where a logarithm is taken."""

BySeed = dict[int, float]
Quantity = Callable[[Records, pd.DataFrame], BySeed]
"""Seed → value, for the runs of one arm at one setting; NaN for a run that diverged."""


@dataclass(frozen=True)
class Sample:
    """One value per seed.

    paired: each value compares two arms at one seed. ratio: the values are logarithms of ratios.
    at_least, at_most: some of the values are only lower (upper) bounds. rounding: how far below
    and above its values the mean may lie because what was measured is rounded.
    hindrance: why no verdict may rest on the values; empty if nothing hinders. note: what to know.
    otherwise: what would come out under other settings of the measure.
    apart: the values of either arm, where each has its own, for an interval that does not pair: it
    judges where the sample is not paired. spread: their standard deviations are compared.
    against: the arm that is compared with. runs: identities of the runs behind the values.
    """

    values: tuple[float, ...]
    runs: tuple[str, ...] = ()
    against: str = ""
    paired: bool = False
    ratio: bool = False
    at_least: bool = False
    at_most: bool = False
    rounding: tuple[float, float] = (0.0, 0.0)
    hindrance: str = ""
    note: str = ""
    otherwise: str = ""
    apart: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    spread: bool = False

    def interval(self) -> Interval | None:
        """Mean over seeds with a 95 % t interval, for ratios of the logarithm; None for no values.

        Open at the end where values are bounds: a mean of lower bounds is no upper bound. Wider
        by `rounding`: whole numbers that are equal do not show that nothing varies.
        """
        if not self.values:
            return None
        if self.spread:
            return deviation_ratio(*self.apart)
        if not self.paired and all(self.apart):
            return self._welch()
        found = t_interval(self.values)
        low = -math.inf if self.at_most else found.low - self.rounding[0]
        high = math.inf if self.at_least else found.high + self.rounding[1]
        name = PAIRED if self.paired else T
        if any(self.rounding):
            name += ", wider by the rounding to whole epochs"
        if self.ratio:
            ends = (math.exp(found.estimate), math.exp(low), math.exp(high))
            return Interval(*ends, f"{name}, of the logarithm", found.n)
        return Interval(found.estimate, low, high, name, found.n)

    def welch(self) -> Interval | None:
        """The same without pairing; None where an arm has fewer than 2 values of its own, or where
        `interval` is that already."""
        if not self.paired or min(map(len, self.apart)) < 2:
            return None
        return self._welch()

    def _welch(self) -> Interval:
        found = welch_difference(*self.apart)
        if not self.ratio:
            return found
        ends = map(math.exp, (found.estimate, found.low, found.high))
        return Interval(*ends, found.name, found.n)


Measure = Callable[[Records], Sample]


def level(arm: str) -> Measure:
    """The headline metric of `arm` on the test set after the last epoch, in its units. A run that
    diverged hinders a verdict."""
    return lambda records: _single(records, arm, _final)


def late_level(arm: str) -> Measure:
    """The same, mean of the second half of the epochs: one evaluation of a game is noisy."""
    return lambda records: _single(records, arm, _late)


def difference(arm: str, other: str, paired: bool = True) -> Measure:
    """The headline metric on the test set after the last epoch, `arm` minus `other`.

    In its units, by seed, or with Welch's interval. arm, other: names of arms, or with keys of the
    config, as "wn task.start=unit". A run that diverged hinders a verdict.
    """
    return lambda records: _compared(records, arm, other, _final, paired)


def best_difference(arm: str, other: str) -> Measure:
    """The same of the best epoch, with Welch's interval: better than the last by its noise too."""
    return lambda records: _compared(records, arm, other, _best, paired=False)


def area_difference(arm: str, other: str) -> Measure:
    """The same of the mean over epochs, which is the area under the curve."""
    return lambda records: _compared(records, arm, other, _area, paired=False)


def spread_ratio(arm: str, other: str) -> Measure:
    """Standard deviation over seeds of the headline metric after the last epoch, `arm` over
    `other`. Needs two seeds of each."""

    def measure(records: Records) -> Sample:
        found = _compared(records, arm, other, _final, paired=False)
        enough = min(map(len, found.apart)) > 1 and np.ptp(found.apart[1]) > 0
        return replace(found, spread=True) if enough else Sample(())

    return measure


def late_difference(arm: str, other: str) -> Measure:
    """Training error, mean of the second half of the epochs, `arm` minus `other`, in percentage
    points, by seed.

    In the second half the learning rate falls. The last epoch alone would tell the arms apart
    badly: all are near 0 there. A run that diverged hinders a verdict.
    """
    return lambda records: _compared(records, arm, other, _late_training_error)


def time_ratio(arm: str, other: str) -> Measure:
    """Median time of a training epoch (without evaluation), `arm` over `other`, by seed.

    Only pairs of runs of one commit and one torch, on one kind of machine with one number of
    threads, are compared.
    """

    def measure(records: Records) -> Sample:
        by_machine = records.runs.groupby(list(COMPARABLE_TIMES), dropna=False)
        samples = [
            _compared(records.of(runs.index), arm, other, _log_epoch_time) for _, runs in by_machine
        ]
        most = max(samples, key=lambda sample: len(sample.values), default=Sample((), paired=True))
        return replace(most, ratio=True)

    return measure


def norm_growth(arm: str, other: str) -> Measure:
    """‖v‖ after the last epoch over ‖v‖ after the first (of plain ‖w‖), mean over units; `arm` over
    `other`, by seed, in the layer where that is smallest.

    What happens within the first epoch is not in the tables. A run that diverged hinders a verdict.
    """

    def measure(records: Records) -> Sample:
        both = _at_common_seeds(records, arm, other)
        a, b = (_log_growth(records, runs) for runs in both)
        least = (a - b).groupby("seed").min()  # per layer; NaN where a run diverged
        return Sample(
            tuple(least.dropna()),
            tuple(identity for runs in both for identity in runs.index),
            against=other,
            paired=True,
            ratio=True,
            hindrance=_either_diverged(arm, _done(both[0]), other, _done(both[1])),
        )

    return measure


def epochs_ratio(arm: str, other: str, level: float, part: str = "train") -> Measure:
    """Epochs until the headline metric is as good as `level`, `arm` over `other`, by seed.

    part: of the data, on which it is measured. arm, other: as of `difference`.

    A run that never comes there, as one that diverged, counts with all the epochs it was to have:
    a lower bound. Seeds where neither arm comes there hinder a verdict. An epoch is known to ± ½,
    by which the ends of the interval move outwards.
    """

    def measure(records: Records) -> Sample:
        both = _at_common_seeds(records, arm, other)
        if both[0].empty:
            return Sample((), paired=True, ratio=True)
        metric = records.task.headline_metric
        said = f"{level:g} {metric.unit}".rstrip()
        table = pd.DataFrame(
            {k: first_epochs(records, runs, level, part) for k, runs in enumerate(both)}
        )
        planned = pd.DataFrame({k: runs.set_index("seed")["epochs"] for k, runs in enumerate(both)})
        reached = table.dropna(how="all")
        a, b = (reached.fillna(planned)[k].to_numpy(float) for k in (0, 1))
        values, rounding = np.log(a / b), (0.0, 0.0)
        if len(values):
            least, most = np.log((a - 0.5) / (b + 0.5)), np.log((a + 0.5) / (b - 0.5))
            rounding = (float((values - least).mean()), float((most - values).mean()))
        never = [int(reached[k].isna().sum()) for k in (0, 1)]
        seeds, neither = len(table), len(table) - len(reached)
        return Sample(
            tuple(values.tolist()),
            tuple(identity for runs in both for identity in runs.index),
            paired=True,
            ratio=True,
            at_least=bool(never[0]),
            at_most=bool(never[1]),
            rounding=rounding,
            hindrance=f"neither arm reaches {said} in {neither} of {seeds} seeds"
            if neither
            else "",
            note="; ".join(
                f"{count} of {seeds} runs of {label(each)} never reach {said}"
                for each, count in zip((arm, other), never, strict=True)
                if count
            ),
        )

    return measure


def norm_by_rate(arm: str, other: str) -> Measure:
    """Slope of log ‖v‖ after training (of plain ‖w‖) over the log of the learning rate, `arm` minus
    `other`, by seed: least squares over the rates at which both were trained to the end.

    ‖v‖: geometric mean over layers. Other rates are left out, and said; seeds with fewer than three
    are, too.
    """

    def measure(records: Records) -> Sample:
        runs = records.runs[records.runs["arm"].isin((arm, other))]
        layers = records.layers
        last = layers[layers["epoch"] == layers["identity"].map(runs["epochs"])]
        norm = np.log10(last["v_norm"]).groupby(last["identity"]).mean()
        done = runs.assign(norm=norm, identity=runs.index)[runs["status"] == DONE]
        pairs = done.dropna(subset="norm").pivot(index=["seed", "learning_rate"], columns="arm")
        pairs = pairs.reindex(columns=[(c, a) for c in ("norm", "identity") for a in (arm, other)])
        pairs = pairs.dropna()
        slopes, used = [], []
        for _, own in pairs.groupby("seed"):
            if len(own) >= 3:
                rates = np.log10(own.index.get_level_values("learning_rate"))
                slopes.append([np.polyfit(rates, own["norm", each], 1)[0] for each in (arm, other)])
                used += own["identity"].to_numpy().ravel().tolist()
        ours, theirs = (tuple(float(pair[k]) for pair in slopes) for k in (0, 1))
        out = len(runs) - len(done)
        return Sample(
            tuple(a - b for a, b in zip(ours, theirs, strict=True)),
            tuple(used),
            against=other,
            paired=True,
            note=f"{out} of {len(runs)} runs diverged and are left out" if out else "",
            apart=(ours, theirs),
        )

    return measure


def rate_range(arm: str, other: str, rates: Sequence[float], column: str = TEST) -> Measure:
    """Width of the range of good learning rates, `arm` minus `other`, in decades, by seed.

    Good: the error in `column` is at most `GOOD_RATE` times that of the arm's best rate at that
    seed. The range is the unbroken one around the best; its ends are read off between rates on a
    straight line in log-log; a rate at which training diverged is outside. Where it goes on to the
    end of what was tried its width is a lower bound. Seeds count for which both arms have `rates`.
    Beside it stands what comes out with `OTHER_GOOD_RATES` for `GOOD_RATE`.
    """
    whole = sorted(rates)

    def measure(records: Records) -> Sample:
        runs = records.runs.sort_values("learning_rate")
        pairs = [
            tuple(own[own["arm"] == each] for each in (arm, other))
            for _, own in runs.groupby("seed")
        ]
        pairs = [pair for pair in pairs if all(list(own["learning_rate"]) == whole for own in pair)]
        trained = [pair for pair in pairs if all((own["status"] == DONE).any() for own in pair)]
        found, cut = _range_difference(trained, GOOD_RATE, column)
        notes = [
            f"the range of {ARMS[each].label} reaches the end of what was tried in {count} seeds"
            for each, count in zip((arm, other), cut, strict=True)
            if count
        ]
        otherwise = ", ".join(_with_factor(trained, factor, column) for factor in OTHER_GOOD_RATES)
        failed = len(pairs) - len(trained)
        return replace(
            found,
            runs=tuple(identity for pair in trained for own in pair for identity in own.index),
            hindrance=f"an arm diverged at every rate in {failed} seeds" if failed else "",
            note="; ".join(notes),
            otherwise=f"with another factor than {GOOD_RATE:g}, in decades: {otherwise}",
        )

    return measure


def _single(records: Records, arm: str, quantity: Quantity) -> Sample:
    runs = _runs_of(records, arm)
    values = quantity(records, runs)
    known = tuple(value for value in values.values() if math.isfinite(value))
    return Sample(known, tuple(runs.index), hindrance=_diverged(arm, values))


def _compared(
    records: Records, arm: str, other: str, quantity: Quantity, paired: bool = True
) -> Sample:
    ours, theirs = _at_common_seeds(records, arm, other)
    a, b = quantity(records, ours), quantity(records, theirs)
    differences = [a[seed] - b[seed] for seed in sorted(a)]
    return Sample(
        tuple(value for value in differences if math.isfinite(value)),
        (*ours.index, *theirs.index),
        against=other,
        paired=paired,
        hindrance=_either_diverged(arm, a, other, b),
        apart=(tuple(finite(a).values()), tuple(finite(b).values())),
    )


def _either_diverged(arm: str, ours: BySeed, other: str, theirs: BySeed) -> str:
    return "; ".join(filter(None, (_diverged(arm, ours), _diverged(other, theirs))))


def _diverged(arm: str, values: BySeed) -> str:
    out = sum(not math.isfinite(value) for value in values.values())
    return f"{out} of {len(values)} runs of {label(arm)} diverged" if out else ""


def label(side: str) -> str:
    """ "wn task.start=unit init.name=none" → "weight norm, start=unit, init=none"."""
    arm, *conditions = side.split()
    pairs = (each.split("=") for each in conditions)
    short = (f"{key.removesuffix('.name').rpartition('.')[2]}={value}" for key, value in pairs)
    return ", ".join([ARMS[arm].label, *short])


def _runs_of(records: Records, side: str) -> pd.DataFrame:
    arm, *conditions = side.split()
    runs = records.runs[records.runs["arm"] == arm].sort_values("seed")
    for key, value in (each.split("=") for each in conditions):
        keys = keys_of(runs["config"])
        runs = runs[keys[key] == yaml.safe_load(value)] if key in keys else runs.iloc[:0]
    return runs


def _at_common_seeds(records: Records, arm: str, other: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    a, b = _runs_of(records, arm), _runs_of(records, other)
    return a[a["seed"].isin(b["seed"])], b[b["seed"].isin(a["seed"])]


def _final(_: Records, runs: pd.DataFrame) -> BySeed:
    return finals(runs)


def _best(records: Records, runs: pd.DataFrame) -> BySeed:
    if runs.empty:
        return {}
    return over_epochs(records, runs, "min" if records.task.smaller_is_better else "max")


def _area(records: Records, runs: pd.DataFrame) -> BySeed:
    return over_epochs(records, runs, "mean")


def _late(records: Records, runs: pd.DataFrame) -> BySeed:
    return over_epochs(records, runs, lambda values: values.iloc[len(values) // 2 :].mean())


def _log_epoch_time(_: Records, runs: pd.DataFrame) -> BySeed:
    return {seed: math.log(time) for seed, time in finals(runs, "time_per_epoch_sec").items()}


def _late_training_error(records: Records, runs: pd.DataFrame) -> BySeed:
    curves = records.curves
    late = curves[curves["epoch"] > curves["identity"].map(runs["epochs"]) / 2]
    return finals(runs.assign(late=late.groupby("identity")[TRAIN].mean()), "late")


def _done(runs: pd.DataFrame) -> BySeed:
    return finals(runs.assign(done=1.0), "done")


def _log_growth(records: Records, runs: pd.DataFrame) -> pd.Series:
    """By seed and layer; NaN for a run that diverged."""
    layers = records.layers[records.layers["identity"].isin(runs.index)].sort_values("epoch")
    seeds = layers["identity"].map(runs["seed"]).rename("seed")
    ends = layers.groupby([seeds, "layer"])["v_norm"].agg(["first", "last"])
    done = pd.Series(_done(runs)).reindex(ends.index.get_level_values("seed")).to_numpy()
    return np.log(ends["last"] / ends["first"]) * done


Pair = tuple[pd.DataFrame, ...]
"""The runs of two arms at one seed, each by rising learning rate."""


def _range_difference(
    pairs: Sequence[Pair], factor: float, column: str
) -> tuple[Sample, list[int]]:
    """Width of the first arm's range minus the second's; in how many seeds each is cut off."""
    ranges = [tuple(_good_range(own, factor, column) for own in pair) for pair in pairs]
    cut = [sum(pair[k].cut for pair in ranges) for k in (0, 1)]
    ours, theirs = (tuple(pair[k].decades for pair in ranges) for k in (0, 1))
    values = tuple(a - b for a, b in zip(ours, theirs, strict=True))
    apart = ((), ()) if any(cut) else (ours, theirs)
    at = {"at_least": cut[0] > 0, "at_most": cut[1] > 0}
    return Sample(values, paired=True, apart=apart, **at), cut


def _with_factor(pairs: Sequence[Pair], factor: float, column: str) -> str:
    interval = _range_difference(pairs, factor, column)[0].interval()
    if interval is None:
        return f"{factor:g}: none"
    text = f"{interval.estimate:+.2f}"
    if interval.n > 1:
        text += f" [{interval.low:+.2f}, {interval.high:+.2f}]".replace("inf", "∞")
    return f"{factor:g}: {text}".replace("-", "−")


def _good_range(runs: pd.DataFrame, factor: float, column: str) -> Range:
    errors = runs[column].where(runs["status"] == DONE, math.inf)
    errors = errors.clip(lower=LOWEST_ERROR_PERCENT)
    return good_range(list(runs["learning_rate"]), list(errors), factor)
