"""The range of learning rates that an arm works with, read off its losses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """low … high: learning rates whose loss is at most `factor` times the best.

    cut: whether one end is the end of what was tried, so that the range may be wider.
    """

    low: float
    high: float
    best: float
    cut: bool

    @property
    def decades(self) -> float:
        return math.log10(self.high / self.low)


def good_range(rates: Sequence[float], losses: Sequence[float], factor: float = 1.1) -> Range:
    """The unbroken range around the best learning rate within `factor` of the best loss.

    Between two rates the loss is taken to be straight in log-log, so that the ends need not be
    rates that were tried. A loss that is not finite (diverged) is outside; there the range ends at
    the last finite rate. rates: rising. Raises ValueError if no loss is finite.
    """
    finite = [k for k, loss in enumerate(losses) if math.isfinite(loss)]
    if not finite:
        raise ValueError("every learning rate diverged: there is no best one")
    best = min(finite, key=lambda k: losses[k])
    bound = factor * losses[best]
    low, cut_low = _end(rates, losses, best, -1, bound)
    high, cut_high = _end(rates, losses, best, +1, bound)
    return Range(low, high, rates[best], cut_low or cut_high)


def _end(
    rates: Sequence[float], losses: Sequence[float], k: int, step: int, bound: float
) -> tuple[float, bool]:
    while True:
        following = k + step
        if not 0 <= following < len(rates):
            return rates[k], True
        if not math.isfinite(losses[following]):
            return rates[k], False
        if losses[following] > bound:
            rise = math.log(losses[following] / losses[k])
            part = math.log(bound / losses[k]) / rise
            return rates[k] * (rates[following] / rates[k]) ** part, False
        k = following
