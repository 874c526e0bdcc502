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
        if evidence.task.pictures and (drawn := _drawn(select(records, name), known)):
            own = records.runs.loc[list(drawn.values())]
            seeds = " and ".join(map(str, sorted(set(own["seed"]))))
            made = f"After the last epoch, seed {seeds}. {provenance(own)}"
            for kind in evidence.task.pictures:
                files = {said: known[key].get(kind.name) for said, key in drawn.items()}
                if files := {said: path for said, path in files.items() if path}:
                    title = f"{evidence.title}: {kind.label}"
                    yield Row(f"{name}_{kind.name}", title, f"{kind.says} {made}", files)


def _drawn(records: Records, known: dict[str, Pictures]) -> dict[str, str]:
    """Who drew pictures, an arm and what else tells its settings apart → the run's identity."""
    return {
        ", ".join(filter(None, (ARMS[own.runs["arm"].iloc[0]].short, told))): key
        for _, told, own in by_setting(records)
        for key in own.runs.index
        if key in known
    }
