"""One row of the table: what was measured of ours and of the usual way, and the goal."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NEEDS_GPU = "needs a GPU"


@dataclass(frozen=True)
class Goal:
    """A limit that a number must not exceed, or with `at_least` must reach."""

    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:.3g}"


@dataclass(frozen=True)
class Row:
    """ours, usual: one number per repeat, in `unit`; those of one repeat were measured in turn.

    A row without a usual way only reports ours. One without numbers says in its note why.
    The goal is one for the ratio ours ÷ usual, or for ours where there is no usual way.
    parts: of a profile, what `ours` is made of, in the same unit.
    """

    name: str
    unit: str = ""
    ours: Sequence[float] = ()
    usual: Sequence[float] = ()
    goal: Goal | None = None
    note: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """ours ÷ usual, per repeat."""
        if not self.usual:
            return []
        return [ours / usual for ours, usual in zip(self.ours, self.usual, strict=True)]

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None without a goal or without numbers."""
        judged = self.ratios or list(self.ours)
        return self.goal.met(statistics.median(judged)) if self.goal and judged else None


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, interpolated; of one value three times it."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
