"""What is read is what was collected; what is damaged is refused in one line."""

import gzip
import math
from pathlib import Path

import pytest
from example import configs, run, write

from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.records import DIVERGED, Records, finals, finite, load
from wnrepro.errors import RunError


@pytest.fixture
def some(tmp_path: Path) -> Path:
    runs = [run(config) for config in configs("digits_arms")]
    return write(tmp_path / "results", runs)


def test_numbers_are_those_that_were_written(some: Path) -> None:
    records = load(some)
    config = next(c for c in configs("digits_arms") if c["norm"]["name"] == "wn" and c["seed"] == 3)
    original = run(config)
    row = records.runs.loc[original.row["identity"]]
    assert row["test_error_percent"] == float(original.row["test_error_percent"])
    assert row["config"] == config
    assert (row["arm"], row["seed"], row["epochs"], row["dirty"]) == ("wn", 3, 30, False)
    curve = records.curves[records.curves["identity"] == original.row["identity"]]
    written = [float(cells["train_error_percent"]) for cells in original.curve]
    assert list(curve["train_error_percent"]) == written
    layers = records.layers[records.layers["identity"] == original.row["identity"]]
    assert len(layers) == 4 * 30
    assert layers["grad_norm"].isna().all()  # no such cells were written


def test_an_identity_of_digits_stays_text(some: Path) -> None:
    """Such as 0123456789 or 12345678e9, which pandas would read as numbers."""
    records = load(some)
    assert all(isinstance(key, str) and len(key) == 10 for key in records.runs.index)
    assert set(records.curves["identity"]) == set(records.runs.index)


def test_a_run_that_was_not_from_a_clean_commit_is_dirty(tmp_path: Path) -> None:
    one, two, three, *_ = configs("digits_arms")
    runs = [run(one, dirty="True"), run(two), run(three, dirty="")]
    records = load(write(tmp_path / "results", runs))
    dirty = [records.runs.loc[each.row["identity"], "dirty"] for each in runs]
    assert dirty == [True, False, True]  # where it is not known, it is not known to be clean


def test_finals_of_a_run_that_diverged_are_no_number(tmp_path: Path) -> None:
    wn = [c for c in configs("digits_arms") if c["norm"]["name"] == "wn"]
    runs = [run(config, diverged=config["seed"] == 1) for config in wn]
    records = load(write(tmp_path / "results", runs))
    # Its row holds the error of the epoch in which it diverged, which is no result.
    diverged = records.runs[records.runs["status"] == DIVERGED]
    assert list(diverged["seed"]) == [1]
    assert math.isfinite(diverged["test_error_percent"].iloc[0])
    values = finals(records.runs)
    assert set(values) == {0, 1, 2, 3, 4}
    assert math.isnan(values[1])
    assert set(finite(values)) == {0, 2, 3, 4}
    assert values[2] == float(
        next(r for r in runs if r.row["seed"] == "2").row["test_error_percent"]
    )


def test_finals_refuses_a_mixture(some: Path) -> None:
    with pytest.raises(ValueError, match="several runs of one seed"):
        finals(load(some).runs)


def test_select_takes_rows_of_all_three_tables(complete_records: Records) -> None:
    small = select(complete_records, "cifar_small")
    assert set(small.runs["width"]) == {24}
    assert len(small.runs) == EVIDENCE["cifar_small"].planned
    assert set(small.curves["identity"]) == set(small.layers["identity"]) == set(small.runs.index)
    assert len(small.curves) == 10 * len(small.runs)


def test_bf16_and_float32_are_never_pooled(complete_records: Records) -> None:
    for name, precision in (("cifar_table1", "float32"), ("cifar_table1_bf16", "bf16")):
        runs = select(complete_records, name).runs
        assert set(runs["precision"]) == {precision}
        assert len(runs) == EVIDENCE[name].planned


def test_no_results_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no .*runs\.csv; .*collect\.py") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["runs.csv", "curves.csv.gz", "layers.csv.gz"])
def test_a_damaged_table_is_refused_in_one_line(some: Path, name: str) -> None:
    path = some / name
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RunError, match="version control") as caught:
        load(some)
    assert "\n" not in str(caught.value)


def test_a_word_among_the_numbers_is_refused(some: Path) -> None:
    path = some / "layers.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace(",1.0,", ",one,", 1).encode()))
    with pytest.raises(RunError, match="column 'g'"):
        load(some)
