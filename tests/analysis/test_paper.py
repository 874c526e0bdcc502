"""The paper's numbers as committed, and damaged."""

from pathlib import Path
from shutil import copytree

import pytest
from example import PAPER

from wnrepro.analysis.paper import Paper, load
from wnrepro.arms import PAPER_ARMS
from wnrepro.errors import RunError


def test_numbers_of_the_papers_table_1(theirs: Paper) -> None:
    assert theirs.table1 == {
        "plain": 8.43,
        "wn": 8.46,
        "bn": 8.05,
        "mean_only_bn": 8.52,
        "wn_mean_only_bn": 7.31,
    }
    assert theirs.rerun["wn"] == 8.28
    assert set(theirs.curves["figure1"]["arm"]) == set(PAPER_ARMS)
    assert theirs.curves["figure1"]["epoch"].max() == 199


def test_the_edge_of_figure_1_is_no_number_of_an_arm(theirs: Paper) -> None:
    begins = theirs.curves["figure1"].groupby("arm").first()
    assert begins.loc["bn"].tolist() == [8, 14.873]
    assert begins.loc["mean_only_bn"].tolist() == [11, 14.738]
    assert begins.loc["wn"].tolist() == [12, 14.536]
    assert theirs.curves["figure1"]["value"].max() < 14.9


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n"])
def test_a_damaged_file_is_refused_in_one_line(content: str | None, tmp_path: Path) -> None:
    folder = copytree(PAPER, tmp_path / "paper")
    path = folder / "table1_cifar10_test_error_percent.csv"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match=r"table1.*version control") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
