"""Runs per minute of a sweep: this suite's local launcher against Hydra's default one.

    python scripts/benchmark_sweep.py [--sweep digits_arms] [--repeats 1]

Both train the same runs to the end, in turn, each from nothing in a folder of its own. Hydra's
default launcher (`basic`) trains one run after another in one process. A benchmark, not a test: use
an idle machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HYDRA = (
    "from wnrepro.command_line import hydra_main\n"
    "from wnrepro.train import train\n"
    "hydra_main(lambda config: 0 * train(config).epoch)\n"
)

COMMANDS = {
    "hydra/launcher=basic": ["-c", HYDRA, "--multirun", "hydra/launcher=basic"],
    "hydra/launcher=local": ["-m", "wnrepro.train", "--multirun"],
}


def runs_per_minute(command: list[str], sweep: str) -> float:
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"+sweep={sweep}", "tracker=none", f"runs.root={root}/runs"]
        begun = time.perf_counter()
        subprocess.run([sys.executable, *command, *overrides], check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        done = [
            path for path in Path(root).glob("runs/*/*/status.json") if '"done"' in path.read_text()
        ]
    return 60 * len(done) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sweep", default="digits_arms")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeats):
        for name, command in COMMANDS.items():
            rates[name].append(runs_per_minute(command, options.sweep))
            print(f"{name}: {rates[name][-1]:.1f} runs per minute", flush=True)
    basic, local = (statistics.median(each) for each in rates.values())
    print(f"ratio {local / basic:.2f} on {os.cpu_count()} cores ({options.sweep})")


if __name__ == "__main__":
    main()
