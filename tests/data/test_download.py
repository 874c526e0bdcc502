"""Packed archives and downloads, on a small stand-in for MNIST and a server in this process."""

import dataclasses
import gzip
import hashlib
import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from wnrepro.data import catalogue, files, load
from wnrepro.data.catalogue import Archive
from wnrepro.errors import DataError


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A data set of 6 + 4 images under the name mnist; the .gz files as published, by name."""
    random = np.random.default_rng(0)
    contents, archives = {}, {}
    for part, count in (("train", 6), ("t10k", 4)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        contents[f"{part}-images-idx3-ubyte"] = _idx(images)
        contents[f"{part}-labels-idx1-ubyte"] = _idx(labels)
    archives = {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}
    small = dataclasses.replace(
        catalogue.entry("mnist"),
        n_train=6,
        n_test=4,
        files={f"MNIST/raw/{name}": _md5(content) for name, content in contents.items()},
        archives=tuple(
            Archive(f"MNIST/raw/{name}", _md5(content), (f"MNIST/raw/{name[:-3]}",))
            for name, content in archives.items()
        ),
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", {"mnist": small})
    resources = [(name, _md5(content)) for name, content in archives.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [])
    return archives


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A directory that torchvision downloads MNIST from."""
    served = tmp_path / "served"
    served.mkdir()
    for name, content in published.items():
        (served / name).write_bytes(content)
    handler = partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(
            datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_address[1]}/"]
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def test_missing_files_are_downloaded_once(mirror: Path, tmp_path: Path):
    root = tmp_path / "root"
    first = load("mnist", root=root)
    assert len(first.train) == 6
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == sorted(
        path.name[:-3] for path in mirror.iterdir()
    )
    second = load("mnist", root=root, download=False)
    assert second.train.images.equal(first.train.images)


def test_a_download_leaves_files_that_are_there_alone(mirror: Path, tmp_path: Path):
    root = tmp_path / "root"
    files.locate("mnist", root)
    kept = root / "MNIST/raw/train-images-idx3-ubyte"
    lost = root / "MNIST/raw/t10k-labels-idx1-ubyte"
    inode = kept.stat().st_ino
    lost.unlink()
    files.locate("mnist", root)
    assert lost.exists()
    assert kept.stat().st_ino == inode


def test_a_corrupt_download_is_not_kept(mirror: Path, tmp_path: Path):
    (mirror / "train-labels-idx1-ubyte.gz").write_bytes(b"something else")
    root = tmp_path / "root"
    with pytest.raises(DataError, match=r"4 of 4 data files are missing.*download failed"):
        load("mnist", root=root)
    assert not root.exists()


def test_a_server_that_never_answers_is_given_up(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "TIMEOUT_SEC", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(
            datasets.MNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"]
        )
        started = time.monotonic()
        with pytest.raises(DataError, match=r"download failed .*timed out"):
            load("mnist", root=tmp_path / "root")
        assert time.monotonic() - started < 5
    assert socket.getdefaulttimeout() is None


def test_packed_files_are_unpacked_without_a_network(published: dict[str, bytes], tmp_path: Path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in published.items():
        (raw / name).write_bytes(content)
    assert len(load("mnist", root=tmp_path, download=False).evaluation) == 4


def test_a_corrupt_packed_file_is_named_with_both_checksums(
    published: dict[str, bytes], tmp_path: Path
):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in published.items():
        (raw / name).write_bytes(content)
    torn = published["t10k-images-idx3-ubyte.gz"][:-9]
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(torn)
    with pytest.raises(DataError, match="1 of 4 data files are missing") as caught:
        load("mnist", root=tmp_path, download=False)
    message = str(caught.value)
    assert "t10k-images-idx3-ubyte.gz is corrupt" in message
    assert _md5(torn) in message
    assert _md5(published["t10k-images-idx3-ubyte.gz"]) in message


def test_a_root_that_cannot_be_written_is_a_data_error(published: dict[str, bytes], tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    missing = r"4 of 4 data files are missing.*download failed.*data\.root=DIR"
    with pytest.raises(DataError, match=missing) as caught:
        load("mnist", root=blocked / "root")
    first, *listed = str(caught.value).splitlines()
    assert "put them there" in first, "the first line, which a sweep shows alone, says what to do"
    assert len(listed) == 5
