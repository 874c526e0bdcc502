"""Missing, corrupt, packed and downloaded data files."""

import hashlib
import pickle
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wnrepro.data import catalogue, files, load
from wnrepro.errors import DataError

ALL_FILES = [(name, path) for name in catalogue.NAMES for path in catalogue.entry(name).files]
ONE_OF_EACH_KIND = [
    ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
    ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte"),
    ("fashion_mnist", "FashionMNIST/raw/t10k-images-idx3-ubyte"),
    ("cifar10", "cifar-10-batches-py/data_batch_3"),
    ("cifar10", "cifar-10-batches-py/test_batch"),
    ("cifar10", "cifar-10-batches-py/batches.meta"),
]


@pytest.fixture
def linked_root(data_root: Path, tmp_path: Path) -> Path:
    """The real data as links, so that a test can remove or replace single files."""
    root = tmp_path / "root"
    for _, path in ALL_FILES:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(data_root / path)
    return root


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_a_complete_root_is_only_read(name: str, data_root: Path, no_network: None):
    before = {path: path.stat().st_mtime_ns for path in data_root.rglob("*")}
    assert files.locate(name, data_root) == data_root
    assert {path: path.stat().st_mtime_ns for path in data_root.rglob("*")} == before


@pytest.mark.parametrize(("name", "path"), ONE_OF_EACH_KIND)
def test_a_missing_file_is_named_with_its_checksum_and_place(
    name: str, path: str, linked_root: Path
):
    (linked_root / path).unlink()
    with pytest.raises(DataError) as caught:
        load(name, root=linked_root, download=False)
    message = str(caught.value)
    entry = catalogue.entry(name)
    assert str(linked_root / path) in message
    assert entry.files[path] in message
    assert f"1 of {len(entry.files)} data files" in message
    assert "data.root=" in message.splitlines()[0]
    assert "WNREPRO_DATA=" in message.splitlines()[0]
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_without_data_and_network_the_error_comes_at_once_and_nothing_is_left(
    name: str, tmp_path: Path, no_network: None, capfd: pytest.CaptureFixture[str]
):
    root = tmp_path / "data"
    started = time.monotonic()
    with pytest.raises(DataError, match=r"download failed .*no network in this test"):
        load(name, root=root)
    assert time.monotonic() - started < 30  # importing torchvision included
    assert not root.exists()
    announced = capfd.readouterr().err.splitlines()
    assert announced == [f"downloading {catalogue.entry(name).title} to {root}"]


@pytest.mark.parametrize(("name", "path"), ONE_OF_EACH_KIND)
def test_one_changed_byte_is_noticed(name: str, path: str, linked_root: Path, no_network: None):
    content = bytearray((linked_root / path).read_bytes())
    content[len(content) // 2] ^= 1
    (linked_root / path).unlink()
    (linked_root / path).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(name, root=linked_root)
    message = str(caught.value)
    assert str(linked_root / path) in message
    assert catalogue.entry(name).files[path] in message
    assert hashlib.md5(content).hexdigest() in message
    assert len(message.splitlines()) == 1


class _Trap:
    """Unpickling it creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("file", ["data_batch_1", "test_batch", "batches.meta"])
def test_an_altered_pickle_is_never_unpickled(file: str, linked_root: Path, tmp_path: Path):
    sprung = tmp_path / "sprung"
    target = linked_root / "cifar-10-batches-py" / file
    target.unlink()
    target.write_bytes(pickle.dumps(_Trap(sprung)))
    with pytest.raises(DataError, match=f"corrupt data file .*{file}"):
        load("cifar10", root=linked_root)
    assert not sprung.exists()


def test_an_unreadable_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=rf"cannot read data file {tmp_path}"):
        files.md5_of(tmp_path)


def test_a_legacy_copy_in_torchvisions_format_is_not_used(linked_root: Path):
    processed = linked_root / "MNIST" / "processed"
    processed.mkdir()
    for file in ("training.pt", "test.pt"):
        (processed / file).write_bytes(b"not verified by anybody")
    assert len(load("mnist", root=linked_root).train) == 60_000


def test_the_root_is_the_argument_then_the_variable_then_data_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(files.ROOT_VARIABLE, raising=False)
    assert files.resolve_root() == tmp_path / "data"
    monkeypatch.setenv(files.ROOT_VARIABLE, str(tmp_path / "variable"))
    assert files.resolve_root() == tmp_path / "variable"
    assert files.resolve_root("argument") == tmp_path / "argument"


def test_a_root_in_the_home_of_nobody_is_a_data_error(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match="cannot find the data root ~no-such-user/x"):
        files.resolve_root("~no-such-user/x")
    monkeypatch.setenv(files.ROOT_VARIABLE, "~no-such-user/x")
    with pytest.raises(DataError, match="cannot find the data root"):
        load("mnist")


def test_the_script_checks_and_reports(data_root: Path, tmp_path: Path):
    script = Path(__file__).resolve().parents[2] / "scripts" / "download_data.py"

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    whole = run("--root", data_root)
    assert whole.returncode == 0
    assert whole.stdout.splitlines() == [
        f"{name}: complete in {data_root}" for name in ("mnist", "fashion_mnist", "cifar10")
    ]
    folder = tmp_path / "cifar-10-batches-py"
    shutil.copytree(data_root / "cifar-10-batches-py", folder)
    (folder / "data_batch_5").write_bytes(b"torn")
    torn = run("--root", tmp_path, "cifar10")
    assert torn.returncode == 1
    assert "data_batch_5" in torn.stderr
    assert "Traceback" not in torn.stderr
    assert run("digits").returncode == 2
