"""The files of a device: a CSV with a line per row, and the same as a Markdown table."""

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wnrepro.benchmarks import GROUPS
from wnrepro.benchmarks.measurement import Measurement
from wnrepro.benchmarks.setting import Setting
from wnrepro.errors import RunError
from wnrepro.replacement import make_folder, replace_file
from wnrepro.runs.manifest import write_manifest

Record = dict[str, str]
"""One line of the CSV: what was measured and on which occasion."""

_HEADINGS = (
    *("measured", "unit", "ours", "usual", "ratio", "repeats", "goal", "met?", "note", "occasion"),
)
_INTRODUCTION = """\
# Speed on {hardware}

Ours and the usual way, measured in turn in one process by `python scripts/benchmark.py` after a
check that both compute the same. Medians over the repeats; the ratio is ours ÷ usual, taken repeat
by repeat, with its quartiles in brackets. What each row times stands at the head of its module in
`wnrepro/benchmarks/`; every number is in [{name}.csv]({name}.csv). A goal is one for the ratio, or
for ours where there is no usual way.
"""
_SMOKE = """
**Smoke version: tiny sizes that only show that everything runs. \
These numbers say nothing about the goals.**
"""


def occasion(setting: Setting) -> Record:
    """When, where and by what is measured now: the last columns of every record."""
    gpu = torch.cuda.get_device_name(setting.device) if setting.gpu else None
    device, threads = str(setting.device), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        found = write_manifest(Path(folder), {}, sys.argv, device=device, threads=threads, gpu=gpu)
    hardware = found["hardware"]
    cpu = f"{hardware['cpu']}, {hardware['cores']} cores"
    commit = (found["commit"] or "no commit")[:10]
    return {
        "hardware": f"{gpu}; {cpu}" if gpu else cpu,
        "threads": str(threads),
        "torch": torch.__version__,
        "python": found["versions"]["python"],
        "commit": commit + (" with changes" if found["dirty"] else ""),
        "date": found["time"][:10],
    }


def slug(setting: Setting, occasion: Record) -> str:
    """The device as a file name: nvidia-h100-80gb-hbm3, or
    cpu-intel-xeon-family-6-model-207-stepping-2-amx-2-cores."""
    hardware = occasion["hardware"]
    name = hardware.partition(";")[0] if setting.gpu else f"cpu {hardware}"
    plain = re.sub(r"\((r|tm)\)|\bprocessor\b|@[^,(]*", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def write(
    path: Path,
    group: str,
    rows: Sequence[Measurement],
    occasion: Record,
    smoke: bool,
) -> None:
    """Put the rows of a group into `path`.csv in place of its older ones; write `path`.md anew.

    What was measured on another occasion stays, each line with that occasion.
    """
    old = read(path.with_suffix(".csv"))
    new = [_record(group, row, smoke) | occasion for row in rows]
    former = [name for name in dict.fromkeys(each["group"] for each in old) if name not in GROUPS]
    records = [
        record
        for name in (*GROUPS, *former)
        for record in (new if name == group else [each for each in old if each["group"] == name])
    ]
    make_folder(path.parent)
    text = pd.DataFrame(records).to_csv(index=False, lineterminator="\n")
    replace_file(path.with_suffix(".csv"), text)
    replace_file(path.with_suffix(".md"), markdown(path.name, records, smoke))


def read(path: Path) -> list[Record]:
    """The lines of a CSV file; none where there is no file. Raises RunError."""
    if not path.exists():
        return []
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path} ({error}): take it from version control") from error


def _record(group: str, row: Measurement, smoke: bool) -> Record:
    """Nothing stands where nothing was measured. A smoke version meets no goals."""
    record: Record = {"group": group, "row": row.name, "unit": row.unit}
    for name, values in (("ours", row.ours), ("usual", row.usual), ("ratio", row.ratios)):
        quantiles = pd.Series(values, dtype=float).quantile([0.5, 0.25, 0.75])
        for suffix, value in zip(("", "_q1", "_q3"), quantiles, strict=True):
            record[name + suffix] = f"{value:.6g}" if np.size(values) else ""
    met = {True: "yes", False: "no", None: ""}[None if smoke else row.met]
    return record | {
        "repeats": str(np.size(row.ours) or ""),
        "goal": "" if row.goal is None else str(row.goal),
        "met": met,
        "note": row.note,
    }


def markdown(name: str, records: Sequence[Record], smoke: bool) -> str:
    occasions = list(dict.fromkeys(map(_occasion, records)))
    hardware = "; ".join(dict.fromkeys(record["hardware"] for record in records))
    lines = [_INTRODUCTION.format(name=name, hardware=hardware) + (_SMOKE if smoke else "")]
    lines += [f"{k}. {text}" for k, text in enumerate(occasions, 1)]
    lines += ["", f"| {' | '.join(_HEADINGS)} |", "|" + "---|" * len(_HEADINGS)]
    for record in records:
        short = {key: _short(record[key]) for key in ("ours", "usual", "ratio")}
        if record["ratio"]:
            low, high = _short(record["ratio_q1"]), _short(record["ratio_q3"])
            short["ratio"] += f" [{low}, {high}]"
        cells = [record["row"], record["unit"], *short.values()]
        cells += [record[key] for key in ("repeats", "goal", "met", "note")]
        cells.append(str(occasions.index(_occasion(record)) + 1))
        lines.append(f"| {' | '.join(each.replace('|', ' ') for each in cells)} |")
    return "\n".join(lines) + "\n"


def _occasion(record: Record) -> str:
    return (
        f"{record['date']}, commit {record['commit']}, torch {record['torch']}, "
        f"Python {record['python']}, {record['threads']} CPU threads"
    )


def _short(number: str) -> str:
    """Three digits, more of a large number: 0.0123, 1.23, 123, 12,345."""
    if not number:
        return ""
    value = float(number)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
