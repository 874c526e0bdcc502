"""Every claim of the paper with its criterion, our number and a verdict.

    claims.md            for readers
    tables/claims.csv    the same rows, and the numbers of the mechanism experiments

What is claimed and what would confirm it stands in `claims_paper`, what is measured in
`claims_measures`, how a verdict follows in `claims_judgement`; the verdicts of the mechanism
experiments and what was timed are read (`claims_mechanisms`, `claims_benchmarks`).
"""

from pathlib import Path

from wnrepro.analysis import claims_benchmarks
from wnrepro.analysis.claims_benchmarks import benchmark_rows
from wnrepro.analysis.claims_judgement import judge
from wnrepro.analysis.claims_markdown import as_markdown
from wnrepro.analysis.claims_mechanisms import mechanism_rows
from wnrepro.analysis.claims_paper import CLAIMS
from wnrepro.analysis.claims_row import Row, as_csv, from_csv
from wnrepro.analysis.records import Records
from wnrepro.replacement import make_folder, replace_file

MARKDOWN = Path("claims.md")
TABLE = Path("tables/claims.csv")


def write(results: Path, records: Records) -> list[Path]:
    """Write both files in the folder `results`; returns their paths. Equal tables, equal bytes.

    Raises:
        RunError: the mechanism experiments' verdicts or the benchmarks cannot be read, or a file
            not be written.
    """
    timed = claims_benchmarks.read(results)
    rows = [
        row for claim in CLAIMS for row in (*judge(claim, records), *benchmark_rows(claim, timed))
    ]
    rows += mechanism_rows(results)
    written = {results / MARKDOWN: as_markdown(rows), results / TABLE: as_csv(rows)}
    for path, text in written.items():
        make_folder(path.parent)
        replace_file(path, text)
    return list(written)


def read(results: Path) -> list[Row]:
    """The rows that `write` left in the folder `results`."""
    return from_csv((results / TABLE).read_bytes().decode())
