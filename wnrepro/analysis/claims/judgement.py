"""The verdicts: each claim's number against its criterion, and what would settle it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wnrepro.analysis.captions import commit, hardware
from wnrepro.analysis.claims.claim import UNSIGNED, Claim, Region
from wnrepro.analysis.claims.criteria import CLAIMS, OURS
from wnrepro.analysis.claims.measures import Sample, label
from wnrepro.analysis.claims.seeds import of_pilot
from wnrepro.analysis.evidence import EVIDENCE, Evidence, select
from wnrepro.analysis.records import AGAIN, Records, read_csv
from wnrepro.intervals import Interval
from wnrepro.mechanisms import NAMES, verdicts
from wnrepro.mechanisms.experiment import NOT_TESTED, SEEDS_NEEDED, Outcome, decide

MORE_SEEDS = 5
UNSETTLED = ("inconclusive", NOT_TESTED)
VERDICT, OUR_VERDICT, NEAREST = "verdict", "verdict on a claim of ours", "nearest evidence"
MECHANISM, IDENTITY, FINDING = "mechanism", "identity", "finding"
_RATIOS = {"row": str, "repeats": str, "hardware": str, "commit": str} | dict.fromkeys(
    ("ratio", "ratio_q1", "ratio_q3"), float
)
"""Columns of the tables of results/benchmarks/ that are used here."""


@dataclass(frozen=True)
class Row:
    """A line of the table of claims. All text, as it is shown.

    role: VERDICT, one per claim of the paper's; OUR_VERDICT, one per claim of ours on smaller
    networks; NEAREST, the same number from another experiment, which gives no verdict; MECHANISM or
    IDENTITY, one per verdict of the mechanism page; FINDING, one of its numbers.
    n: of seeds, or with another word after it. welch: the interval that does not pair, beside the
    one that judges. caveat: what a reader must know who sees the verdict. power: of the runs, known
    before them.
    """

    role: str
    id: str
    claim: str
    source: str = ""
    paper: str = ""
    quantity: str = ""
    criterion: str = ""
    judged_on: str = ""
    ours: str = ""
    interval: str = ""
    n: str = "0"
    paired: str = ""
    welch: str = ""
    verdict: str = ""
    because: str = ""
    caveat: str = ""
    power: str = ""
    settle: str = ""
    hardware: str = ""
    commit: str = ""


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
    hindered: bool


def all_rows(records: Records, results: Path) -> list[Row]:
    """Every claim with its verdict and the nearest evidence, then the mechanism experiments.

    Raises:
        RunError: the mechanism experiments' verdicts or the benchmarks cannot be read.
    """
    timed = ratios(results / "benchmarks")
    rows = [
        row
        for role, claims in ((VERDICT, CLAIMS), (OUR_VERDICT, OURS))
        for claim in claims
        for row in (*judge(claim, records, role), *benchmark_rows(claim, timed))
    ]
    return [*rows, *mechanism_rows(results / "mechanisms")]


def judge(claim: Claim, records: Records, role: str = VERDICT) -> list[Row]:
    """The verdict on a claim, then the nearest evidence.

    Of the evidence that may judge, that with most runs does: with most seeds, whether they
    diverged or not, so that nothing is chosen by how it came out.
    """
    candidates = [measured(claim, records, name) for name in claim.judged_by]
    chosen = max(candidates, key=lambda each: len(each.sample.runs))  # the first of equals
    beside = [each for each in candidates if each is not chosen]
    beside += [measured(claim, records, name) for name in claim.nearest]
    return [
        _row(
            role,
            claim,
            chosen,
            records,
            verdict=chosen.outcome,
            because=chosen.because,
            caveat=" ".join(filter(None, (claim.caveat, _interim(chosen)))),
            power=of_pilot(claim),
            settle=_settle(claim, chosen, records) if chosen.outcome in UNSETTLED else "",
        ),
        *(
            _row(NEAREST, claim, each, records, because=each.sample.hindrance or each.sample.note)
            for each in beside
            if each.n
        ),
    ]


def measured(claim: Claim, records: Records, evidence: str) -> Measured:
    """The claim's number from the runs of `evidence`, and what would follow from it."""
    own = select(records, evidence)
    found = [(sample, sample.interval()) for measure in claim.measures for sample in [measure(own)]]
    n = min(interval.n if interval else 0 for _, interval in found)
    worst, interval = min(found, key=lambda each: _standing(each[1], claim.region))
    if hindrance := "; ".join(sample.hindrance for sample, _ in found if sample.hindrance):
        outcome, because = "inconclusive", hindrance
    elif not n:
        outcome, because = NOT_TESTED, "no evidence yet"
    elif n < SEEDS_NEEDED:
        outcome, because = "inconclusive", f"n = {n}; a verdict needs {SEEDS_NEEDED} seeds"
    else:
        inside = sum(bool(each) and _depth(each, claim.region) > 0 for _, each in found)
        outside = _outside(interval, claim.region) > 0
        reproduced = inside >= (claim.enough or len(found)) and not outside
        outcome = decide(n, reproduced=reproduced, not_reproduced=outside)
        where = {"reproduced": "lies within", "not reproduced": "lies outside"}
        because = f"the interval {where.get(outcome, 'reaches across the edge of')} the criterion"
        if claim.enough:
            because = f"{inside} of {len(found)} intervals lie within the region"
            because += ", and one outside" * outside
        notes = "; ".join(filter(None, (worst.note, worst.otherwise)))
        because += f" ({notes})" if notes else ""
    return Measured(evidence, n, worst, interval, outcome, because, bool(hindrance))


def ratios(folder: Path) -> pd.DataFrame:
    """Every ratio that the benchmark timed, device by device, by the names of their files.

    Raises:
        RunError: a table of the benchmark cannot be read.
    """
    mend = f"{AGAIN}, or measure it again with python scripts/benchmark.py"
    tables = [
        read_csv(path, mend, usecols=list(_RATIOS), dtype=_RATIOS).assign(device=path.stem)
        for path in sorted(folder.glob("*.csv"))
        if not path.stem.endswith("_profile")
    ]
    return pd.concat([pd.DataFrame(columns=[*_RATIOS, "device"]), *tables]).dropna(subset="ratio")


def benchmark_rows(claim: Claim, timed: pd.DataFrame) -> Iterator[Row]:
    """The claim's benchmark on every device that has it. timed: what `ratios` returned."""
    for found in timed[timed["row"] == claim.benchmark].to_dict("records"):
        low, middle, high = (found[key] for key in ("ratio_q1", "ratio", "ratio_q3"))
        yield _of(
            claim,
            NEAREST,
            judged_on=f"benchmarks/{found['device']}.md, {claim.benchmark}",
            ours=f"{middle:.2f}{claim.region.unit} [{low:.2f}, {high:.2f}]",
            interval="median and quartiles over repeats",
            n=f"{found['repeats']} repeats",
            paired="by repeat",
            hardware=found["hardware"],
            commit=found["commit"],
        )


def mechanism_rows(folder: Path) -> list[Row]:
    """The mechanism experiments, each followed by its findings.

    They are read and not judged again: the code that judges imports torch, which the analysis does
    without.

    Raises:
        RunError: the verdicts cannot be read.
    """
    rows = []
    for each in verdicts.read(folder):
        run = each.verdict != NOT_TESTED
        made = {"hardware": each.hardware, "commit": each.commit}
        experiment = Row(
            IDENTITY if each.kind == "identity" else MECHANISM,
            each.id,
            each.claim,
            source=each.source,
            quantity=each.title,
            criterion=each.criterion,
            judged_on=f"mechanisms/README.md, section {NAMES.index(each.name) + 1}",
            ours=each.because,
            interval="given with each number" if run else "",
            n=str(each.seeds),
            verdict=each.verdict,
            because="" if run else "no evidence yet",
            caveat=each.caveat,
            settle="" if run else f"{verdicts.COMMAND} {each.name}",
            **made,
        )
        rows.append(experiment)
        for found in each.findings:
            texts = {"ours": found.value, "interval": found.interval, "n": found.n, **made}
            rows.append(Row(FINDING, experiment.id, found.what, **texts))
    return rows


def _standing(interval: Interval | None, region: Region) -> tuple[float, float]:
    """Worst first: no interval; wholly outside, the furthest first; then by how deep it reaches."""
    if interval is None:
        return -math.inf, 0.0
    return -max(0.0, _outside(interval, region)), _depth(interval, region)


def _outside(interval: Interval, region: Region) -> float:
    """How far outside of the region the whole interval lies; negative if it does not."""
    return max(region.low - interval.high, interval.low - region.high)


def _depth(interval: Interval, region: Region) -> float:
    """How far inside the region the nearer end lies; negative outside of it."""
    ends = ((interval.low, region.low), (-interval.high, -region.high))
    return min(end - edge if math.isfinite(edge) else math.inf for end, edge in ends)


def _settle(claim: Claim, chosen: Measured, records: Records) -> str:
    evidence = EVIDENCE[chosen.evidence]
    if chosen.hindered:
        return "not more seeds; first understand the runs named"
    if chosen.n < SEEDS_NEEDED:
        names = [chosen.evidence] if chosen.n else claim.judged_by
        return " or ".join(_enough_seeds(EVIDENCE[name]) for name in names)
    if chosen.sample.at_least or chosen.sample.at_most:
        return f"not seeds alone, for some values are only bounds: {chosen.sample.note}"
    if not evidence.more_seeds:
        return f"more seeds in conf/sweep/{evidence.name}.yaml, then {evidence.command}"
    first = int(select(records, evidence.name).runs["seed"].max()) + 1
    return evidence.with_seeds(range(first, first + MORE_SEEDS))


def _interim(chosen: Measured) -> str:
    """What is decided before all planned runs are in can be turned by those to come."""
    planned = EVIDENCE[chosen.evidence].n_seeds
    if chosen.outcome in UNSETTLED or chosen.n >= planned:
        return ""
    return f"So far {chosen.n} of the {planned} planned seeds: the rest may change the verdict."


def _enough_seeds(evidence: Evidence) -> str:
    """The command, with seeds of its own where the sweep has too few for a verdict."""
    few = evidence.n_seeds < SEEDS_NEEDED
    return evidence.with_seeds(range(SEEDS_NEEDED)) if few else evidence.command


def _row(role: str, claim: Claim, found: Measured, records: Records, **texts: str) -> Row:
    runs = records.runs.loc[list(found.sample.runs)] if found.n else records.runs.iloc[:0]
    made = runs.to_dict("records")
    interval = ""
    if found.interval:
        interval = found.interval.name if found.n > 1 else "none: one value has no interval"
    return _of(
        claim,
        role,
        judged_on=EVIDENCE[found.evidence].title,
        ours=_number(found, claim),
        interval=interval,
        n=str(found.n),
        paired="by seed" if found.sample.paired else "no",
        welch=_ends(welch, claim) if (welch := found.sample.welch()) else "",
        hardware=_joined(map(hardware, made)),
        commit=_joined(map(commit, made)),
        **texts,
    )


def _of(claim: Claim, role: str, **found: str) -> Row:
    """A line about the claim, with what was found."""
    known = {"source": claim.source, "paper": claim.paper, "quantity": claim.quantity}
    return Row(role, claim.id, claim.words, criterion=claim.criterion, **known, **found)


def _number(found: Measured, claim: Claim) -> str:
    if (interval := found.interval) is None:
        return ""
    number = f"{interval.estimate:{_form(claim)}}{claim.region.unit}".replace("-", "−")
    if interval.n > 1:
        number += f" {_ends(interval, claim)}"
    if len(claim.measures) > 1:
        failed = found.outcome == "not reproduced"
        role = "the comparison that fails" if failed else "the closest call"
        number += f" against {label(found.sample.against)}, {role}"
    return number


def _ends(interval: Interval, claim: Claim) -> str:
    ends = (f"{end:{_form(claim)}}" for end in (interval.low, interval.high))
    low, high = (end.replace("+inf", "∞").replace("inf", "∞").replace("-", "−") for end in ends)
    return f"[{low}, {high}]"


def _form(claim: Claim) -> str:
    sign = "" if claim.region.unit in UNSIGNED else "+"
    return f"{sign}.{2 if claim.region.unit else 3}f"


def _joined(texts: Iterable[str]) -> str:
    return " + ".join(sorted(set(texts)))
