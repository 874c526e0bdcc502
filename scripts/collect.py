"""Gather runs from any folders into results/runs.csv, curves.csv.gz and layers.csv.gz.

    python scripts/collect.py [FOLDER ...] [--results results] [--name main] [--replace]

Folders: runs, unless others are named; those of several machines, copied side by side, are found
too. A finished run enters once; collecting again changes nothing. A run in progress that is
evidence for something (wnrepro/analysis/evidence.py) enters with its first epochs. Of each setting
results/pictures has what the model of the lowest seed drew at its end. What is refused is said in
wnrepro/runs/collection.py, what the columns mean in tables.py. The exit status is 1 if something
was refused or could not be read; everything else is collected then too.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.commands.command_line import guarded
from wnrepro.runs.collection import DEFAULT_NAME, Report, collect
from wnrepro.runs.pictures import FOLDER
from wnrepro.runs.tables import CollectedRun

_NAMED = 5
"""Unfinished runs that are named; of the others the number is said."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Gather finished runs into tables.")
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", default=[Path("runs")], help="else runs"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the tables")
    parser.add_argument(
        "--name",
        default=DEFAULT_NAME,
        help="for new runs that differ from others in what has no column",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="take new metrics for runs that are there; never a CPU's for a GPU's",
    )
    options = parser.parse_args(arguments)
    return guarded(lambda: _collect(options))


def _collect(options: argparse.Namespace) -> int:
    report = collect(
        options.folders,
        options.results,
        name=options.name,
        replace=options.replace,
        in_progress=lambda config: any(each.admits(config) for each in EVIDENCE.values()),
    )
    _show(report, options.results)
    return 1 if report.problems else 0


def _show(report: Report, results: Path) -> None:
    for line in _table(report):
        print(line)
    changed = {*report.new, *report.replaced}
    print(
        f"{len(report.runs)} runs in {results}: {len(report.new)} new, {len(report.grown)} grown, "
        f"{len(report.replaced)} replaced, {report.known} found that were there"
    )
    if report.pictures:
        print(f"{len(report.pictures)} more with pictures in {results / FOLDER}")
    if begun := [run for run in report.runs.values() if not run.finished]:
        print(f"{len(begun)} of them in progress: evidence of their first epochs")
    if dirty := sum(report.runs[key].row.get("dirty") != "False" for key in changed):
        print(f"{dirty} of the new ones were not run from a clean commit")
    if report.unfinished:
        more = len(report.unfinished) - _NAMED
        named = ", ".join(report.unfinished[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        print(f"{len(report.unfinished)} unfinished, left out: {named}")
    for problem in report.problems:
        print(f"error: {problem}", file=sys.stderr)


def _table(report: Report) -> list[str]:
    """Per name, data set and arm: how many runs there are, how many are new, how many diverged."""

    def group(run: CollectedRun) -> tuple[str, str, str]:
        return run.row["name"], run.row["data"], run.row["arm"]

    runs = Counter(map(group, report.runs.values()))
    new = Counter(group(report.runs[key]) for key in report.new)
    diverged = Counter(group(r) for r in report.runs.values() if r.row["status"] == "diverged")
    widest = max([14, *(len(data) for _, data, _ in runs)])
    form = f"{{:<10}} {{:<{widest}}} {{:<20}} {{:>5}} {{:>5}} {{:>9}}"
    lines = [form.format("name", "data", "arm", "runs", "new", "diverged")] if runs else []
    return lines + [form.format(*key, runs[key], new[key], diverged[key]) for key in sorted(runs)]


if __name__ == "__main__":
    sys.exit(main())
