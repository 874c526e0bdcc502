"""What a figure or table of the results is, and how its numbers are written."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure as Drawing

from wnrepro.analysis.captions import caption, heading
from wnrepro.analysis.evidence import EVIDENCE, begun, select
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, finite
from wnrepro.intervals import Interval, T, t_interval

MISSING = "–"
"""What is missing stays missing: an en dash, never 0."""
MEAN = f"In brackets the {T}"
BROKEN = 2
"""A run has broken down that ends with over so many times the median test error of its setting."""

Rows = Iterator[tuple[dict[str, str], dict[str, Any]]]
"""Heading → what is read; column → value. Either is empty where it has no such row."""


class Cells(NamedTuple):
    """words: a table as it is read. values: its numbers with all digits; NaN where missing."""

    words: pd.DataFrame
    values: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A figure or table.

    name: of its files. title: what it shows. evidence: names in EVIDENCE. says: what its caption
    says beyond n, divergence and provenance. timed: it compares times, and so shows only runs
    whose times may be compared. in_progress: it shows runs as far as they have come.
    """

    name: str
    title: str
    evidence: tuple[str, ...]
    says: str = ""
    timed: bool = False
    in_progress: bool = False

    def used(self, records: Records) -> list[str]:
        """Of `evidence`, what is shown: here whatever has runs, side by side."""
        return [e for e in self.evidence if begun(records, e, self.in_progress)]

    def caption(self, records: Records) -> str:
        """What is shown, and the notes."""
        return f"{self.title}. {self.notes(records)}"

    def notes(self, records: Records) -> str:
        """How it is to be read, n, which runs diverged, what is missing, hardware and commits."""
        selected = {name: select(records, name, self.in_progress) for name in self.used(records)}
        said = (caption(name, own, self.timed) for name, own in selected.items())
        return " ".join(filter(None, (self.says, *said)))

    def lacks(self, records: Records) -> list[str]:
        """A line for each evidence that is not complete, with the command that gets the rest."""
        shown = (EVIDENCE[name] for name in self.used(records) or self.evidence)
        return [
            f"{each.name} has {have} of {each.planned} runs: {each.command}"
            for each in shown
            if (have := each.have(records.runs)) < each.planned
        ]

    def shown(self, records: Records) -> Records:
        """The runs of what is shown; their column `evidence` says for what each is."""
        parts = {name: select(records, name, self.in_progress) for name in self.used(records)}
        of = {key: name for name, part in parts.items() for key in part.runs.index}
        found = records.of(pd.Index(of))
        found = replace(found, runs=found.runs.assign(evidence=found.runs.index.map(of)))
        return found.timed_alike() if self.timed else found


@dataclass(frozen=True, kw_only=True)
class Figure(Exhibit):
    """draw: from the selected runs, the paper's numbers and a heading with evidence and n.

    together: it draws all its evidence, and keeps it apart; else only one is drawn.
    """

    draw: Callable[[Records, Paper, str], Drawing]
    together: bool = False

    def used(self, records: Records) -> list[str]:
        """The one with the most of its planned runs, the first of equals; nothing without runs.

        Several are the paper's protocol in other arithmetic: never mixed in one curve.
        """
        known = super().used(records)
        if self.together or not known:
            return known

        def have(name: str) -> tuple[int, ...]:
            """To the end, and all that are shown."""
            return tuple(EVIDENCE[name].have(records.runs, u) for u in (False, self.in_progress))

        return [max(known, key=have)]

    def drawing(self, records: Records, paper: Paper) -> Drawing:
        shown, first = self.shown(records), self.used(records)[0]
        titled = shown.of(shown.runs.index[shown.runs["evidence"] == first])
        return self.draw(shown, paper, heading(first, titled))


@dataclass(frozen=True, kw_only=True)
class Table(Exhibit):
    """rows: from the selected runs and the paper's numbers."""

    rows: Callable[[Records, Paper], Rows]

    def cells(self, records: Records, paper: Paper) -> Cells:
        rows = list(self.rows(self.shown(records), paper))
        first = self.used(records)[0]
        values = [v | {"evidence": v.get("evidence", first)} for _, v in rows if v]
        words = pd.DataFrame([said for said, _ in rows if said]).fillna(MISSING)
        return Cells(words, pd.DataFrame(values))


def number(value: float | None, digits: int = 2) -> str:
    """A finite number with so many digits after the point, else an en dash."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def with_interval(interval: Interval | None, digits: int = 2, n: int | None = None) -> str:
    """ "8.46 [8.30, 8.62]"; one value has no interval.

    n: what stands beside it; where the interval is of other so many pairs, they are counted.
    """
    if interval is None:
        return MISSING
    said = number(interval.estimate, digits)
    if interval.n > 1:
        said += f" [{number(interval.low, digits)}, {number(interval.high, digits)}]"
    if n is not None and interval.n != n:
        said += f" ({interval.n} pair{'' if interval.n == 1 else 's'})"
    return said


def broken(seeds: dict[int, float]) -> list[int]:
    """Which runs of one setting, of at least 3, were trained to the end and broke down.

    seeds: seed → test error.
    """
    known = finite(seeds)
    if len(known) < 3:
        return []
    return [seed for seed, error in known.items() if error > BROKEN * median(known.values())]


def summary(seeds: dict[int, float], down: list[int], digits: int = 2) -> str:
    """The mean with its interval; where runs are `down` the median, all values, and how many."""
    if not down:
        return with_interval(interval_of(seeds), digits)
    known = sorted(finite(seeds).values())
    said = f"median {number(median(known), digits)} of {listed(known, digits)}"
    return f"{said}; {len(down)} of {len(seeds)} broke down"


def listed(values: Iterable[float], digits: int = 2) -> str:
    """All values in the order given; a run that diverged is said to have."""
    words = [number(v, digits) if math.isfinite(v) else "diverged" for v in values]
    return ", ".join(words) or MISSING


def count(seeds: dict[int, float]) -> str:
    """How many runs an interval is of; those that diverged are counted beside it."""
    n = len(finite(seeds))
    return str(n) if n == len(seeds) else f"{n} of {len(seeds)} ({len(seeds) - n} diverged)"


def counts(seeds: dict[int, float]) -> dict[str, int]:
    """Columns of the CSV: how many runs have a number, and how many diverged."""
    n = len(finite(seeds))
    return {"n": n, "diverged": len(seeds) - n}


def each_seed(seeds: dict[int, float]) -> dict[str, str]:
    """Column of the CSV: every value, in the order of seeds."""
    return {"values": " ".join(map(str, seeds.values()))}


def interval_of(seeds: dict[int, float]) -> Interval | None:
    """The t interval over those that have a number; None for none."""
    known = list(finite(seeds).values())
    return t_interval(known) if known else None


def interval_values(prefix: str, interval: Interval | None) -> dict[str, Any]:
    """Columns of the CSV: the estimate, its interval, the interval's name, and n."""
    estimate, low, high, name, n = math.nan, math.nan, math.nan, None, 0
    if interval is not None:
        estimate, n = interval.estimate, interval.n
        if interval.n > 1:  # one value has no interval
            low, high, name = interval.low, interval.high, interval.name
    ends = {f"{prefix}_low": low, f"{prefix}_high": high}
    return {prefix: estimate, **ends, f"{prefix}_interval": name, f"{prefix}_n": n}
