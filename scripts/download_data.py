"""Download the data sets, or check those that are there.

    python scripts/download_data.py [--root ROOT] [mnist] [fashion_mnist] [cifar10]

Without names: all of them. One line per data set; the exit status is 1 if one cannot be had.
"""

import argparse
import sys
from collections.abc import Sequence

from wnrepro.commands.command_line import GOES_ON, guarded
from wnrepro.data import catalogue, files
from wnrepro.errors import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    downloadable = [name for name in catalogue.NAMES if catalogue.entry(name).files]
    parser = argparse.ArgumentParser(description="Download the data sets, or check them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(downloadable))
    parser.add_argument("--root", help=f"where to; by default ${files.ROOT_VARIABLE}, else ./data")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(downloadable):
        parser.error(
            f"unknown data set {', '.join(sorted(unknown))}; choose of {', '.join(downloadable)}"
        )
    return guarded(lambda: _locate(options.names or downloadable, options.root), GOES_ON)


def _locate(names: Sequence[str], root: str | None) -> int:
    failures = 0
    for name in names:
        try:
            print(f"{name}: complete in {files.locate(name, root)}")
        except DataError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
