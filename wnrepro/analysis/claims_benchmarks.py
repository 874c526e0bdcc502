"""Nearest evidence for claims about time: the rows of results/benchmarks/ that bear on them."""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from wnrepro.analysis.claims_paper import Claim
from wnrepro.analysis.claims_row import NEAREST, Row
from wnrepro.errors import RunError

FOLDER = "benchmarks"
_NUMBERS = ["ratio", "ratio_q1", "ratio_q3"]
_COLUMNS = ["row", *_NUMBERS, "repeats", "hardware", "commit"]


def benchmark_rows(claim: Claim, results: Path) -> Iterator[Row]:
    """The claim's benchmark on every device that has it, in the order of their files' names.

    Raises:
        RunError: a table of the benchmark cannot be read.
    """
    if not claim.benchmark:
        return
    for path in sorted((results / FOLDER).glob("*.csv")):
        if path.stem.endswith("_profile"):
            continue
        for found in _measured(path, claim.benchmark):
            low, middle, high = (found[key] for key in ("ratio_q1", "ratio", "ratio_q3"))
            yield Row(
                NEAREST,
                claim.id,
                claim.words,
                source=claim.source,
                paper=claim.paper,
                quantity=claim.quantity,
                criterion=claim.region.text(),
                judged_on=f"{FOLDER}/{path.stem}.md, {claim.benchmark}",
                ours=f"{middle:.2f}{claim.region.unit} [{low:.2f}, {high:.2f}]",
                interval="median and quartiles over repeats",
                n=f"{found['repeats']} repeats",
                paired="by repeat",
                hardware=found["hardware"],
                commit=found["commit"],
            )


def _measured(path: Path, name: str) -> list[dict[Hashable, Any]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[_COLUMNS]
        own = table[(table["row"] == name) & (table["ratio"] != "")]
        return own.astype(dict.fromkeys(_NUMBERS, float)).to_dict("records")
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"cannot read {path} ({error}): take it from version control, or measure it again with "
            "python scripts/benchmark.py"
        ) from error
