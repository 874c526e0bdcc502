"""Send the finished runs of results/ to Weights & Biases, wherever they were trained.

    python scripts/upload.py                             all of them
    python scripts/upload.py 'mnist_*' 39f8281ef4        some: by group, identity or name
    python scripts/upload.py --list                      which are there, and which would be sent

Reads results/runs.csv, curves.csv.gz and layers.csv.gz, so collect first. What the server has
already is not sent again: stop whenever you like, repeat the command, and it goes on. Runs that
trainings left offline in --runs are marked when the server has them, so that `wandb sync` does not
send their epochs a second time. The exit code is 1 if a run failed; all others are sent then too.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from wnrepro.commands.command_line import GOES_ON, guarded
from wnrepro.runs.tables import finished_runs
from wnrepro.tracking import upload
from wnrepro.tracking.finished import FinishedRun, select


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("filters", nargs="*", metavar="NAME", help="of runs; else all")
    parser.add_argument("--project", help="else $WANDB_PROJECT, else wnrepro")
    parser.add_argument("--entity", help="user or team; else your account's default")
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the tables")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="runs.root of trainings")
    parser.add_argument("--list", action="store_true", help="show how the runs stand, send none")
    options = parser.parse_args(arguments)
    return guarded(lambda: _upload(options), GOES_ON)


def _upload(options: argparse.Namespace) -> int:
    runs = select(finished_runs(options.results), options.filters)
    if options.list:
        return _list(runs, options)
    with upload.opened(options.project, options.entity) as project:
        standings = project.compare(runs)
        there = [each for each in standings if each.state == "there"]
        failed = {each.run.name: each.said for each in standings if each.state == "other"}
        begun = time.monotonic()
        sent = _send(project, standings, failed)
        seconds = time.monotonic() - begun
        failed |= project.unconfirmed(sent)
    arrived = [each for each in sent if each.run.name not in failed]
    upload.mark_offline_runs([each.run for each in (*there, *arrived)], options.runs)
    for name, why in failed.items():
        print(f"error: {name}: {why}", file=sys.stderr)
    print(
        f"{project.place}: {len(arrived)} runs sent in {seconds:.0f} s, {len(there)} were there, "
        f"{len(failed)} failed"
    )
    return 1 if failed else 0


def _list(runs: Sequence[FinishedRun], options: argparse.Namespace) -> int:
    said: dict[str, str] = {}
    try:
        with upload.opened(options.project, options.entity) as project:
            said = {each.run.name: each.said for each in project.compare(runs)}
    finally:  # which runs the names mean is worth knowing without W&B too
        for run in runs:
            print(f"{run.name:<40} {said.get(run.name, 'unknown')}")
    return 0


def _send(
    project: upload.Project, standings: Sequence[upload.Standing], failed: dict[str, str]
) -> list[upload.Standing]:
    """Send what is wanted, with a progress bar; those that did not fail."""
    wanted = [each for each in standings if each.state in ("in part", "missing")]
    sent = []
    with tqdm(total=len(wanted), unit="run", leave=False, disable=None) as bar:
        for each, failure in project.send(wanted):
            bar.update()
            if failure is None:
                sent.append(each)
            else:
                failed[each.run.name] = failure
    return sent


if __name__ == "__main__":
    sys.exit(main())
