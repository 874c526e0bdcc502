"""Of each setting the pictures of the lowest seed that has some are kept beside the tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from wnrepro.runs.identity import identity
from wnrepro.runs.pictures import keep, kept
from wnrepro.runs.tables import CollectedRun


def config_of(seed: int, lr: float) -> dict[str, Any]:
    return {"seed": seed, "lr": lr, "task": {"name": "draw"}}


def run(folder: Path, seed: int, lr: float = 0.1, drawn: tuple[str, ...] = ("samples",)) -> str:
    """A run's directory with its curves, what it drew and a picture of a user's; its identity."""
    key = identity(config_of(seed, lr))
    directory = folder / key
    directory.mkdir(parents=True)
    for name in ("curves", "mine", *drawn):
        (directory / f"{name}.png").write_text(f"{name} of seed {seed}, {lr}")
    return key


def collected(folder: Path, seed: int, lr: float = 0.1) -> CollectedRun:
    config = config_of(seed, lr)
    row = {"identity": identity(config), "seed": str(seed), "config": json.dumps(config)}
    return CollectedRun(str(folder / row["identity"]), row, [], [])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_the_lowest_seed_of_each_setting_is_kept(runs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    first, second, other = (
        run(runs, 1),
        run(runs, 2),
        run(runs, 7, 0.2, ("samples", "reconstructions")),
    )
    found = [collected(runs, 2), collected(runs, 1), collected(runs, 7, 0.2)]
    table = {each.row["identity"]: each for each in found}
    assert keep(results, table, found) == sorted([first, other])
    assert second not in kept(results)
    assert sorted(path.name for path in (results / "pictures").iterdir()) == sorted(
        [f"{first}-samples.png", f"{other}-samples.png", f"{other}-reconstructions.png"]
    )
    assert kept(results)[first]["samples"].read_text() == "samples of seed 1, 0.1"
    assert keep(results, table, found) == []

    lower = run(runs, 0)
    table[lower] = collected(runs, 0)
    assert keep(results, table, [table[lower]]) == [lower]
    assert set(kept(results)) == {lower, other}


def test_a_run_without_pictures_or_outside_the_tables_has_no_place(
    runs: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    bare, foreign = run(runs, 0, drawn=()), run(runs, 1)
    found = [collected(runs, 0), collected(runs, 1)]
    assert keep(results, {bare: found[0]}, found) == []
    assert not results.exists()
    assert keep(results, {bare: found[0], foreign: found[1]}, found) == [foreign]


def test_pictures_of_a_run_that_left_the_tables_go_too(runs: Path, tmp_path: Path) -> None:
    key, results = run(runs, 0), tmp_path / "results"
    assert keep(results, {key: collected(runs, 0)}, [collected(runs, 0)]) == [key]
    assert keep(results, {}, []) == []
    assert kept(results) == {}
