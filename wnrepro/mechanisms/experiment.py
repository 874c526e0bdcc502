"""What an experiment is.

A module `wnrepro/mechanisms/<name>.py`, listed in `wnrepro.mechanisms.NAMES`, holds one
`EXPERIMENT = Experiment(name="<name>", …)`. In the order in which they happen:

1. **The text** says, before there are results, what the paper claims, what is expected and what
   would count as reproduced or as not reproduced.
2. `parts(smoke)` lists the pieces of work, each a flat dict of numbers and strings: e.g. one arm at
   one learning rate with one seed, *and every setting it depends on* (width, epochs, …).
3. `measure(part)` does one piece, in a process of its own with one thread, and returns rows by
   table: `{"<name>": [...], "<name>_steps": [...]}`. It must depend on nothing but the part: the
   piece is kept in a file under a hash of (name, version, part), and a piece that is there is
   never done again. Changed settings are thus new pieces; **changed code is not: raise `version`**.
4. The rows of all pieces, in the order of `parts`, become `<results>/<table>.csv`. Column names
   carry units (`train_loss_nats`, `learning_rate`). None is an empty cell: missing. `inf` and `nan`
   are written as such, but pandas reads `nan` as missing too: say in a column of its own (0 or 1)
   that a run diverged.
5. `verdict(data)` and `draw(data)` see those CSV files alone, as `{table: DataFrame}`, so that
   anybody can repeat the judgement and the figure without repeating the measurement.
   `verdict` is a pure function that can come out in all three ways; use `decide`, which refuses a
   verdict below three seeds, and the named intervals of `wnrepro.statistics`.
   `draw` returns a matplotlib Figure, about 7 inches wide, made inside the style of
   `wnrepro.drawing`; it is saved as `<results>/<name>.png`, `.svg` and `-dark.svg`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import pandas as pd
from matplotlib.figure import Figure

from wnrepro.statistics import Interval

Scalar = int | float | str
Part = Mapping[str, Scalar]
"""The parameters of one piece of work, all of them."""
Row = Mapping[str, Scalar | None]
Tables = Mapping[str, Sequence[Row]]
"""Rows by table; a table's name is the stem of its CSV file: the experiment's name, or that, `_`
and more."""
Data = Mapping[str, pd.DataFrame]
"""The CSV files by the same names, as read back."""

Outcome = Literal["reproduced", "not reproduced", "inconclusive"]

SEEDS_NEEDED = 3


@dataclass(frozen=True)
class Finding:
    """One number of the result, as text for the page.

    what: in words, with the unit. interval: with its name, e.g. "[1.2, 1.4], 95 % t over seeds";
    empty for a number that has none (a maximum, a count). n: e.g. "5 seeds".
    """

    what: str
    value: str
    interval: str
    n: str

    @classmethod
    def of_interval(cls, what: str, interval: Interval, form: str, after: str = "") -> Self:
        """A mean over seeds with its interval. form: of the numbers. after: follows the mean."""
        value = f"{interval.estimate:{form}}{after}"
        return cls(what, value, interval.text(form), f"{interval.n} seeds")


@dataclass(frozen=True)
class Verdict:
    """outcome, the sentence that gives the reason, the numbers behind it, and on how many seeds."""

    outcome: Outcome
    because: str
    findings: tuple[Finding, ...]
    seeds: int


@dataclass(frozen=True)
class Experiment:
    """One claim of the paper and its test. Texts are Markdown; equations may use $…$.

    name: the module's; also the stem of its files.
    title: a few words for the heading.
    claim: what the paper says, paraphrased. source: where, e.g. "Section 2.1, equation 4".
    equation: the relation that is tested.
    setup: what is run: data, network, optimiser, how many seeds.
    expectation: what should come out and why, written down before it was run.
    reproduced_if, not_reproduced_if: the criteria that `verdict` implements; anything else is
        inconclusive.
    caption: of the figure, with n, from the CSV files.
    afterwards: what the results taught beyond the verdict; the only text written after the run.
    version: part of the identity of every piece; raise it when `measure` changes its numbers.
    """

    name: str
    title: str
    claim: str
    source: str
    equation: str
    setup: str
    expectation: str
    reproduced_if: str
    not_reproduced_if: str
    parts: Callable[[bool], Sequence[Part]]
    measure: Callable[[Part], Tables]
    verdict: Callable[[Data], Verdict]
    draw: Callable[[Data], Figure]
    caption: Callable[[Data], str]
    afterwards: str = ""
    version: int = 1


def decide(seeds: int, *, reproduced: bool, not_reproduced: bool) -> Outcome:
    """The outcome, given which of the two criteria are met; never a verdict on < 3 seeds."""
    if seeds < SEEDS_NEEDED or reproduced == not_reproduced:
        return "inconclusive"
    return "reproduced" if reproduced else "not reproduced"
