"""What trained models drew stands side by side, by experiment, kind and setting."""

import base64
from pathlib import Path

import pytest
from example import configs, run, write
from PIL import Image

from wnrepro.analysis import page, publication, run_pictures
from wnrepro.analysis.records import Records, load
from wnrepro.runs.identity import identity, setting_identity

ARMS = ("plain", "WN")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """All runs of a VAE and of DRAW; pictures of their first seeds, of one DRAW only samples."""
    planned = configs("vae_mnist_small", "draw_small")
    folder = write(tmp_path / "results", [run(config, so_far=0, sparse=True) for config in planned])
    (folder / "pictures").mkdir()
    for k, config in enumerate(each for each in planned if each["seed"] == 0):
        lacks = config["task"].get("start") == "normal" and config["norm"]["name"] == "wn"
        for name in ("samples",) if lacks else ("samples", "reconstructions"):
            path = folder / "pictures" / f"{identity(config)}-{name}.png"
            Image.new("L", (8, 4 + k)).save(path)
    return folder


@pytest.fixture
def records(results: Path) -> Records:
    return load(results)


def test_a_row_for_each_kind_and_in_it_a_picture_for_each_setting(
    results: Path, records: Records
) -> None:
    rows = {row.name: row for row in run_pictures.rows(results, records)}
    assert list(rows) == [
        *("draw_small_samples", "draw_small_reconstructions"),
        *("vae_mnist_small_samples", "vae_mnist_small_reconstructions"),
    ]
    starts = [f"{arm}, start {start}" for arm in ARMS for start in ("normal", "unit")]
    assert list(rows["draw_small_samples"].files) == starts
    assert list(rows["draw_small_reconstructions"].files) == [
        each for each in starts if each != "WN, start normal"
    ]
    assert list(rows["vae_mnist_small_samples"].files) == list(ARMS)
    for row in rows.values():
        assert "seed 0" in row.caption
        assert "commit 0123456" in row.caption
        for said, path in row.files.items():
            key = path.name.partition("-")[0]
            arm = {"plain": "plain", "WN": "wn"}[said.partition(",")[0]]
            assert records.runs.loc[key, "arm"] == arm


def test_the_page_and_the_readme_show_them(results: Path, records: Records) -> None:
    page.write(results, records, [], {})
    shown = (results / "index.html").read_text()
    text = publication.drawn(records, results)
    for row in run_pictures.rows(results, records):
        assert f'id="drawn-{row.name}"' in shown
        assert row.title in shown
        assert row.title in text
        for said, path in row.files.items():
            assert base64.b64encode(path.read_bytes()).decode() in shown
            assert said in shown
            assert f'<img src="{path.name}" alt="{said}">' in text


def test_without_pictures_nothing_is_said_of_them(results: Path, records: Records) -> None:
    for path in (results / "pictures").iterdir():
        path.unlink()
    assert list(run_pictures.rows(results, records)) == []
    page.write(results, records, [], {})
    assert 'id="drawn-' not in (results / "index.html").read_text()


def test_the_games_of_an_experiment_are_rows_of_their_own(tmp_path: Path) -> None:
    planned = [each for each in configs("minatar_small") if each["seed"] == 0]
    folder = write(tmp_path / "results", [run(config, so_far=0, sparse=True) for config in planned])
    (folder / "pictures").mkdir()
    for config in planned:
        Image.new("L", (8, 4)).save(folder / "pictures" / f"{identity(config)}-game.png")
    rows = list(run_pictures.rows(folder, load(folder)))
    assert [row.name for row in rows] == [
        f"minatar_small_minatar_{game}_game" for game in ("breakout", "seaquest", "space_invaders")
    ]
    for row in rows:
        assert row.title.startswith("DQN on MinAtar, 250,000 frames, minatar_")
        assert len(row.files) == 4
        assert all(said.partition(",")[0] in ARMS for said in row.files)


def test_an_experiment_shows_a_setting_s_picture_of_another_seed(tmp_path: Path) -> None:
    """That of the lowest seed is kept, whichever experiment it is of."""
    rates, small = (
        [each for each in configs(name) if each["data"]["name"] == "minatar_breakout"]
        for name in ("minatar_rates", "minatar_small")
    )
    small = [each for each in small if each["seed"] == 0]
    done = [run(config, so_far=0, sparse=True) for config in [*rates, *small]]
    folder = write(tmp_path / "results", done)
    (folder / "pictures").mkdir()
    seen = {setting_identity(config): config for config in small}
    for config in rates:
        seen.setdefault(setting_identity(config), config)
    for config in seen.values():
        Image.new("L", (8, 4)).save(folder / "pictures" / f"{identity(config)}-game.png")
    by_rate, own = run_pictures.rows(folder, load(folder))
    assert (by_rate.name, len(by_rate.files)) == ("minatar_rates_game", 8)
    assert "seed 0 and 100" in by_rate.caption
    assert (own.name, len(own.files)) == ("minatar_small_game", 4)
    assert len(set(by_rate.files.values()) & set(own.files.values())) == 2


@pytest.mark.parametrize(("width", "tables"), [(649, 8), (291, 2), (100, 1)])
def test_wide_pictures_stand_below_each_other(width: int, tables: int, tmp_path: Path) -> None:
    planned = [
        each
        for each in configs("minatar_rates")
        if each["seed"] == 100 and each["data"]["name"] == "minatar_breakout"
    ]
    folder = write(tmp_path / "results", [run(config, so_far=0, sparse=True) for config in planned])
    (folder / "pictures").mkdir()
    for config in planned:
        Image.new("L", (width, 4)).save(folder / "pictures" / f"{identity(config)}-game.png")
    text = publication.drawn(load(folder), folder)
    assert text.count("<img") == len(planned) == 8
    assert sum(line.startswith("| ---") for line in text.splitlines()) == tables
