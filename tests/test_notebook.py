"""The notebooks run from first to last cell, and are committed with their outputs."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def outputs(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The kinds of output of each code cell."""
    return [
        sorted({kind for each in cell.outputs for kind in each.get("data", {"text": ""})})
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_both_are_found() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["explained", "explore"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_gives_the_committed_kinds_of_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    committed = outputs(notebook)
    assert ["image/png", "text/plain"] in committed
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    assert outputs(notebook) == committed
    said = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    assert not [each for each in said if each.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_small_and_names_no_place(path: Path) -> None:
    text = path.read_text()
    assert len(text) < 300_000
    assert len(json.loads(text)["cells"]) <= 20
    for place in ("/home/", "/root/", "/tmp/", "/work/", "/Users/", "site-packages"):
        assert place not in text
