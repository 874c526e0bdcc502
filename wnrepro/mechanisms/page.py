"""The page of results: every claim with its expectation, figure, numbers and verdict."""

from collections.abc import Sequence
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
    environment.filters["cell"] = lambda text: text.replace("|", "\\|").replace("\n", " ")
    environment.filters["commit"] = commit
    sections = [
        {
            "texts": experiment.texts,
            "rows": rows,
            "tables": []
            if rows[0].verdict == NOT_TESTED
            else list(tables.read(experiment.name, results)),
            "origin": tables.provenance(experiment.name, results),
        }
        for experiment, rows in judged
    ]
    text = environment.get_template("page.md.jinja").render(sections=sections, command=command)
    replace_file(results / PAGE, text)
