"""What so many seeds can decide, before they are run; and what pairing them was worth."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special, stats

from wnrepro.analysis.claims.claim import SMALL, TIMES, Claim
from wnrepro.analysis.claims.criteria import CLAIMS
from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.records import Records, finals
from wnrepro.mechanisms.experiment import SEEDS_NEEDED

SEEDS = (3, 5, 10)
SEEN = {
    "fashion_mnist_arms": "Fashion-MNIST",
    "mnist_arms": "MNIST",
    "cifar_small": "CIFAR-10, width 24",
}
"""Whose spread over seeds is taken for the paper's experiment, until that has one of its own. First
that of which the test errors, about 10 %, are nearest to the paper's; last one that is not trained
through, so that its spread is surely larger than the paper's."""
LIKELY = 0.8
MOST_SEEDS = 100


@dataclass(frozen=True)
class Power:
    """chances: number of seeds → probability of “reproduced” if the paper's number is true and our
    number varies over seeds with the standard deviation sd, as in `evidence`, n seeds, it did.

    sd: of logarithms where the claim's number is a ratio. enough: the fewest seeds with a chance of
    `LIKELY`; None if that is more than `MOST_SEEDS`.
    """

    claim: Claim
    evidence: str
    sd: float
    n: int
    chances: dict[int, float]
    enough: int | None


def powers(records: Records) -> list[Power]:
    """For every claim with a number of the paper's, from each of `SEEN` that has its number."""
    return [
        found
        for claim in CLAIMS
        if claim.expected is not None
        for evidence in SEEN
        if EVIDENCE[evidence].task is EVIDENCE[claim.judged_by[0]].task
        for found in _power(claim, records, evidence)
    ]


def _power(claim: Claim, records: Records, evidence: str) -> Iterator[Power]:
    own = select(records, evidence)
    samples = [measure(own) for measure in claim.measures]
    n = min(len(sample.values) for sample in samples)
    bounds = any(each.hindrance or each.at_least or each.at_most for each in samples)
    if n < SEEDS_NEEDED or bounds or claim.expected is None:
        return
    sd = math.sqrt(np.mean([np.var(sample.values, ddof=1) for sample in samples]))
    edges = (claim.expected, claim.region.low, claim.region.high)
    if claim.region.unit == TIMES:
        edges = tuple(math.log(edge) if edge > 0 else -math.inf for edge in edges)
    if sd == 0:
        return
    chances = {seeds: power(seeds, sd, *edges) for seeds in SEEDS}
    counts = range(SEEDS_NEEDED, MOST_SEEDS + 1)
    first = bisect_left(counts, LIKELY, key=lambda seeds: power(seeds, sd, *edges))
    yield Power(claim, evidence, sd, n, chances, counts[first] if first < len(counts) else None)


def power(n: int, sd: float, true: float, low: float, high: float) -> float:
    """Probability that the whole 95 % t interval of n values lies in low … high.

    The values are normal about `true`; an end of the region may be infinite. Given the values' own
    standard deviation s their mean must keep t·s/√n from both ends; over s, which is sd·χ/√(n−1),
    that is integrated. With one end it is a probability of the noncentral t distribution.
    """
    s = sd * _chi(n - 1) / math.sqrt(n - 1)
    half = special.stdtrit(n - 1, 0.975) * s / math.sqrt(n)
    scale = sd / math.sqrt(n)
    below, above = ((end - true) / scale for end in (high - half, low + half))
    return float(np.maximum(special.ndtr(below) - special.ndtr(above), 0).mean())


@cache
def welch_power(n: int, sds: tuple[float, float], true: float, low: float, high: float) -> float:
    """The same of Welch's interval for the difference of two arms, n values of each.

    By 5,000 draws of normal values: its degrees of freedom are random.
    """
    drawn = np.random.default_rng(0).normal(size=(2, 5_000, n)) * np.reshape(sds, (2, 1, 1))
    u, v = drawn.var(axis=2, ddof=1) / n
    freedom = (u + v) ** 2 * (n - 1) / (u**2 + v**2)
    half = special.stdtrit(freedom, 0.975) * np.sqrt(u + v)
    middle = true + drawn[0].mean(axis=1) - drawn[1].mean(axis=1)
    return float(((middle - half > low) & (middle + half < high)).mean())


def of_pilot(claim: Claim) -> str:
    """What so many seeds would decide by the spread of a pilot.

    Without one, but with 0 for an edge, by its own: how large that is, is not known. Else nothing.
    """
    sds, true = claim.pilot, claim.expected
    said = f"by a pilot's standard deviations of {sds[0]:g} and {sds[1]:g}"
    ends = (claim.region.low, claim.region.high)
    one = claim.region.unit and len(claim.measures) == 1
    if not any(sds) and one and ends in ((-math.inf, 0), (0, math.inf)):
        true = math.copysign(2, sum(ends))
        sds, said = (1, 1), "in standard deviations of a run, which are not known"
    if true is None or not any(sds):
        return ""
    edges = (true, claim.region.low, claim.region.high)
    chances = (f"{welch_power(n, sds, *edges):.2f} with {n} seeds" for n in SEEDS)
    unit = claim.region.unit if any(claim.pilot) else ""
    return f"{', '.join(chances)}, if truly {true:g}{unit}, {said}".replace("-", "−")


@cache
def _chi(freedom: int) -> np.ndarray:
    """4,000 quantiles, at even steps of probability. They take long and are of `freedom` alone."""
    return stats.chi.ppf((np.arange(4000) + 0.5) / 4000, freedom)


def pairing(records: Records) -> Iterator[tuple[str, float, float, int]]:
    """Of each evidence the lowest and the highest correlation, over seeds, of an arm's test errors
    with plain's at the same seed; and how many seeds it is from."""
    for name in (*SMALL, "digits_arms"):
        own = select(records, name).runs
        errors = {arm: finals(runs) for arm, runs in own.groupby("arm")}
        plain = errors.pop("plain", {})
        found = []
        for theirs in errors.values():
            seeds = sorted(s for s in plain.keys() & theirs.keys() if plain[s] + theirs[s] < 200)
            pair = [plain[s] for s in seeds], [theirs[s] for s in seeds]
            if len(seeds) >= SEEDS_NEEDED and all(map(np.ptp, pair)):
                found.append((float(np.corrcoef(pair)[0, 1]), len(seeds)))
        if found:
            values = [value for value, _ in found]
            yield EVIDENCE[name].title, min(values), max(values), min(n for _, n in found)
