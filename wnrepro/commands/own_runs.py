"""Your own runs, finished or going on, collected or not: drawn, and two settings compared.

python -m wnrepro.runs plot                                     all runs in ./runs
python -m wnrepro.runs plot runs/cifar10_wn --paper             beside the paper's figure 1
python -m wnrepro.runs plot mine norm=wn --by lr --to rates.svg
python -m wnrepro.runs compare norm=wn norm=bn                  of the runs in ./runs
python -m wnrepro.runs compare "lr=0.001 norm=wn" lr=0.003      several conditions in quotes
python -m wnrepro.runs compare mine/digits_wn yours/digits_wn   two folders
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from wnrepro.analysis.comparison import Compared, compare, differences
from wnrepro.analysis.exhibit import MISSING, number, with_interval
from wnrepro.analysis.selection import column_of, matching, said
from wnrepro.analysis.tidy import Results, differing, keys_of, results
from wnrepro.commands.overview import print_table
from wnrepro.errors import ConfigError, RunError
from wnrepro.replacement import make_folder
from wnrepro.tasks import task_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wnrepro.analysis.lines import Drawn

FORMS = ("png", "svg", "pdf")
PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"


def gather(words: Sequence[str], roots: Sequence[Path]) -> Results:
    """The runs in the folders among `words`, else in `roots`, that meet the conditions among them.

    Raises:
        ConfigError, RunError: a condition or folder is none, or no run is left; in one line.
    """
    conditions = [word for word in words if "=" in word and not Path(word).exists()]
    folders = [Path(word) for word in words if word not in conditions] or roots
    for folder in folders:
        if not folder.is_dir():
            raise RunError(
                f"there is no folder {folder}: name one with runs, as runs.root was, or with "
                "collected tables; conditions are written key=value"
            )
    return matching(results(*folders, left_out=_tell), conditions)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def plot(
    words: Sequence[str],
    *,
    by: str | None = None,
    beside_paper: bool = False,
    to: Path = Path("runs.png"),
    window: bool = False,
) -> None:
    """Draw runs by epoch, into the file `to` or, with `window`, on the screen.

    words: folders and conditions, as `gather` takes them. by: what has a colour of its own.

    Raises:
        ConfigError, RunError: as `gather`; or the picture can neither be written nor shown.
    """
    if to.suffix[1:] not in FORMS:
        raise ConfigError(f"--to {to}: its ending says how it is written: {', '.join(FORMS)}")
    found = gather(words, [Path("runs")])

    from wnrepro import drawing  # seaborn takes seconds to import, and refusing shall take none
    from wnrepro.analysis import lines, own_curves, paper

    theirs = paper.load(PAPER) if beside_paper else None
    drawn = lines.lines_of(found.final, by)
    if theirs is not None and own_curves.with_paper(found.final, theirs).empty:
        _tell("without the paper's curves: its figure 1 has five arms, on CIFAR-10")

    def figure() -> "Figure":
        return own_curves.draw(found, drawn, theirs)

    if window:
        drawing.show(figure)
    else:
        make_folder(to.parent)
        drawing.save(figure, to.with_suffix(""), [to.suffix[1:]])
        n = len(found.final)
        print(f"{to}: {n} run{'s' * (n > 1)}")
    if len(drawn) > 1:
        print_table(_settings(drawn))


def _settings(drawn: Sequence["Drawn"]) -> list[tuple[str, ...]]:
    """A row for each line: its name, and the values of all keys in which the runs differ."""
    keys = keys_of(pd.Series([each.final["config"].iloc[0] for each in drawn]))
    further = differing(keys)
    names = [each.line.name for each in drawn]
    values = keys[further].itertuples(index=False)
    rows = [(name, *map(said, own)) for name, own in zip(names, values, strict=True)]
    return [("", *further), *rows]


def show_comparison(sides: Sequence[str], roots: Sequence[Path]) -> None:
    """Print how two settings differ: in each metric, with intervals, and in their configs.

    sides: two; each a folder, conditions, or words of both kinds with spaces between.

    Raises:
        ConfigError, RunError: as `gather` and `compare`.
    """
    a, b = (gather([s] if Path(s).is_dir() else s.split(), roots).final for s in sides)
    compared = compare(a, b)
    for name, side, final in zip("AB", sides, (a, b), strict=True):
        print(f"{name}: {side}: {_runs(final)}")
    print()
    label = task_of(a["config"].iloc[0]).labels
    given = [{column_of(a, key).name for key in _keys(side)} for side in sides]
    asked = given[0] & given[1]
    rows = [("after the last epoch", "A", "B", "A − B", "Welch, 95 %", "paired by seed, 95 %")]
    print_table(rows + [_row(each, label[each.metric]) for each in compared])
    if any(min(each.n_a, each.n_b) < 2 for each in compared):
        print("One run on a side has no interval: train further seeds.")
    print()
    beside = {key: each for key, each in differences(a, b).items() if key not in asked}
    if beside:
        print(f"{'Beside what was asked, they' if asked else 'They'} differ in")
        print_table([("", "A", "B"), *((key, *values) for key, values in beside.items())])
    else:
        print(f"They differ in nothing{' else' if asked else ''} that is recorded.")


def _keys(side: str) -> list[str]:
    return [word.partition("=")[0] for word in side.split() if "=" in word]


def _runs(final: pd.DataFrame) -> str:
    """How many, which seeds, and which of them have no final number."""
    seeds = ", ".join(map(str, sorted(final["seed"])))
    counts = final["status"].value_counts()
    lost = [f"{n} {status}: in no mean" for status, n in counts.items() if status != "done"]
    many = "run, seed" if len(final) == 1 else "runs, seeds"
    return "; ".join([f"{len(final)} {many} {seeds}", *lost])


def _row(each: Compared, label: str) -> tuple[str, ...]:
    """With three significant digits of the larger mean, and at least two after the point."""
    larger = max(abs(each.a), abs(each.b))
    digits = max(2, 2 - math.floor(math.log10(larger))) if larger else 2
    welch = each.welch
    ends = f"[{number(welch.low, digits)}, {number(welch.high, digits)}]"
    pairs = f", {each.paired.n} pair{'s' * (each.paired.n > 1)}" if each.paired else ""
    return (
        label,
        *(f"{number(mean, digits)} ({n})" for mean, n in ((each.a, each.n_a), (each.b, each.n_b))),
        number(welch.estimate, digits),
        ends if welch.n > 1 else MISSING,
        with_interval(each.paired, digits) + pairs,
    )
