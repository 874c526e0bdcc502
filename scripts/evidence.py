"""Run what the tables in results/ still lack, in the order of its worth, and collect it.

    python scripts/evidence.py --list               the queue, and how far each sweep is
    python scripts/evidence.py                      go on with it: a GPU's sweeps, or a CPU's
    python scripts/evidence.py --device cpu tracker=none hydra.launcher.runs_at_once=2

Stop it whenever you like, and repeat the command: it goes on from the checkpoints. Runs that are in
results/runs.csv are not run again, wherever they were made.
"""

import argparse
import logging
import sys
from pathlib import Path

from wnrepro.command_line import GOES_ON, guarded
from wnrepro.queue import go_on, states


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--list", action="store_true", help="show the queue, run nothing")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="by default a GPU if there is one"
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_intermixed_args()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("wnrepro").setLevel(logging.INFO)
    if options.list and options.overrides:
        parser.error("--list shows the queue as it is: leave the KEY=VALUE out")
    if options.list:
        return guarded(lambda: _list(options.results))
    return guarded(
        lambda: go_on(options.device or _device(), options.results, options.overrides), GOES_ON
    )


def _list(results: Path) -> int:
    print(f"{'runs':>9}  {'device':<6}  what (python -m wnrepro.train -m …)")
    for state in states(results):
        count = f"{state.collected} of {state.total}"
        entry = state.entry
        print(f"{count:>9}  {entry.device:<6}  {entry.what} ({' '.join(entry.overrides)})")
    return 0


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
