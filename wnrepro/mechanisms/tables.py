"""The CSV files of an experiment, written from its pieces and read back; where they come from."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wnrepro.mechanisms.experiment import Data, Experiment, Row
from wnrepro.mechanisms.pieces import Piece
from wnrepro.replacement import make_folder, replace_file

PROVENANCE_FILE = "provenance.json"


def collect(experiment: Experiment, pieces: Sequence[Piece], results: Path) -> None:
    """Write an experiment's tables and where they come from, in place of older ones."""
    name = experiment.name
    records = [json.loads(piece.path.read_bytes()) for piece in pieces]
    tables: dict[str, list[Row]] = defaultdict(list)
    for record in records:
        for table, rows in record["tables"].items():
            tables[table] += rows
    make_folder(results)
    for path in _files(name, results):
        if path.stem not in tables:
            path.unlink()
    for table, rows in tables.items():
        replace_file(results / f"{table}.csv", as_csv(rows))
    # How many pieces each combination of commit, versions and machine measured.
    sources = Counter(json.dumps(record["provenance"], sort_keys=True) for record in records)
    everything = _provenance(results)
    everything[name] = {
        "version": experiment.version,
        "pieces": len(records),
        "core_seconds": round(sum(record["seconds"] for record in records)),
        "sources": [{**json.loads(text), "pieces": n} for text, n in sorted(sources.items())],
    }
    text = json.dumps(everything, indent=1, ensure_ascii=False, sort_keys=True)
    replace_file(results / PROVENANCE_FILE, text + "\n")


def as_csv(rows: Sequence[Row]) -> str:
    """A float has as many digits as it takes to read it back exactly; a whole number stays one."""
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")


def read(name: str, results: Path) -> Data:
    """The tables of experiment `name`; none where it was not run."""
    return {path.stem: pd.read_csv(path) for path in _files(name, results)}


def exists(experiment: Experiment, results: Path) -> bool:
    """Whether there are tables of this version of the experiment."""
    version = provenance(experiment.name, results).get("version")
    return bool(_files(experiment.name, results)) and version == experiment.version


def provenance(name: str, results: Path) -> dict[str, Any]:
    """What is recorded of where the tables come from; empty if nothing is."""
    return _provenance(results).get(name, {})


def _files(name: str, results: Path) -> list[Path]:
    return sorted({*results.glob(f"{name}.csv"), *results.glob(f"{name}_*.csv")})


def _provenance(results: Path) -> dict[str, Any]:
    path = results / PROVENANCE_FILE
    return json.loads(path.read_bytes()) if path.exists() else {}
