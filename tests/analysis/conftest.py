"""Made-up results, written once for all tests that only read them."""

from pathlib import Path

import pytest
from example import complete, write

from wnrepro.analysis import paper, records


@pytest.fixture(scope="session")
def complete_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder such as results/ with every planned run of every experiment."""
    return complete(tmp_path_factory.mktemp("complete") / "results")


@pytest.fixture(scope="session")
def complete_records(complete_results: Path) -> records.Records:
    return records.load(complete_results)


@pytest.fixture(scope="session")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> records.Records:
    return records.load(write(tmp_path_factory.mktemp("empty") / "results", []))


@pytest.fixture(scope="session")
def theirs() -> paper.Paper:
    """The paper's numbers that are committed."""
    return paper.load(Path(__file__).resolve().parents[2] / "results" / "paper")
