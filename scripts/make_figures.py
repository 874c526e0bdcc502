"""Draw every figure and table of results/ again, from its committed records alone.

    python scripts/make_figures.py [NAME ...] [--list] [--results results] [--jobs N]

Reads results/runs.csv, curves.csv.gz, layers.csv.gz and results/paper/*.csv; writes
results/figures/*.{png,svg,pdf} and results/tables/*.{md,csv,tex}, and, where no NAME is given,
results/claims.md, results/index.html, results/pictures/README.md and the numbers of README.md. The
same records give the same bytes. What has no runs yet is left out, with the command that gets it;
--list says what each lacks.
"""

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from wnrepro.analysis import page, paper, publication, readme, records
from wnrepro.analysis.claims import rendering
from wnrepro.analysis.claims.judgement import all_rows
from wnrepro.analysis.exhibit import Exhibit, Figure, Table
from wnrepro.commands.command_line import guarded
from wnrepro.replacement import alone_in, remove_torn, replace_file
from wnrepro.runs import pictures
from wnrepro.runs.interruption import interrupts_ignored

RESULTS = Path(__file__).resolve().parents[1] / "results"
README = RESULTS.with_name("README.md")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of figures or tables; else all")
    parser.add_argument("--list", action="store_true", help="what there is, and what it lacks")
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the records")
    parser.add_argument(
        "--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes that draw"
    )
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    before = signal.signal(signal.SIGINT, _stop)
    try:
        return guarded(lambda: _run(options), "stopped: repeat the command")
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(*_: object) -> None:
    """After Ctrl-C: do not wait for what the processes still have to draw."""
    for process in multiprocessing.active_children():
        process.terminate()  # each file is replaced whole or not at all
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> int:
    items = publication.named(options.names)
    if options.jobs > 1 and not options.list:
        with interrupts_ignored():
            publication.prepare()
    found = records.load(options.results)
    if options.list:
        _list(items, found)
    else:
        with alone_in(options.results):
            for folder in ("", "figures", "tables", pictures.FOLDER):
                remove_torn(options.results / folder)
            _publish(items, found, options)
    return 0


def _publish(items: list[Exhibit], found: records.Records, options: argparse.Namespace) -> None:
    results, theirs = options.results, paper.load(options.results / "paper")
    publication.remove_unused(items, found, results)
    used = [item for item in items if item.used(found)]
    figures = [item.name for item in used if isinstance(item, Figure)]
    drawing = publication.draw_all(figures, results, min(options.jobs, max(len(figures), 1)))
    # None: no progress line where stderr is no terminal
    for _ in tqdm(drawing, total=len(figures), unit="figure", disable=None, leave=False):
        pass
    tables = {}
    for item in used:
        if isinstance(item, Table):
            tables[item.name] = cells = item.cells(found, theirs)
            publication.write_table(item, cells, item.notes(found), results)
    if not options.names:
        replace_file(results / "figures" / "README.md", publication.gallery(found))
        if pictures.kept(results):
            drawn = publication.drawn(found, results)
            replace_file(results / pictures.FOLDER / "README.md", drawn)
        rows = all_rows(found, results)
        rendering.write(results, rows, found)
        page.write(results, found, rows, tables)
        if results.resolve() == RESULTS:
            readme.write(README, found, theirs)
    print(f"{len(used)} of {len(items)} figures and tables are in {results}")
    for item in items:
        if item not in used:
            print(f"left out: {_kind(item)} {item.name}, for {'; '.join(item.lacks(found))}")


def _list(items: list[Exhibit], found: records.Records) -> None:
    for item in items:
        lacks = item.lacks(found)
        state = "missing" if not item.used(found) else "in part" if lacks else "complete"
        print(f"{_kind(item):<6}  {item.name:<26}  {state:<8}  {item.title}")
        for line in lacks:
            print(f"{'':<8}{line}")


def _kind(item: Exhibit) -> str:
    return "figure" if isinstance(item, Figure) else "table"


if __name__ == "__main__":
    sys.exit(main())
