"""What trained models drew, side by side: the pictures that runs left, by experiment and kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wnrepro.analysis.captions import provenance
from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.lines import by_setting
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS
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
        own = of.runs.loc[of.runs.index.intersection(list(known))]
        for kind in evidence.task.pictures if len(own) else ():
            if files := _files(of, known, kind.name):
                seeds = " and ".join(map(str, sorted(set(own["seed"]))))
                caption = f"{kind.says} After the last epoch, seed {seeds}. {provenance(own)}"
                title = f"{evidence.title}: {kind.label}"
                yield Row(f"{name}_{kind.name}", title, caption, files)


def _files(records: Records, known: dict[str, Pictures], kind: str) -> dict[str, Path]:
    files = {}
    for _, told, own in by_setting(records):
        said = ", ".join(filter(None, (ARMS[own.runs["arm"].iloc[0]].short, told)))
        for pictures in (known.get(key, {}) for key in own.runs.index):
            if kind in pictures:
                files[said] = pictures[kind]
    return files
