"""The data files on disk: where they lie, whether they are whole, and how they get there.

No file is parsed before its checksum is right: the CIFAR-10 files are pickles, and unpickling an
altered one runs whatever it says.
"""

import contextlib
import hashlib
import http.client
import os
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wnrepro.data import catalogue
from wnrepro.data.catalogue import Entry
from wnrepro.errors import DataError

ROOT_VARIABLE = "WNREPRO_DATA"
"""Environment variable that names the data root where no argument does."""

TIMEOUT_SEC = 15.0
"""Longest silence of a server before a download is given up, in seconds."""


def resolve_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The data root: ``root``, else the variable ``WNREPRO_DATA``, else ``data`` where we are.

    Raises:
        DataError: it starts in the home directory of a user who has none.
    """
    named = Path(root or os.environ.get(ROOT_VARIABLE) or "data")
    try:
        return named.expanduser().absolute()
    except RuntimeError as error:
        raise DataError(f"cannot find the data root {named}: {error}") from error


def locate(name: str, root: str | os.PathLike[str] | None = None, *, download: bool = True) -> Path:
    """The data root, once every file of data set ``name`` lies there with the right MD5.

    Missing files are extracted from the published archives where these lie in the root, else
    downloaded through torchvision (if ``download``), each put in place whole or not at all.
    A root that is complete is only read. For embedded data there is nothing to do.

    Raises:
        DataError: a file is corrupt, or files are missing and cannot be had.
        ValueError: no such data set.
    """
    entry = catalogue.entry(name)
    base = resolve_root(root)
    missing = _missing(entry, base)
    if not missing:
        return base
    reasons = []
    try:
        reasons += _extract(entry, base, missing)
        missing = _missing(entry, base)
        if missing and download:
            _download(entry, base, missing)
            missing = _missing(entry, base)
    except _DOWNLOAD_FAILURES as error:
        reasons.append(f"download failed ({_last_line(error)})")
    if missing:
        raise DataError(_missing_message(entry, base, missing, reasons))
    return base


def md5_of(path: Path) -> str:
    """MD5 (hex) of a file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read data file {path}: {error.strerror}") from error


def _missing(entry: Entry, base: Path) -> list[str]:
    """The files of ``entry`` that are not there; those that are there are right, or DataError."""
    missing = []
    for path, expected in entry.files.items():
        file = base / path
        # Path.is_file would raise where a directory is closed to us.
        if not os.path.isfile(file):
            missing.append(path)
        elif (found := md5_of(file)) != expected:
            raise DataError(
                f"corrupt data file {file}: md5 {found}, expected {expected}; "
                "delete it to have it fetched again, or put a good copy in its place"
            )
    return missing


def _extract(entry: Entry, base: Path, missing: list[str]) -> list[str]:
    """Extract missing files from archives in ``base``; returns what is wrong with the archives."""
    from torchvision.datasets.utils import extract_archive

    complaints = []
    for archive in entry.archives:
        wanted = [path for path in archive.members if path in missing]
        packed = base / archive.path
        if not wanted or not packed.is_file():
            continue
        found = md5_of(packed)
        if found != archive.md5:
            complaints.append(f"{archive.path} is corrupt: md5 {found}, expected {archive.md5}")
            continue
        with _staging(base) as staging:
            target = staging / Path(archive.path).parent
            target.mkdir(parents=True, exist_ok=True)
            extract_archive(str(packed), str(target))
            _move(wanted, staging, base)
    return complaints


def _download(entry: Entry, base: Path, missing: list[str]) -> None:
    """Download ``entry`` through its torchvision class and move the missing files to ``base``."""
    from torchvision import datasets

    assert entry.torchvision_class is not None
    print(f"downloading {entry.title} to {base}", file=sys.stderr, flush=True)
    with _staging(base) as staging, _socket_timeout(TIMEOUT_SEC):
        # The constructor parses what it has downloaded: by then it has checked the archives' MD5.
        getattr(datasets, entry.torchvision_class)(staging, download=True)
        _move(missing, staging, base)


_DOWNLOAD_FAILURES = (
    OSError,  # no network, a timeout, a root that cannot be written
    RuntimeError,  # torchvision's word for "no mirror answers" and for a wrong MD5
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
)


def _move(paths: list[str], staging: Path, base: Path) -> None:
    """Put files that are whole in their place; atomic for each file."""
    for path in paths:
        if (staging / path).is_file():
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).replace(base / path)


@contextlib.contextmanager
def _staging(base: Path) -> Iterator[Path]:
    """A temporary directory on the file system of ``base``; leaves no empty ``base`` behind."""
    is_new = not base.exists()
    base.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=base) as name:
            yield Path(name)
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                base.rmdir()


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Bound every wait on a new socket: torchvision opens its own, without a time limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1][:200] if lines else type(error).__name__


def _missing_message(entry: Entry, base: Path, missing: list[str], reasons: list[str]) -> str:
    if len(entry.archives) == 1:
        archive = entry.archives[0]
        published = f"the published {base / archive.path} (md5 {archive.md5})"
    else:
        published = "their published .gz files"
    return "\n".join(
        [
            f"{entry.title}: {len(missing)} of {len(entry.files)} data files are missing"
            + f" below {base}"
            + "".join(f"; {reason}" for reason in reasons)
            + f": put them there, or name their folder with data.root=DIR or {ROOT_VARIABLE}=DIR",
            *(f"  md5 {entry.files[path]}  {base / path}" for path in missing),
            f"  or {published}",
        ]
    )
