"""What trained models drew, side by side: the pictures that runs left, by experiment and kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wnrepro.analysis.captions import provenance
from wnrepro.analysis.evidence import EVIDENCE, begun, select
from wnrepro.analysis.lines import by_setting
from wnrepro.analysis.records import Records
from wnrepro.arms import ARMS
from wnrepro.runs.pictures import Pictures, kept
from wnrepro.tasks import task_of


class Row(NamedTuple):
    """Pictures of one kind. name: of the row. files: who drew it → the file."""

    name: str
    title: str
    caption: str
    files: dict[str, Path]


def rows(results: Path, records: Records) -> Iterator[Row]:
    """Of each experiment, each of its data sets and each kind of picture, where there are any.

    Each setting has one picture, of whichever experiment its run is.
    """
    known = kept(results)
    keys = records.runs.index.intersection(list(known))
    of_setting = dict(zip(records.runs.loc[keys, "setting"], keys, strict=True))
    for name, evidence in EVIDENCE.items():
        if not (evidence.task.pictures and begun(records, name)):
            continue
        found = select(records, name)
        by_data = found.runs.groupby("data")
        for data, runs in by_data:
            apart = [str(data)] if len(by_data) > 1 else []
            drawn = _drawn(found.of(runs.index), of_setting)
            yield from _of_kinds(
                "_".join([name, *apart]), ", ".join([evidence.title, *apart]), drawn, records, known
            )


def _of_kinds(
    name: str,
    title: str,
    drawn: dict[str, str],
    records: Records,
    known: dict[str, Pictures],
) -> Iterator[Row]:
    """A row for each kind of picture that a task has. drawn: as of `_drawn`."""
    if not drawn:
        return
    own = records.runs.loc[list(drawn.values())]
    seeds = " and ".join(map(str, sorted(set(own["seed"]))))
    made = f"After the last epoch, seed {seeds}. {provenance(own)}"
    for kind in task_of(own["config"].iloc[0]).pictures:
        files = {said: known[key].get(kind.name) for said, key in drawn.items()}
        if files := {said: path for said, path in files.items() if path}:
            yield Row(f"{name}_{kind.name}", f"{title}: {kind.label}", f"{kind.says} {made}", files)


def _drawn(records: Records, known: dict[str, str]) -> dict[str, str]:
    """Who drew pictures, an arm and what else tells its settings apart → the run's identity.

    known: the identity of a setting → of its run that has pictures.
    """
    return {
        ", ".join(filter(None, (ARMS[own.runs["arm"].iloc[0]].short, told))): known[setting]
        for _, told, own in by_setting(records)
        for setting in own.runs["setting"]
        if setting in known
    }
