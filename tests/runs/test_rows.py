"""Rows come back as they were written, and files are replaced whole or not at all."""

import errno
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wnrepro.errors import RunError
from wnrepro.runs.rows import Row, read_rows, write_rows

NUMBERS = st.none() | st.integers() | st.floats(allow_nan=True, allow_infinity=True)
NAMES = st.text(min_size=1).filter(lambda name: name.isprintable() and name != "epoch")
COLUMNS = st.lists(NAMES, unique=True, max_size=5)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "metrics.csv"


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    columns = draw(COLUMNS)
    count = draw(st.integers(min_value=0, max_value=4))
    return [
        {"epoch": epoch} | {column: draw(NUMBERS) for column in columns}
        for epoch in range(1, count + 1)
    ]


def same(left: float | None, right: float | None) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    both_zero = left == 0 and right == 0 and isinstance(left, float)
    signs = not both_zero or math.copysign(1, left or 0) == math.copysign(1, right or 0)
    return type(left) is type(right) and left == right and signs


@given(rows=tables())
def test_round_trip_is_exact(path: Path, rows: list[Row]) -> None:
    write_rows(path, rows)
    read = read_rows(path)
    assert [list(row) for row in read] == [list(row) for row in rows]
    for before, after in zip(rows, read, strict=True):
        assert all(same(before[key], after[key]) for key in before)
    first = path.read_bytes()
    write_rows(path, read)
    assert path.read_bytes() == first


def test_epoch_comes_first_and_the_first_row_fixes_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_rows(path, [{"loss": 0.1, "epoch": 1}, {"epoch": 2}, {"epoch": 3, "loss": math.nan}])
    assert path.read_text() == "epoch,loss\n1,0.1\n2,\n3,nan\n"
    with pytest.raises(ValueError, match="columns"):
        write_rows(path, [{"epoch": 1}, {"epoch": 2, "loss": 0.1}])
    with pytest.raises(ValueError, match="columns"):
        write_rows(path, [{"loss": 0.1}])
    with pytest.raises(ValueError, match="columns"):
        write_rows(path, [{"epoch": 1, "two\nlines": 0.1}])


def test_numpy_floats_are_floats(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.csv", [{"epoch": 1, "loss": np.float64(0.1)}])
    assert read_rows(tmp_path / "x.csv") == [{"epoch": 1, "loss": 0.1}]


@pytest.mark.parametrize("value", ["0.1", True, [1], np.float32(1)])
def test_refuses_what_is_no_number(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="loss"):
        write_rows(tmp_path / "x.csv", [{"epoch": 1, "loss": value}])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("content", [b"", b"epoch,a\n1\n", b"epoch\nx\n", b"\xff\xfe\n", b'a\n"1'])
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"x\.csv: \S"):
        read_rows(tmp_path / "x.csv")


def test_a_table_cut_anywhere_is_never_read_as_another_one(tmp_path: Path) -> None:
    """Not even where what is left of its last number is a number."""
    path = tmp_path / "x.csv"
    write_rows(path, [{"epoch": 1, "loss": 0.25}, {"epoch": 2, "loss": 0.125}])
    whole, rows = path.read_bytes(), read_rows(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if whole[:length].endswith(b"\n"):
            assert read_rows(path) in (rows[:0], rows[:1])
            continue
        with pytest.raises(RunError, match="cut off: copy it again" if length else "it is empty"):
            read_rows(path)


def expect_the_old_file_to_survive(path: Path, reason: str) -> None:
    old = [{"epoch": 1, "loss": 0.1}]
    write_rows(path, old)
    with pytest.raises(RunError, match=reason) as caught:
        write_rows(path, [{"epoch": epoch, "loss": 0.1} for epoch in range(200_000)])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert read_rows(path) == old
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_full_disk_in_the_middle_of_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = os.write, [100_000]

    def fill(descriptor: int, data: memoryview) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", fill)
    expect_the_old_file_to_survive(tmp_path / "metrics.csv", "No space left on device")


def test_full_disk_that_shows_when_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems take the bytes and say only on fsync that they cannot keep them."""
    path = tmp_path / "metrics.csv"
    write_rows(path, [{"epoch": 1}])

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match="quota"):
        write_rows(path, [{"epoch": 1}, {"epoch": 2}])
    assert read_rows(path) == [{"epoch": 1}]


@pytest.fixture
def small_files() -> Iterator[None]:
    """The kernel itself refuses files above 64 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_limit_of_the_kernel(tmp_path: Path) -> None:
    expect_the_old_file_to_survive(tmp_path / "metrics.csv", "File too large")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this sandbox mounts nothing")
    try:
        expect_the_old_file_to_survive(tmp_path / "metrics.csv", "No space left on device")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_rows(tmp_path / "x.csv", [{"epoch": 1}])
    finally:
        os.umask(before)
    assert (tmp_path / "x.csv").stat().st_mode & 0o777 == 0o644
