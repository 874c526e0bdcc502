"""python -m wnrepro.runs status | plan | plot | compare: what is said of runs, starting none."""

import argparse
import sys
from pathlib import Path

from wnrepro.commands import overview
from wnrepro.commands.command_line import guarded, searchpath


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m wnrepro.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="how far every run is")
    status.add_argument(
        "folders",
        nargs="*",
        type=lambda given: Path(given.removeprefix("runs.root=")),  # as the runs were told
        default=[Path("runs")],
        metavar="FOLDER",
        help="or runs.root=FOLDER; else runs",
    )
    plan = commands.add_parser("plan", help="what a sweep would run, and what that takes")
    plan.add_argument("overrides", nargs="+", metavar="OVERRIDE", help="as +sweep=digits_arms")
    plan.add_argument("-cd", "--config-dir", metavar="DIR", help="one more folder like conf/")
    plot = commands.add_parser("plot", help="runs by epoch, a line for each setting")
    plot.add_argument("words", nargs="*", metavar="FOLDER | KEY=VALUE", help="else all in runs")
    plot.add_argument("--paper", action="store_true", help="beside the paper's figure 1")
    plot.add_argument("--by", metavar="KEY", help="what has a colour: norm, lr, seed or any key")
    plot.add_argument(
        "--to", type=Path, default=Path("runs.png"), metavar="FILE", help="png, svg, pdf"
    )
    plot.add_argument("--window", action="store_true", help="show it instead of writing it")
    compare = commands.add_parser("compare", help="two settings, with intervals over seeds")
    compare.add_argument("sides", nargs=2, metavar="SIDE", help="a folder, or as norm=wn")
    compare.add_argument(
        *("--in", "-i"),
        dest="folders",
        nargs="+",
        type=Path,
        default=[Path("runs")],
        metavar="FOLDER",
        help="of the runs that the conditions choose from",
    )
    # With the -m of the sweep's own command too: the one is made of the other.
    options = parser.parse_args([e for e in sys.argv[1:] if e not in ("-m", "--multirun")])

    def run() -> int:
        if options.command == "status":
            overview.show_status(options.folders)
        elif options.command == "plan":
            overview.show_plan(searchpath(options.config_dir) + options.overrides)
        else:
            from wnrepro.commands import own_runs  # pandas takes a second to import

            if options.command == "compare":
                own_runs.show_comparison(options.sides, options.folders)
            else:
                chosen = {"by": options.by, "to": options.to, "window": options.window}
                own_runs.plot(options.words, beside_paper=options.paper, **chosen)
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
