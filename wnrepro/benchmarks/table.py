"""The files of a device: its CSV, its Markdown table, and the profile's CSV and picture."""

import csv
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from wnrepro.benchmarks import GROUPS
from wnrepro.benchmarks.row import Row, quartiles
from wnrepro.benchmarks.setting import Setting
from wnrepro.mechanisms.tables import as_csv
from wnrepro.replacement import make_folder, replace_file
from wnrepro.runs.manifest import write_manifest

Record = dict[str, str]
"""One line of the CSV: what was measured and on which occasion."""

_HEADINGS = (
    *("measured", "unit", "ours", "usual", "ratio", "repeats", "goal", "met?", "note", "occasion"),
)

_SMOKE = (
    "**Smoke version: tiny sizes that only show that everything runs. "
    "These numbers say nothing about the goals.**"
)


def occasion(setting: Setting) -> Record:
    """When, where and by what is measured now: the last columns of every record."""
    gpu = torch.cuda.get_device_name(setting.device) if setting.gpu else None
    with tempfile.TemporaryDirectory() as folder:
        found = write_manifest(
            Path(folder),
            {},
            sys.argv,
            device=str(setting.device),
            threads=torch.get_num_threads(),
            gpu=gpu,
        )
    hardware, versions = found["hardware"], found["versions"]
    cores = f"{hardware['cpu']}, {hardware['cores']} cores"
    commit = (found["commit"] or "no commit")[:10]
    return {
        "hardware": f"{gpu}; {cores}" if gpu else cores,
        "threads": str(found["threads"]),
        "torch": torch.__version__,
        "python": versions["python"],
        "commit": commit + (" with changes" if found["dirty"] else ""),
        "date": found["time"][:10],
    }


def slug(setting: Setting, occasion: Record) -> str:
    """The device as a file name: cpu-intel-xeon-4-cores, nvidia-h100-80gb-hbm3."""
    hardware = occasion["hardware"]
    name = hardware.partition(";")[0] if setting.gpu else f"cpu {hardware}"
    plain = re.sub(r"\((r|tm)\)|\bprocessor\b|@.*?,", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def records(group: str, rows: Sequence[Row], occasion: Record, smoke: bool) -> list[Record]:
    return [_record(group, row, smoke) | occasion for row in rows]


def write(path: Path, new: Mapping[str, Sequence[Record]], smoke: bool) -> list[Record]:
    """Put the records of the groups that were measured into `path`.csv and draw `path`.md anew.

    Groups that were measured on another occasion stay, each line with that occasion. Returns all.
    """
    old = read(path.with_suffix(".csv"))
    everything = [
        record
        for group in GROUPS
        for record in new.get(group, [each for each in old if each["group"] == group])
    ]
    make_folder(path.parent)
    replace_file(path.with_suffix(".csv"), as_csv(everything))
    replace_file(path.with_suffix(".md"), _markdown(path.name, everything, smoke))
    return everything


def _record(group: str, row: Row, smoke: bool) -> Record:
    """Nothing stands where nothing was measured. A smoke version meets no goals."""
    record: Record = {"group": group, "row": row.name, "unit": row.unit}
    series = {"ours": row.ours, "usual": row.usual, "ratio": row.ratios}
    for name, values in series.items():
        low, middle, high = quartiles(values) if values else (None, None, None)
        for suffix, value in (("", middle), ("_q1", low), ("_q3", high)):
            record[name + suffix] = "" if value is None else f"{value:.6g}"
    met = {True: "yes", False: "no", None: ""}[None if smoke else row.met]
    return record | {
        "repeats": str(len(row.ours) or ""),
        "goal": "" if row.goal is None else str(row.goal),
        "met": met,
        "note": row.note,
    }


def read(path: Path) -> list[Record]:
    """The lines of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _markdown(name: str, everything: Sequence[Record], smoke: bool) -> str:
    occasions = list(dict.fromkeys(_occasion_text(record) for record in everything))
    hardware = list(dict.fromkeys(record["hardware"] for record in everything))
    lines = [
        f"# Speed on {'; '.join(hardware)}",
        "",
        "Ours and the usual way, measured in turn in one process by `python scripts/benchmark.py` "
        "after a check that both compute the same. Medians over the repeats; the ratio is ours ÷ "
        "usual, taken repeat by repeat, with its quartiles in brackets. What each row times stands "
        f"at the head of its module in `wnrepro/benchmarks/`; every number is in [{name}.csv]"
        f"({name}.csv). A goal is one for the ratio, or for ours where there is no usual way.",
        "",
        *([_SMOKE, ""] if smoke else []),
        *[f"{k}. {text}" for k, text in enumerate(occasions, 1)],
        "",
        f"| {' | '.join(_HEADINGS)} |",
        "|" + "---|" * len(_HEADINGS),
    ]
    for record in everything:
        ratio = ""
        if record["ratio"]:
            low, high = _short(record["ratio_q1"]), _short(record["ratio_q3"])
            ratio = f"{_short(record['ratio'])} [{low}, {high}]"
        cells = [record["row"], record["unit"], _short(record["ours"]), _short(record["usual"])]
        cells += [ratio, *(record[key] for key in ("repeats", "goal", "met", "note"))]
        cells.append(str(occasions.index(_occasion_text(record)) + 1))
        lines.append(f"| {' | '.join(each.replace('|', ' ') for each in cells)} |")
    return "\n".join(lines) + "\n"


def _occasion_text(record: Record) -> str:
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
