"""A row of the report: what was measured of ours and of the usual way, and the goal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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
class Measurement:
    """ours, usual: one number per repeat, in `unit`; those of one repeat were measured in turn.

    Without a usual way it only reports ours. Without numbers it says in its note why. The goal is
    one for the ratio ours ÷ usual, or for ours where there is no usual way.
    """

    name: str
    unit: str = ""
    ours: ArrayLike = ()
    usual: ArrayLike = ()
    goal: Goal | None = None
    note: str = ""

    @property
    def ratios(self) -> np.ndarray:
        """ours ÷ usual, per repeat; empty without a usual way."""
        return np.divide(self.ours, self.usual) if np.size(self.usual) else np.array([])

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None without a goal or without numbers."""
        judged = self.ratios if self.ratios.size else np.asarray(self.ours)
        return self.goal.met(float(np.median(judged))) if self.goal and judged.size else None
