"""python -m wnrepro.runs status | plan: see `wnrepro.commands.overview`."""

import argparse
import sys
from pathlib import Path

from wnrepro.commands import overview
from wnrepro.commands.command_line import guarded


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m wnrepro.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="how far every run is")
    status.add_argument("folders", nargs="*", type=Path, default=[Path("runs")], metavar="FOLDER")
    plan = commands.add_parser("plan", help="what a sweep would run, and what that takes")
    plan.add_argument("overrides", nargs="+", metavar="OVERRIDE", help="as +sweep=digits_arms")
    # With the -m of the sweep's own command too: the one is made of the other.
    options = parser.parse_args([e for e in sys.argv[1:] if e not in ("-m", "--multirun")])

    def run() -> int:
        if options.command == "status":
            overview.show_status(options.folders)
        else:
            overview.show_plan(options.overrides)
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
