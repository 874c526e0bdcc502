"""Measure how fast the suite is beside the usual way; tables go to results/benchmarks/.

    python scripts/benchmark.py [--smoke] [--out FOLDER] [ROW ...]

A ROW names a group of rows of the table; all of them without one. Those that are not measured keep
what the table has of them. Use an idle machine. --smoke runs everything at tiny sizes in two
minutes; it writes elsewhere. The exit status is 1 if a group failed; the others are written.

What bf16 gains on a CPU with matrix units is said by `steps precision step_shares`, which take
about a quarter of an hour on two cores.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from wnrepro import benchmarks
from wnrepro.allocator import keep_freed_memory
from wnrepro.benchmarks import report
from wnrepro.benchmarks.measurement import Measurement
from wnrepro.benchmarks.setting import Setting
from wnrepro.commands.command_line import guarded
from wnrepro.errors import RunError
from wnrepro.replacement import make_folder

RESULTS = Path("results/benchmarks")
SMOKE_RESULTS = Path("runs/benchmarks_smoke")


def main(arguments: Sequence[str] | None = None) -> int:
    groups = ", ".join(benchmarks.GROUPS)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {groups}")
    parser.add_argument("--smoke", action="store_true", help="tiny; two minutes on two cores")
    parser.add_argument("--out", type=Path, help=f"{RESULTS}, or {SMOKE_RESULTS} for --smoke")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="a GPU if there is one")
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - set(benchmarks.GROUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {groups}")
    out = options.out or (SMOKE_RESULTS if options.smoke else RESULTS)
    if options.smoke and out.resolve().is_relative_to(RESULTS.resolve()):
        parser.error("smoke results do not go into results/")
    return guarded(lambda: _measure_all(options, out))


def _measure_all(options: argparse.Namespace, out: Path) -> int:
    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise RunError("--device cuda, but torch sees no GPU here: use --device cpu")
    make_folder(out)
    keep_freed_memory()  # as a training does
    device = options.device or ("cuda" if available else "cpu")
    setting = Setting(torch.device(device), options.smoke)
    occasion = report.occasion(setting)
    path = out / report.slug(setting, occasion)
    failed = False
    # The fastest algorithm for batches of one size, as in a run; for the usual loop too.
    torch.backends.cudnn.benchmark = True
    for group in benchmarks.GROUPS:
        if options.rows and group not in options.rows:
            continue
        start = time.perf_counter()
        rows, error = measure(group, setting)
        failed |= error is not None
        report.write(path, group, rows, occasion, setting.smoke)
        said = f"{len(rows)} rows" if error is None else f"failed: {error}"
        print(f"{group}: {said}, {time.perf_counter() - start:.0f} s", flush=True)
    print(f"table: {path}.md")
    return 1 if failed else 0


def measure(group: str, setting: Setting) -> tuple[list[Measurement], str | None]:
    """The rows of a group, with one that says why if it failed; and that reason."""
    rows: list[Measurement] = []
    try:
        for row in benchmarks.load(group)(setting):
            rows.append(row)  # one by one: those before a failure stay
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}"
        rows.append(Measurement(group, note=f"failed: {reason}"))
        return rows, reason
    return rows, None


if __name__ == "__main__":
    sys.exit(main())
