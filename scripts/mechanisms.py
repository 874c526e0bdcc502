"""Test the paper's arguments one by one; tables, figures and a page go to results/mechanisms/.

    python scripts/mechanisms.py [NAME ...] [--smoke] [--figures-only] [--jobs 2]

A command that was stopped goes on when it is repeated. --smoke is a tiny version of everything that
says nothing about the claims; it writes elsewhere. The exit status is 1 if a piece failed; a claim
that is not reproduced is a result like any other.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from wnrepro import drawing
from wnrepro.commands.command_line import GOES_ON, guarded
from wnrepro.errors import RunError
from wnrepro.mechanisms import NAMES, load, page, pieces, tables, verdicts
from wnrepro.mechanisms.experiment import NOT_TESTED
from wnrepro.runs.manifest import write_manifest

RESULTS = Path("results/mechanisms")
SMOKE_RESULTS = Path("runs/mechanisms_smoke")
WORK = ".parts"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--smoke", action="store_true", help="tiny; under two minutes for all")
    parser.add_argument(
        "--figures-only", action="store_true", help="from the tables that are there"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--results", type=Path, help=f"{RESULTS}, or {SMOKE_RESULTS} for --smoke")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    results = options.results or (SMOKE_RESULTS if options.smoke else RESULTS)
    if options.smoke and results.resolve().is_relative_to(RESULTS.parent.resolve()):
        parser.error("smoke results do not go into results/")
    chosen = [name for name in NAMES if name in (options.names or NAMES)]

    def run() -> int:
        failed = False
        if not options.figures_only:
            failed = measure(chosen, options.smoke, options.jobs, results)
        publish(chosen, results, smoke=options.smoke)
        return 1 if failed else 0

    return guarded(run, GOES_ON)


def measure(names: Sequence[str], smoke: bool, jobs: int, results: Path) -> bool:
    """Do the pieces that are missing and collect what is complete; whether any failed."""
    work = results / WORK
    work.mkdir(parents=True, exist_ok=True)
    of = {name: pieces.pieces(load(name), smoke, work) for name in names}
    todo = [piece for each in of.values() for piece in each if not piece.path.exists()]
    failed = False
    if todo:
        running = pieces.run(todo, min(jobs, len(todo)), _provenance(work))
        for piece, error in tqdm(running, total=len(todo), unit="piece", smoothing=0.1):
            if error:
                failed = True
                tqdm.write(f"error: {piece.experiment} {dict(piece.part)}: {error}", sys.stderr)
    for name, each in of.items():
        if all(piece.path.exists() for piece in each):
            tables.collect(load(name), each, results)
    return failed


def publish(names: Sequence[str], results: Path, *, smoke: bool) -> None:
    """Draw the chosen experiments, judge all that have tables, write the page and verdicts.csv."""
    judged = []
    for number, name in enumerate(NAMES, 1):
        experiment = load(name)
        found, caption = (), ""
        if tables.exists(experiment, results):
            data = tables.read(name, results)
            if name in names:
                drawing.save(lambda draw=experiment.draw, data=data: draw(data), results / name)
            found, caption = experiment.verdicts(data), experiment.caption(data)
            for verdict in found:
                print(f"{name}: {verdict.outcome} – {verdict.because}")
        provenance = tables.provenance(name, results)
        own = verdicts.judged(number, experiment, found, caption, provenance)
        judged.append((experiment, own))
    rows = [row for _, own in judged for row in own]
    if all(row.verdict == NOT_TESTED for row in rows):
        raise RunError(f"there is nothing to show in {results} yet")
    page.write(judged, results, verdicts.COMMAND + (" --smoke" if smoke else ""))
    verdicts.write(results, rows)
    print(f"page: {results / page.PAGE}")


def _provenance(work: Path) -> dict[str, object]:
    """Of the pieces that this command will measure; `work` keeps a manifest of every command."""
    manifest = write_manifest(work, {}, sys.argv, device="cpu", threads=1)
    occasion = [manifest, *manifest["resumed"]][-1]
    return {
        "commit": occasion["commit"],
        "dirty": occasion["dirty"],
        "torch": occasion["versions"].get("torch"),
        "cpu": occasion["hardware"]["cpu"],
    }


if __name__ == "__main__":
    sys.exit(main())
