"""What runs drew at their end, kept beside the tables: of each setting the pictures of one run."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from wnrepro.replacement import failing_in_one_line, make_folder, replace_file
from wnrepro.runs.identity import setting_identity
from wnrepro.runs.tables import CollectedRun
from wnrepro.tasks import task_of

FOLDER = "pictures"
"""Of the results. Its files are named IDENTITY-NAME.png, as 22af2733af-samples.png."""

_NAME = re.compile(r"([0-9a-f]{10})-(\w+)")

Pictures = dict[str, Path]
"""By name: those of a task, as `samples`."""


def of_run(run: CollectedRun) -> Pictures:
    """Those of its task in the directory where it was found."""
    names = (each.name for each in task_of(run.config).pictures)
    paths = {name: Path(run.source) / f"{name}.png" for name in names}
    return {name: path for name, path in paths.items() if path.exists()}


def kept(results: Path) -> dict[str, Pictures]:
    """Those in the folder `results`, by the identity of their run."""
    found: dict[str, Pictures] = {}
    for path in sorted((results / FOLDER).glob("*.png")):
        if match := _NAME.fullmatch(path.stem):
            found.setdefault(match[1], {})[match[2]] = path
    return found


def keep(
    results: Path, runs: Mapping[str, CollectedRun], found: Iterable[CollectedRun]
) -> list[str]:
    """Keep, of each setting, the pictures of the run with the lowest seed that has some.

    runs: those in the tables. found: where they were found; one with other metrics is another.
    Returns the identities of those whose pictures are new. Raises RunError: a file cannot be
    written.
    """
    known = kept(results)
    fresh = {
        run.row["identity"]: drawn
        for run in found
        if (drawn := of_run(run))
        and (there := runs.get(run.row["identity"])) is not None
        and there.metrics == run.metrics
    }
    chosen: dict[str, str] = {}
    keys = (known.keys() | fresh.keys()) & runs.keys()
    for key in sorted(keys, key=lambda key: int(runs[key].row["seed"])):
        chosen.setdefault(setting_identity(runs[key].config), key)
    new = []
    for key in sorted(fresh.keys() & set(chosen.values())):
        make_folder(results / FOLDER)
        for name, path in fresh[key].items():
            with failing_in_one_line(path):
                content, place = path.read_bytes(), results / FOLDER / f"{key}-{name}.png"
                if not place.exists() or place.read_bytes() != content:
                    replace_file(place, content)
                    new.append(key)
    for key in known.keys() - set(chosen.values()):
        for path in known[key].values():
            path.unlink(missing_ok=True)
    return sorted(set(new))
