"""Intervals, by name.

Values are one per seed: a seed is the unit that is repeated, everything inside a run is not.

Which interval: with 3 to 5 seeds Student's t, here the default of every table and figure. It
assumes that the mean over seeds is about normal, and then holds it in 95 % of cases at any n. The
percentile bootstrap assumes no distribution but has nothing to resample from: at n = 3 it is the
range of the values, which holds the centre of a symmetric distribution in 75 % of cases and not in
95. It stands beside the t interval in table 1, where a reader can compare. Two arms are compared
by the differences at the same seed where both have it, and beside that by Welch's interval. Equal
seeds share the order of the images and the starting weights; that this makes their errors alike is
a hope, and results/claims.md shows how little came of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

_RESAMPLES = 10_000

T = "95 % t interval over seeds"
BOOTSTRAP = "95 % bootstrap interval over seeds"
PAIRED = "95 % t interval over differences paired by seed"
WELCH = "95 % Welch interval"
DEVIATIONS = "95 % F interval"
"""Names of intervals, as they stand beside them."""

Values = Sequence[float] | ArrayLike


@dataclass(frozen=True)
class Interval:
    """A number with a 95 % interval: estimate, low ≤ high, its name, and n (values it is from)."""

    estimate: float
    low: float
    high: float
    name: str
    n: int

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def text(self, form: str = ".3g") -> str:
        return f"[{self.low:{form}}, {self.high:{form}}], {self.name}"


def t_interval(values: Values) -> Interval:
    """Mean ± t·s/√n, Student's t with n − 1 degrees of freedom; infinitely wide for n = 1.

    Meant for few values of about normal distribution (the mean of a quantity over seeds). All
    must be finite. Raises ValueError otherwise or if there are none.
    """
    x = _checked(values)
    n = len(x)
    half = np.inf
    if n > 1:
        half = float(special.stdtrit(n - 1, 0.975) * x.std(ddof=1) / np.sqrt(n))
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half, T, n)


def bootstrap_interval(values: Values, seed: int = 0) -> Interval:
    """Mean, with the 2.5 and 97.5 percentiles of the means of 10,000 resamples (Efron 1979).

    The same values in any order and the same `seed` give the same interval. Too narrow for few
    values: at n = 1 a point, at n = 3 the range. Raises ValueError as `t_interval`.
    """
    x = np.sort(_checked(values))  # resampling draws places
    low = high = x[0]
    if len(x) > 1:
        rng = np.random.default_rng(seed)
        low, high = stats.bootstrap(
            (x,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=rng
        ).confidence_interval
    return Interval(float(x.mean()), float(low), float(high), BOOTSTRAP, len(x))


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval:
    """Mean of ours − theirs over the seeds that both have, with its t interval; n is their number.

    ours, theirs: seed → value. Raises ValueError where they share no seed, or a value that is
    paired is not finite.
    """
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        raise ValueError(f"no seed in common: {sorted(ours)} and {sorted(theirs)}")
    found = t_interval([ours[seed] - theirs[seed] for seed in common])
    return Interval(found.estimate, found.low, found.high, PAIRED, found.n)


def welch_difference(ours: Values, theirs: Values) -> Interval:
    """Mean of ours − mean of theirs, not paired, with variances of their own (Welch 1947).

    By his formula, not by SciPy's test, which warns where the values of an arm are all but equal.
    n is the smaller number of values; with fewer than 2 the interval is infinitely wide. Raises
    ValueError as `t_interval`.
    """
    a, b = _checked(ours), _checked(theirs)
    middle, n = float(a.mean() - b.mean()), min(len(a), len(b))
    half = np.inf
    if n > 1:
        u, v = (x.var(ddof=1) / len(x) for x in (a, b))
        freedom = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1)) if u + v else 1
        half = float(special.stdtrit(freedom, 0.975) * np.sqrt(u + v))
    return Interval(middle, middle - half, middle + half, WELCH, n)


def deviation_ratio(ours: Values, theirs: Values) -> Interval:
    """Standard deviation of ours over that of theirs, by the F distribution of normal values.

    n is the smaller number of values. Raises ValueError where a side has fewer than 2, or theirs
    are all equal.
    """
    a, b = _checked(ours), _checked(theirs)
    n = min(len(a), len(b))
    if n < 2 or not np.ptp(b):
        raise ValueError(f"no ratio of standard deviations of {ours!r} and {theirs!r}")
    ratio = a.var(ddof=1) / b.var(ddof=1)
    low, high = ratio / stats.f.ppf((0.975, 0.025), len(a) - 1, len(b) - 1)
    estimate, low, high = np.sqrt((ratio, low, high)).tolist()
    return Interval(estimate, low, high, DEVIATIONS, n)


def wilson_interval(successes: int, n: int) -> Interval:
    """A fraction of n yes/no outcomes, with Wilson's score interval (Wilson 1927)."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} is no fraction")
    low, high = stats.binomtest(successes, n).proportion_ci(0.95, "wilson")
    return Interval(successes / n, float(low), float(high), "95 % Wilson interval", n)


def _checked(values: Values) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"an interval needs finite values, got {values!r}")
    return x
