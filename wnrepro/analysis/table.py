"""A table as numbers (CSV) and as words (Markdown, LaTeX)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from wnrepro.statistics import Interval

MISSING = "–"
"""What is missing stays missing: an en dash, never 0."""
_WIDE = 5
"""More columns than these are shrunk to the width of the text."""
_TEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "‖": r"$\|$",
    "β": r"$\beta$",
    "ε": r"$\varepsilon$",
    "…": r"\ldots{}",
}


@dataclass(frozen=True)
class Table:
    """columns: headings. rows: cells as words, one per column. values: the numbers behind them, in
    full, one row per row or finer; NaN where missing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    values: pd.DataFrame

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells in a row of {len(self.columns)} columns: {row}")

    def markdown(self) -> str:
        rule = ["---"] * len(self.columns)
        lines = [
            "| " + " | ".join(map(_md, row)) + " |" for row in (self.columns, rule, *self.rows)
        ]
        return "\n".join(lines) + "\n"

    def latex(self, caption: str, label: str) -> str:
        """A table environment; needs the packages booktabs and, if it is wide, graphicx."""
        body = [" & ".join(map(tex, row)) + r" \\" for row in self.rows]
        wide = len(self.columns) > _WIDE
        fitted = r"\resizebox{\linewidth}{!}{" if wide else ""
        return "\n".join(
            (
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{tex(caption)}}}",
                rf"\label{{tab:{label}}}",
                rf"{fitted}\begin{{tabular}}{{{'l' * len(self.columns)}}}",
                r"\toprule",
                " & ".join(map(tex, self.columns)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}" + ("}" if wide else ""),
                r"\end{table}",
                "",
            )
        )

    def csv(self) -> str:
        return self.values.to_csv(index=False, lineterminator="\n")


def tex(text: str) -> str:
    """`text` for LaTeX, its special characters escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def number(value: float | None, digits: int = 2) -> str:
    """A finite number with so many digits after the point, else an en dash."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def with_interval(interval: Interval | None, digits: int = 2) -> str:
    """ "8.46 [8.30, 8.62]"; one value has no interval."""
    if interval is None:
        return MISSING
    mean = number(interval.estimate, digits)
    if interval.n == 1:
        return mean
    return f"{mean} [{number(interval.low, digits)}, {number(interval.high, digits)}]"


def with_pairs(interval: Interval | None, n: int, digits: int = 2) -> str:
    """`with_interval`, and of how many pairs where that is not the n beside it."""
    said = with_interval(interval, digits)
    if interval is None or interval.n == n:
        return said
    return f"{said} ({interval.n} pair{'' if interval.n == 1 else 's'})"


def listed(values: Iterable[float], digits: int = 2) -> str:
    """All values in the order given; a run that diverged is said to have."""
    words = [number(v, digits) if math.isfinite(v) else "diverged" for v in values]
    return ", ".join(words) or MISSING


def interval_values(prefix: str, interval: Interval | None) -> dict[str, Any]:
    """Columns of the CSV: the estimate, its interval, the interval's name, and n."""
    estimate, low, high, name, n = math.nan, math.nan, math.nan, None, 0
    if interval is not None:
        estimate, n = interval.estimate, interval.n
        if interval.n > 1:  # one value has no interval
            low, high, name = interval.low, interval.high, interval.name
    ends = {f"{prefix}_low": low, f"{prefix}_high": high}
    return {prefix: estimate, **ends, f"{prefix}_interval": name, f"{prefix}_n": n}


def _md(cell: str) -> str:
    return cell.replace("|", r"\|")
