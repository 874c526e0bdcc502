"""The page of results: every claim with its expectation, figure, numbers and verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from wnrepro.mechanisms import tables
from wnrepro.mechanisms.experiment import Experiment
from wnrepro.mechanisms.verdicts import NOT_RUN, Judged, commit
from wnrepro.replacement import replace_file

PAGE = "README.md"


def write(judged: Sequence[tuple[Experiment, Judged]], results: Path, command: str) -> None:
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
        "outcome": lambda text: text if text == NOT_RUN else f"**{text}**",
    }
    sections = [_section(experiment, row, results) for experiment, row in judged]
    text = environment.get_template("page.md.jinja").render(sections=sections, command=command)
    replace_file(results / PAGE, text)


def _section(experiment: Experiment, row: Judged, results: Path) -> Mapping[str, object]:
    names = [] if row.verdict == NOT_RUN else list(tables.read(experiment.name, results))
    origin = tables.provenance(experiment.name, results)
    return {"texts": experiment.texts, "row": row, "tables": names, "origin": origin}
