"""Run what the tables in results/ still lack, in the order of its worth, and collect it.

    python scripts/evidence.py --list               the queue, and what the rest of it takes here
    python scripts/evidence.py                      go on with what this machine does in 3 days
    python scripts/evidence.py --days 14 tracker=none hydra.launcher.runs_at_once=2

Stop it whenever you like, and repeat the command: it goes on from the checkpoints. Runs that are in
results/runs.csv are not run again, wherever they were made; those that have not finished stand
there with their first epochs.
"""

import argparse
import logging
import sys
from pathlib import Path

from wnrepro.commands.command_line import GOES_ON, guarded
from wnrepro.commands.evidence import go_on, states
from wnrepro.durations import in_words
from wnrepro.train import train


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--list", action="store_true", help="show the queue, run nothing")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="auto", help="by default a GPU if there is one"
    )
    parser.add_argument(
        "--days", type=float, default=3.0, help="leave out a sweep that takes longer here (3)"
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_intermixed_args()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("wnrepro").setLevel(logging.INFO)
    if options.list and options.overrides:
        parser.error("--list shows the queue as it is: leave the KEY=VALUE out")
    if options.list:
        return guarded(lambda: _list(options))
    return guarded(
        lambda: go_on(train, options.device, options.results, options.overrides, options.days),
        GOES_ON,
    )


def _list(options: argparse.Namespace) -> int:
    form = "{:>10}  {:>5}  {:>6}  {:>8}  {}"
    command = "what (python -m wnrepro.train -m …)"
    print(form.format("finished", "begun", "PFLOP", "here", command))
    for state in states(options.results, options.device):
        count = f"{state.finished} of {state.total}"
        pflop = state.flop / 1e15
        flop = f"{pflop:,.0f}" if pflop >= 100 else f"{pflop:.3g}" if state.left else ""
        here = in_words(state.seconds) if state.left else ""
        entry = state.entry
        what = f"{entry.what} ({' '.join(entry.overrides)})"
        print(form.format(count, state.begun or "", flop, here, what), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
