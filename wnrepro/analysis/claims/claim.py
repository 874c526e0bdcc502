"""What a claim is: a region for one number."""

from dataclasses import dataclass
from math import inf

from wnrepro.analysis.claims.measures import Measure

FULL = ("cifar_table1", "cifar_table1_bf16")
SMALL = ("cifar_small", "fashion_mnist_arms", "mnist_arms")
POINTS, TIMES = " percentage points", " times"
PERCENT, SCORE = " %", " points a game"
"""Of one arm's own level."""
UNSIGNED = (TIMES, PERCENT, SCORE)
"""A number in these is no difference."""


@dataclass(frozen=True)
class Region:
    """low … high, in `unit`."""

    low: float
    high: float
    unit: str

    def text(self) -> str:
        low, high = (f"{end:g}".replace("-", "−") for end in (self.low, self.high))
        if self.low == -inf:
            return f"below {high}{self.unit}"
        if self.high == inf:
            return f"above {low}{self.unit}"
        return f"from {low} to {high}{self.unit}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One checkable part of a claim.

    id: the number of the claim in the list of the paper's claims, and a letter for its part.
    words: the paper's, paraphrased. paper: its numbers. quantity: what is measured, in words.
    measures: one, or several that must all lie in the region (“the best” is better than each), or
    `enough` of them, the others not outside.
    judged_by: names of evidence that may give the verdict; the one with most seeds does, the first
    of equals. nearest: evidence shown beside it, which never does; benchmark: the row of the
    benchmark that is shown there too, where one bears on the claim.
    expected: the paper's number, of several measures the one nearest to the region's edge; None
    where it gives none; of a claim of ours a difference that would count. pilot: the standard
    deviation over seeds of either side, as seen before the runs; 0 for none. caveat: what was seen
    before the criterion was written.
    """

    id: str
    words: str
    source: str
    paper: str
    quantity: str
    measures: tuple[Measure, ...]
    region: Region
    enough: int | None = None
    judged_by: tuple[str, ...] = FULL
    nearest: tuple[str, ...] = SMALL
    benchmark: str = ""
    expected: float | None = None
    pilot: tuple[float, float] = (0.0, 0.0)
    caveat: str = ""

    @property
    def criterion(self) -> str:
        if self.enough is None:
            return self.region.text()
        said = f"{self.region.text()} in {self.enough} of {len(self.measures)}"
        return f"{said}, and wholly outside in none"
