"""The verdicts: each claim's number against its criterion, and what would settle it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from wnrepro.analysis.claims_measures import Sample
from wnrepro.analysis.claims_paper import DECADES, POINTS, Claim, Region
from wnrepro.analysis.claims_provenance import commit, hardware
from wnrepro.analysis.claims_row import NEAREST, VERDICT, Row
from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS
from wnrepro.mechanisms.experiment import SEEDS_NEEDED, Outcome, decide
from wnrepro.statistics import Interval

MORE_SEEDS = 5


@dataclass(frozen=True)
class Measured:
    """A claim's number from the runs of one experiment. n: seeds of the measure that has fewest.

    Of several measures sample and interval are those of the one that the outcome rests on: one
    that lies outside of the region if any does, else the one that reaches least into it.
    hindered: no number of seeds would give a verdict.
    """

    evidence: str
    n: int
    sample: Sample
    interval: Interval | None
    outcome: Outcome
    because: str
    hindered: bool = False


def judge(claim: Claim, records: Records) -> list[Row]:
    """The verdict on a claim, then the nearest evidence.

    Of the evidence that may judge, that with most runs does: with most seeds, whether they
    diverged or not, so that nothing is chosen by how it came out.
    """
    candidates = [measured(claim, records, name) for name in claim.judged_by]
    chosen = max(candidates, key=lambda each: len(each.sample.runs))  # the first of equals
    beside = [each for each in candidates if each is not chosen]
    beside += [measured(claim, records, name) for name in claim.nearest]
    inconclusive = chosen.outcome == "inconclusive"
    verdict = _row(
        VERDICT,
        claim,
        chosen,
        records,
        verdict=chosen.outcome,
        because=chosen.because,
        settle=_settle(claim, chosen, records) if inconclusive else "",
    )
    nearest = [
        _row(NEAREST, claim, each, records, because=each.sample.hindrance or each.sample.note)
        for each in beside
        if each.n
    ]
    return [verdict, *nearest]


def measured(claim: Claim, records: Records, evidence: str) -> Measured:
    """The claim's number from the runs of `evidence`, and what would follow from it."""
    own = select(records, evidence)
    found = [(sample, sample.interval()) for measure in claim.measures for sample in [measure(own)]]
    n = min(interval.n if interval else 0 for _, interval in found)
    worst, interval = min(found, key=lambda each: _standing(each[1], claim.region))
    if hindrance := "; ".join(sample.hindrance for sample, _ in found if sample.hindrance):
        return Measured(evidence, n, worst, interval, "inconclusive", hindrance, True)
    if n < SEEDS_NEEDED:
        because = f"n = {n}; a verdict needs {SEEDS_NEEDED} seeds" if n else "no evidence yet"
        return Measured(evidence, n, worst, interval, "inconclusive", because)
    outcome = decide(
        n,
        reproduced=_depth(interval, claim.region) > 0,
        not_reproduced=_outside(interval, claim.region) > 0,
    )
    where = {"reproduced": "lies within", "not reproduced": "lies outside"}
    because = f"the interval {where.get(outcome, 'reaches across the edge of')} the criterion"
    notes = "; ".join(filter(None, (worst.note, worst.otherwise)))
    because += f" ({notes})" if notes else ""
    return Measured(evidence, n, worst, interval, outcome, because)


def _standing(interval: Interval | None, region: Region) -> tuple[float, float]:
    """Worst first: no interval; wholly outside, the furthest first; then by how deep it reaches."""
    if interval is None:
        return -math.inf, 0.0
    return -max(0.0, _outside(interval, region)), _depth(interval, region)


def _outside(interval: Interval, region: Region) -> float:
    """How far outside of the region the whole interval lies; negative if it does not."""
    return max(region.low - interval.high, interval.low - region.high)


def _depth(interval: Interval | None, region: Region) -> float:
    """How far inside the region the nearer end lies; negative outside of it."""
    if interval is None:
        return -math.inf
    ends = [
        interval.low - region.low if math.isfinite(region.low) else math.inf,
        region.high - interval.high if math.isfinite(region.high) else math.inf,
    ]
    return min(ends)


def _settle(claim: Claim, chosen: Measured, records: Records) -> str:
    evidence = EVIDENCE[chosen.evidence]
    if chosen.hindered:
        return "not more seeds; first understand the runs named"
    if chosen.n < SEEDS_NEEDED:
        names = [chosen.evidence] if chosen.n else claim.judged_by
        return " or ".join(EVIDENCE[name].command for name in names)
    if chosen.sample.at_least or chosen.sample.at_most:
        return f"not seeds alone, for some values are only bounds: {chosen.sample.note}"
    if not evidence.more_seeds:
        return f"more seeds in conf/sweep/{evidence.name}.yaml, then {evidence.command}"
    first = int(select(records, evidence.name).runs["seed"].max()) + 1
    seeds = ",".join(str(seed) for seed in range(first, first + MORE_SEEDS))
    return f"{evidence.command} seed={seeds}"


def _row(role: str, claim: Claim, found: Measured, records: Records, **texts: str) -> Row:
    runs = records.runs.loc[list(found.sample.runs)] if found.n else records.runs.iloc[:0]
    made = runs.to_dict("records")
    return claim.row(
        role,
        judged_on=EVIDENCE[found.evidence].title,
        ours=_number(found, claim),
        interval=_name(found.interval),
        n=str(found.n),
        paired="by seed" if found.sample.paired else "no",
        hardware=_joined(map(hardware, made)),
        commit=_joined(map(commit, made)),
        **texts,
    )


def _number(found: Measured, claim: Claim) -> str:
    if (interval := found.interval) is None:
        return ""
    sign = "+" if claim.region.unit in (POINTS, DECADES) else ""
    form = f"{sign}.{2 if claim.region.unit else 3}f"  # a correlation near 1 needs more digits
    number = f"{interval.estimate:{form}}{claim.region.unit}"
    if interval.n > 1:
        low, high = (
            f"{end:{form}}".replace("+inf", "∞").replace("inf", "∞")
            for end in (interval.low, interval.high)
        )
        number += f" [{low}, {high}]"
    number = number.replace("-", "−")
    if len(claim.measures) > 1:
        failed = found.outcome == "not reproduced"
        role = "the comparison that fails" if failed else "the closest call"
        number += f" against {ARMS[found.sample.against].label}, {role}"
    return number


def _name(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return interval.name if interval.n > 1 else "none: one value has no interval"


def _joined(texts: Iterable[str]) -> str:
    return " + ".join(sorted(set(texts)))
