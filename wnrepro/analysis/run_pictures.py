"""What trained models drew, side by side: the pictures that runs left, by experiment and kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wnrepro.analysis.canvas import line_of
from wnrepro.analysis.captions import provenance
from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.lines import by_setting
from wnrepro.analysis.records import Records
from wnrepro.runs.pictures import Pictures, kept


class Row(NamedTuple):
    """Pictures of one kind. name: of the row. files: who drew it → the file."""

    name: str
    title: str
    caption: str
    files: dict[str, Path]


def rows(results: Path, records: Records) -> Iterator[Row]:
    """Of each experiment and each kind of picture of its task, where there are any."""
    known = kept(results)
    for name, evidence in EVIDENCE.items():
        of = select(records, name)
        own = of.of(of.runs.index.intersection(list(known)))
        if len(own.runs):
            for kind in evidence.task.pictures:
                if files := _files(own, known, kind.name):
                    seeds = "seed " + " and ".join(map(str, sorted(set(own.runs["seed"]))))
                    caption = f"{kind.says} After the last epoch, {seeds}. {provenance(own.runs)}"
                    title = f"{evidence.title}: {kind.label}"
                    yield Row(f"{name}_{kind.name}", title, caption, files)


def _files(own: Records, known: dict[str, Pictures], kind: str) -> dict[str, Path]:
    settings = ((line_of(line).name, part.runs.index[0]) for line, _, part in by_setting(own))
    return {said: known[key][kind] for said, key in settings if kind in known[key]}
