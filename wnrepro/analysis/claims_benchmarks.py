"""Nearest evidence for claims about time: the rows of results/benchmarks/ that bear on them."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from wnrepro.analysis.claims_paper import Claim
from wnrepro.analysis.claims_row import NEAREST, Row
from wnrepro.errors import RunError

FOLDER = "benchmarks"
_TEXTS = ("row", "repeats", "hardware", "commit")
_NUMBERS = ("ratio", "ratio_q1", "ratio_q3")
_TYPES = dict.fromkeys(_TEXTS, str) | dict.fromkeys(_NUMBERS, float)


def read(results: Path) -> pd.DataFrame:
    """Every ratio that was timed, on each device in the order of their files' names.

    Columns: device, the file's name; those of the files that are used here.

    Raises:
        RunError: a table of the benchmark cannot be read.
    """
    paths = sorted((results / FOLDER).glob("*.csv"))
    tables = [_read(path) for path in paths if not path.stem.endswith("_profile")]
    return pd.concat(tables) if tables else pd.DataFrame(columns=list(_TYPES))


def benchmark_rows(claim: Claim, timed: pd.DataFrame) -> Iterator[Row]:
    """The claim's benchmark on every device that has it. timed: what `read` returned."""
    for found in timed[timed["row"] == claim.benchmark].to_dict("records"):
        low, middle, high = (found[key] for key in ("ratio_q1", "ratio", "ratio_q3"))
        yield claim.row(
            NEAREST,
            judged_on=f"{FOLDER}/{found['device']}.md, {claim.benchmark}",
            ours=f"{middle:.2f}{claim.region.unit} [{low:.2f}, {high:.2f}]",
            interval="median and quartiles over repeats",
            n=f"{found['repeats']} repeats",
            paired="by repeat",
            hardware=found["hardware"],
            commit=found["commit"],
        )


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, usecols=list(_TYPES), dtype=_TYPES)
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read {path} ({error}): take it from version control, or measure it again with "
            "python scripts/benchmark.py"
        ) from error
    return table.dropna(subset="ratio").assign(device=path.stem)
