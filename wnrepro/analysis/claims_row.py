"""A line of the table of claims, and the table as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

VERDICT, NEAREST, MECHANISM, FINDING = "verdict", "nearest evidence", "mechanism", "finding"


@dataclass(frozen=True)
class Row:
    """A line of the table. All text, as it is shown.

    role: VERDICT, one per claim; NEAREST, the same number from another experiment, which gives no
    verdict; MECHANISM, one per experiment of the mechanism page; FINDING, one of its numbers.
    n: of seeds, or with another word after it.
    """

    role: str
    id: str
    claim: str
    source: str = ""
    paper: str = ""
    quantity: str = ""
    criterion: str = ""
    judged_on: str = ""
    ours: str = ""
    interval: str = ""
    n: str = "0"
    paired: str = ""
    verdict: str = ""
    because: str = ""
    settle: str = ""
    hardware: str = ""
    commit: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def from_csv(text: str) -> list[Row]:
    return [Row(**cells) for cells in csv.DictReader(io.StringIO(text, newline=""), strict=True)]
