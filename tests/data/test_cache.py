"""The cache of fitted whitenings: same bits, and damage is noticed."""

import hashlib
import io
import logging
import pickle
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from wnrepro.data import ZCA, cache


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(40, 1, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every fit."""
    calls: list[int] = []
    original = ZCA.fit

    def counted(images: Tensor, **settings: float) -> ZCA:
        calls.append(1)
        return original(images, **settings)

    monkeypatch.setattr(ZCA, "fit", counted)
    return calls


def _same(one: ZCA, other: ZCA) -> bool:
    return torch.equal(one.mean, other.mean) and torch.equal(one.matrix, other.matrix)


def _write_with_checksum(file: Path, body: bytes) -> None:
    file.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _only_file() -> Path:
    (file,) = cache.directory().iterdir()
    return file


def test_a_hit_has_the_bits_of_a_miss(images: Tensor, fits: list[int]):
    first = cache.fitted(images, checksum="a")
    second = cache.fitted(images, checksum="a")
    assert len(fits) == 1
    assert _same(first, second)
    assert second.matrix.dtype == torch.float64


def test_every_part_of_the_key_counts(
    images: Tensor, fits: list[int], monkeypatch: pytest.MonkeyPatch
):
    cache.fitted(images, checksum="a")
    cache.fitted(images, checksum="b")
    cache.fitted(images, checksum="a", held_out=1)
    cache.fitted(images, checksum="a", epsilon=1e-4)
    cache.fitted(images, checksum="a", offset=1.0)
    cache.fitted(images, checksum="a", scale=2.0)
    cache.fitted(images, checksum="a", dtype=torch.float32)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    cache.fitted(images, checksum="a")
    assert len(fits) == 8
    assert len(list(cache.directory().iterdir())) == 8


@pytest.mark.parametrize("damage", ["torn", "empty", "altered", "digest", "foreign", "other_key"])
def test_a_damaged_file_is_noticed_and_replaced(
    damage: str, images: Tensor, fits: list[int], caplog: pytest.LogCaptureFixture
):
    first = cache.fitted(images, checksum="a")
    file = _only_file()
    content = bytearray(file.read_bytes())
    if damage == "torn":
        file.write_bytes(content[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "altered":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "digest":
        content[0] = ord("x")
        file.write_bytes(content)
    elif damage == "foreign":
        file.write_bytes(b"not a cache file")
    else:
        cache.fitted(images + 1, checksum="b")
        (other,) = set(cache.directory().iterdir()) - {file}
        other.replace(file)
        fits.pop()
    with caplog.at_level(logging.WARNING):
        again = cache.fitted(images, checksum="a")
    assert _same(again, first)
    assert len(fits) == 2
    (record,) = caplog.records
    assert str(file) in record.message
    assert "computing it again" in record.message
    caplog.clear()
    cache.fitted(images, checksum="a")
    assert len(fits) == 2
    assert not caplog.records


def test_a_file_this_torch_cannot_read_is_replaced(
    images: Tensor, caplog: pytest.LogCaptureFixture
):
    first = cache.fitted(images, checksum="a")
    file = _only_file()
    # Right checksum, but no file of torch.save; weights_only=True refuses what it names.
    _write_with_checksum(file, pickle.dumps(print, protocol=2))
    with caplog.at_level(logging.WARNING):
        assert _same(cache.fitted(images, checksum="a"), first)
    assert "cannot read" in caplog.text


MEAN, MATRIX = torch.zeros(25, dtype=torch.float64), torch.eye(25, dtype=torch.float64)


@pytest.mark.parametrize(
    "held",
    [
        {"mean": MEAN[:24], "matrix": MATRIX},
        {"mean": MEAN, "matrix": MATRIX[:24]},
        {"mean": MEAN[0], "matrix": MATRIX},
        {"mean": MEAN.float(), "matrix": MATRIX},
        {"mean": MEAN, "matrix": MATRIX.float()},
        {"mean": MEAN, "matrix": None},
        {"mean": MEAN.tolist(), "matrix": MATRIX},
        {"mean": MEAN},
        MATRIX,
        [1, 2],
        None,
    ],
)
def test_a_file_that_holds_something_else_is_replaced(
    held: Any, images: Tensor, fits: list[int], caplog: pytest.LogCaptureFixture
):
    """Whoever wrote it, with a right checksum and under our key."""
    first = cache.fitted(images, checksum="a")
    file = _only_file()
    own = file.read_bytes()
    if isinstance(held, dict):
        key = torch.load(io.BytesIO(own.partition(b"\n")[2]), weights_only=True)["key"]
        held = {"key": key, **held}
    buffer = io.BytesIO()
    torch.save(held, buffer)
    _write_with_checksum(file, buffer.getvalue())
    with caplog.at_level(logging.WARNING):
        assert _same(cache.fitted(images, checksum="a"), first)
    (record,) = caplog.records
    assert "computing it again" in record.message
    assert len(fits) == 2
    assert file.read_bytes() == own


def test_an_unreadable_file_is_one_warning(images: Tensor, caplog: pytest.LogCaptureFixture):
    first = cache.fitted(images, checksum="a")
    file = _only_file()
    file.unlink()
    file.mkdir()
    with caplog.at_level(logging.WARNING):
        assert _same(cache.fitted(images, checksum="a"), first)
    assert "cannot be read" in caplog.text


def test_a_cache_that_cannot_be_written_is_done_without(
    images: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    expected = ZCA.fit(images)
    (tmp_path / "cache").write_text("a file in the way")
    with caplog.at_level(logging.WARNING):
        found = cache.fitted(images, checksum="a")
    assert _same(found, expected)
    (record,) = caplog.records
    assert "going on without" in record.message


def test_without_a_home_directory_the_cache_is_done_without(
    images: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """As in a container whose user is a number alone."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with caplog.at_level(logging.WARNING):
        found = cache.fitted(images, checksum="a")
    assert _same(found, ZCA.fit(images))
    (record,) = caplog.records
    assert "home directory" in record.message
    assert "going on without" in record.message


def test_a_full_disk_leaves_no_half_file(
    images: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with caplog.at_level(logging.WARNING):
        cache.fitted(images, checksum="a")
    assert "No space left" in caplog.text
    assert list(cache.directory().iterdir()) == []


def test_two_processes_at_once(images: Tensor, tmp_path: Path, fits: list[int]):
    code = (
        "import sys, torch; from wnrepro.data import cache\n"
        "images = torch.randn(40, 1, 5, 5, generator=torch.Generator().manual_seed(0))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(20):\n"
        "    found = cache.fitted(images, checksum='a')\n"
        "    [file.unlink(missing_ok=True) for file in cache.directory().glob('zca-*')]\n"
        "print(float(found.matrix.sum()).hex(), flush=True)\n"
        "cache.fitted(images, checksum='a')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        assert complaints == ""
        assert output.strip() == float(ZCA.fit(images, epsilon=1e-5).matrix.sum()).hex()
    fits.clear()
    cache.fitted(images, checksum="a")
    assert fits == []


def test_the_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert cache.directory() == tmp_path / "cache" / "wnrepro"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.directory() == tmp_path / ".cache" / "wnrepro"
