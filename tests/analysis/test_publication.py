"""The files, and the command that writes them."""

import filecmp
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from example import configs, run, write

from wnrepro.analysis import publication
from wnrepro.analysis.exhibits import FIGURES, TABLES
from wnrepro.analysis.publication import gallery
from wnrepro.analysis.records import load

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_figures.py"
FEW = ["figure1", "learning_rates", "norm_growth", "init_ablation", "table1"]
"""With each kind of drawing: lines, bands, crosses, words as ticks; and three tables."""


@pytest.fixture(scope="module")
def command() -> Callable[..., int]:
    """scripts/make_figures.py in this process."""
    spec = importlib.util.spec_from_file_location("make_figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([*map(str, arguments), "--jobs", "1"])


def test_the_same_records_give_the_same_bytes_in_other_processes(
    complete_results: Path, tmp_path: Path
) -> None:
    folders = []
    for number, jobs in ((0, "1"), (1, "2")):
        folder = copytree(complete_results, tmp_path / str(number))
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "TZ": f"UTC+{number}"}
        arguments = [*FEW, "--results", folder, "--jobs", jobs]
        subprocess.run([sys.executable, SCRIPT, *arguments], check=True, env=environment)
        folders.append(folder)
    written = sorted(
        path.relative_to(folders[0])
        for path in folders[0].rglob("*.*")
        if path.parent.name in ("figures", "tables")
    )
    endings = {path.suffix for path in written}
    assert endings == {".png", ".svg", ".pdf", ".md", ".csv", ".tex"}
    names = [str(path) for path in written]
    same, different, missing = filecmp.cmpfiles(folders[0], folders[1], names, shallow=False)
    assert (different, missing) == ([], [])
    assert len(same) == 4 * 4 + 3 * 3


def test_other_records_give_other_figures(complete_results: Path, tmp_path: Path, command) -> None:
    one, other = copytree(complete_results, tmp_path / "one"), tmp_path / "other"
    write(other, [run(c, lambda c, epoch: 9 / epoch) for c in configs("mnist_arms")])
    for folder in (one, other):
        assert command("norm_growth", "mnist_arms_errors", "--results", folder) == 0
    picture = Path("figures") / "mnist_arms_errors.png"
    assert (one / picture).read_bytes() != (other / picture).read_bytes()


def test_all_without_runs(tmp_path: Path, command, capsys: pytest.CaptureFixture) -> None:
    """Nothing is drawn, everything is named, and what was drawn once is no longer there."""
    folder = write(tmp_path / "results", [])
    (folder / "figures").mkdir()
    old = folder / "figures" / "figure1.png"
    old.write_bytes(b"of runs that are there no more")
    assert command("--results", folder) == 0
    assert not old.exists()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"0 of {len(FIGURES) + len(TABLES)} figures and tables")
    assert len([line for line in said if line.startswith("left out: ")]) == len(FIGURES) + len(
        TABLES
    )
    assert any("-m +sweep=cifar_small" in line for line in said)
    page = (folder / "figures" / "README.md").read_text()
    assert page.count("Left out: ") >= len(FIGURES)
    assert "<img" not in page


def test_ones_own_results_with_runs_for_few_figures_and_no_paper(
    tmp_path: Path, command, capsys: pytest.CaptureFixture
) -> None:
    folder = write(tmp_path / "results", [run(c) for c in configs("cifar_first_epochs")])
    shutil.rmtree(folder / "paper")
    assert command("--results", folder) == 0
    assert (folder / "figures" / "first_epochs.png").exists()
    assert (folder / "claims.md").exists()
    assert (folder / "index.html").exists()
    assert "are in" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]  # no README is asked for


def test_list_says_what_each_lacks(tmp_path: Path, command, capsys: pytest.CaptureFixture) -> None:
    folder = write(tmp_path / "results", [run(c) for c in configs("digits_arms")[:3]])
    assert command("--list", "--results", folder) == 0
    said = capsys.readouterr().out
    for name in (*FIGURES, *TABLES):
        assert name in said
    assert "digits_arms has 3 of 25 runs: python -m wnrepro.train -m +sweep=digits_arms" in said
    assert "in part" in said
    assert not (folder / "figures").exists()


def test_an_unknown_name_is_refused_in_one_line(command, capsys: pytest.CaptureFixture) -> None:
    assert command("figur1") == 1
    said = capsys.readouterr().err
    assert said == (
        "error: there is no figure or table figur1 (did you mean figure1?); --list shows them all\n"
    )


@pytest.mark.parametrize("missing", ["runs.csv", "curves.csv.gz"])
def test_a_missing_file_is_said_in_one_line(
    missing: str, tmp_path: Path, command, capsys: pytest.CaptureFixture
) -> None:
    folder = write(tmp_path / "results", [run(configs("digits_arms")[0])])
    path = folder / missing
    path.rename(tmp_path / "elsewhere")
    assert command("--results", folder) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert missing in said


def test_a_name_of_a_figure_and_a_table_stands_for_both() -> None:
    kinds = [type(item).__name__ for item in publication.named(["init_ablation"])]
    assert kinds == ["Figure", "Table"]
    assert len(publication.named([])) == len(FIGURES) + len(TABLES)


def test_the_gallery_shows_each_figure_light_and_dark(complete_records) -> None:
    page = publication.gallery(complete_records)
    for figure in FIGURES.values():
        assert f'srcset="{figure.name}-dark.svg"' in page
        assert f'<img src="{figure.name}.png"' in page
        assert figure.caption(complete_records) in page


def test_a_folder_that_cannot_be_made(
    tmp_path: Path, command, capsys: pytest.CaptureFixture
) -> None:
    folder = write(tmp_path / "results", [run(c) for c in configs("mnist_arms")[:3]])
    (folder / "figures").write_text("a file")
    assert command("mnist_arms_errors", "--results", folder) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot write {folder / 'figures'}")


def test_the_committed_pages_are_those_of_the_committed_records() -> None:
    results = Path("results")
    records = load(results)
    assert (results / "figures" / "README.md").read_text() == gallery(records)
