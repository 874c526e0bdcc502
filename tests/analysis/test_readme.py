"""The README's numbers are those of the committed records."""

from pathlib import Path

import pytest

from wnrepro.analysis import paper, readme, records
from wnrepro.errors import RunError

ROOT = Path(__file__).resolve().parents[2]


def test_it_is_what_the_records_give_and_short(tmp_path: Path) -> None:
    committed = (ROOT / "README.md").read_text()
    found, theirs = records.load(ROOT / "results"), paper.load(ROOT / "results" / "paper")
    emptied = committed
    for name in readme.PARTS:
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        emptied = emptied[: emptied.index(begin) + len(begin) + 1] + emptied[emptied.index(end) :]
    assert len(emptied) < len(committed) - 1000
    (tmp_path / "README.md").write_text(emptied)
    readme.write(tmp_path / "README.md", found, theirs)
    assert (tmp_path / "README.md").read_text() == committed
    assert len(committed.splitlines()) <= 150


def test_a_readme_without_its_markers_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    found, theirs = records.load(ROOT / "results"), paper.load(ROOT / "results" / "paper")
    with pytest.raises(RunError, match="has no <!-- table1 -->"):
        readme.write(tmp_path / "README.md", found, theirs)
