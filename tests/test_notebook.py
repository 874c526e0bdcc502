"""notebooks/explore.ipynb runs from first to last cell, and is committed with its outputs."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "explore.ipynb"


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The kinds of output of each code cell."""
    return [
        sorted({kind for each in cell.outputs for kind in each.get("data", {"text": ""})})
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_it_runs_and_gives_the_committed_kinds_of_output(notebook: nbformat.NotebookNode) -> None:
    committed = outputs(notebook)
    assert ["image/png", "text/plain"] in committed
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    ).execute()
    assert outputs(notebook) == committed
    said = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    assert not [each for each in said if each.get("name") == "stderr"]


def test_it_is_small_and_names_no_place() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert len(json.loads(text)["cells"]) <= 20
    for place in ("/home/", "/root/", "/tmp/", "/work/", "/Users/", "site-packages"):
        assert place not in text
