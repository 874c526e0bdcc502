"""What an experiment is: a module with one `EXPERIMENT = Experiment.of("<its name>", …)`.

In the order in which they happen:

1. **`<name>.md`** is written before there are results; its sections are those of `Texts`.
2. `parts(smoke)` lists the pieces of work. Each is a flat dict of numbers and strings with *every
   setting that its numbers depend on*: arm, learning rate, seed, width, epochs, …
3. `measure(part)` does one piece, in a process of its own with one thread. It returns rows by
   table: `{"<name>": [...], "<name>_steps": [...]}`. A piece is kept under a hash of (name,
   version, part) and never done again. Changed settings are new pieces. **Changed code is not:
   raise `version`.**
4. The rows of all pieces become `<results>/<table>.csv`. Column names carry units
   (`train_loss_nats`). None is an empty cell: missing. pandas reads nan as missing too, so that a
   run diverged is said in a column of its own (0 or 1).
5. `verdict(data)` and `draw(data)` see those CSV files alone, as `{table: DataFrame}`. Anybody can
   repeat the judgement and the figure without the measurement. `verdict` can come out in all three
   ways. `draw` makes a figure about 7 inches wide: `<results>/<name>.png`, `.svg`, `-dark.svg`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from jinja2 import Template
from matplotlib.figure import Figure

from wnrepro.intervals import Interval

Scalar = int | float | str
Part = Mapping[str, Scalar]
"""The parameters of one piece of work, all of them."""
Row = Mapping[str, Scalar | None]
Tables = Mapping[str, Sequence[Row]]
"""Rows by table. A table is called as the experiment, or that, `_` and more."""
Data = Mapping[str, pd.DataFrame]
"""The CSV files by the same names, as read back."""

Outcome = Literal["reproduced", "not reproduced", "inconclusive", "not tested"]
NOT_TESTED: Outcome = "not tested"

SEEDS_NEEDED = 3


@dataclass(frozen=True)
class Finding:
    """One number of the result, as text for the page.

    what: in words, with the unit. interval: with its name, e.g. "[1.2, 1.4], 95 % t over seeds",
    or why there is none. n: e.g. "5 seeds".
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

    @classmethod
    def maximum(cls, what: str, value: str, n: str) -> Self:
        return cls(what, value, "none: a maximum", n)

    @classmethod
    def counted(cls, what: str, value: str, n: str) -> Self:
        return cls(what, value, "none: all are counted", n)

    @classmethod
    def of_logarithm(cls, what: str, interval: Interval, form: str, after: str = "") -> Self:
        """The same for an interval of log₁₀ of what is shown."""
        low, middle, high = (
            f"{10**value:{form}}" for value in (interval.low, interval.estimate, interval.high)
        )
        text = f"[{low}, {high}], {interval.name}, of the logarithm"
        return cls(what, middle + after, text, f"{interval.n} seeds")


@dataclass(frozen=True)
class Verdict:
    """outcome, the sentence that gives the reason, the numbers behind it, and on how many seeds.

    on: which part of the experiment, where each is judged by itself.
    """

    outcome: Outcome
    because: str
    findings: tuple[Finding, ...]
    seeds: int
    on: str = ""


@dataclass(frozen=True)
class Texts:
    """Of an experiment, in Markdown; equations may use $…$.

    title: a few words for the heading.
    source: where the claim stands, e.g. "Section 2.1, equation 4".
    claim: what the paper says, paraphrased. equation: the relation that is tested.
    kind: "finding", which could have come out otherwise, or "identity", which holds on paper and is
        verified to rounding.
    setup: what is run: data, network, optimiser, how many seeds.
    expectation: what should come out and why, written down before it was run.
    reproduced_if, not_reproduced_if: the criteria that `verdict` implements; anything else is
        inconclusive.
    caption: of the figure, with n; a Jinja template, given `seeds` and the tables by their names.
    afterwards: what the results taught beyond the verdict; caveat: what a reader must know who sees
        the verdict alone, as that a criterion was changed. Both are written after the run.
    """

    title: str
    source: str
    claim: str
    equation: str
    setup: str
    expectation: str
    reproduced_if: str
    not_reproduced_if: str
    caption: str
    afterwards: str = ""
    caveat: str = ""
    kind: str = "finding"

    @classmethod
    def of(cls, name: str) -> Self:
        """From `<name>.md`: its title, and a section for each of the others."""
        title, *sections = Path(__file__).with_name(f"{name}.md").read_text("utf-8").split("\n## ")
        pairs = (section.split("\n", 1) for section in sections)
        texts = {heading.lower().replace(" ", "_"): text.strip() for heading, text in pairs}
        return cls(title.removeprefix("# ").strip(), **texts)


@dataclass(frozen=True)
class Experiment:
    """One claim of the paper and its test.

    name: the module's; also the stem of its files. verdict: one, or one for each part that is
    judged by itself. version: part of the identity of every piece; raise it when `measure` changes
    its numbers.
    """

    name: str
    texts: Texts
    parts: Callable[[bool], Sequence[Part]]
    measure: Callable[[Part], Tables]
    verdict: Callable[[Data], Verdict | tuple[Verdict, ...]]
    draw: Callable[[Data], Figure]
    version: int = 1

    @classmethod
    def of(cls, name: str, *functions: Any, version: int = 1) -> Self:
        """With the texts of `<name>.md`. functions: those of the fields, in their order."""
        return cls(name, Texts.of(name), *functions, version=version)

    def verdicts(self, data: Data) -> tuple[Verdict, ...]:
        found = self.verdict(data)
        return found if isinstance(found, tuple) else (found,)

    def caption(self, data: Data) -> str:
        seeds = data[self.name].seed.nunique()
        return Template(self.texts.caption).render(data, seeds=seeds)


def decide(seeds: int, *, reproduced: bool, not_reproduced: bool) -> Outcome:
    """The outcome, given which of the two criteria are met; never a verdict on < 3 seeds."""
    if not seeds:
        return NOT_TESTED
    if seeds < SEEDS_NEEDED or reproduced == not_reproduced:
        return "inconclusive"
    return "reproduced" if reproduced else "not reproduced"
