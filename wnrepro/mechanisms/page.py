"""The page of results: every claim with its expectation, figure, numbers and verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from wnrepro.mechanisms import tables
from wnrepro.mechanisms.experiment import NOT_TESTED, Experiment
from wnrepro.mechanisms.verdicts import Judged, commit
from wnrepro.replacement import replace_file

PAGE = "README.md"


def write(
    judged: Sequence[tuple[Experiment, Sequence[Judged]]], results: Path, command: str
) -> None:
    """Write README.md into `results`, from `page.md.jinja`. Raises RunError."""
    environment = Environment(
        loader=PackageLoader("wnrepro.mechanisms", ""),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": lambda text: text.replace("|", "\\|").replace("\n", " "),
        "commit": commit,
        "outcome": outcome,
    }
    sections = [
        _section(number, experiment, rows, results)
        for number, (experiment, rows) in enumerate(judged, 1)
    ]
    text = environment.get_template("page.md.jinja").render(sections=sections, command=command)
    replace_file(results / PAGE, text)


def outcome(row: Judged) -> str:
    """The verdict as it is shown: an identity is verified, or it is not."""
    if row.kind == "identity":
        return row.verdict.replace("reproduced", "verified")
    return row.verdict


def _section(
    number: int, experiment: Experiment, rows: Sequence[Judged], results: Path
) -> Mapping[str, object]:
    run = rows[0].verdict != NOT_TESTED
    return {
        "number": number,
        "texts": experiment.texts,
        "rows": rows,
        "tables": list(tables.read(experiment.name, results)) if run else [],
        "origin": tables.provenance(experiment.name, results),
    }
