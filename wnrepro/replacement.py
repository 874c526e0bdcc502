"""Replacing a file whole: a reader sees the old bytes or the new ones, never a part."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from wnrepro.errors import RunError

_TEMPORARY = ".{name}.{token}.tmp"


def replace_file(path: Path, content: bytes | memoryview | str) -> None:
    """Put `content` at `path` in one step: written beside it, flushed to the disk, renamed.

    A failure at any point (full disk, SIGKILL, power) leaves the old file as it was.

    Raises:
        RunError: the system refuses to write, for instance on a full disk.
    """
    with failing_in_one_line(path):
        temporary = temporary_beside(path)
        try:
            write_durably(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def make_folder(path: Path) -> None:
    """Make the folder and those above it, where they are not there. Raises RunError if refused."""
    with failing_in_one_line(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def failing_in_one_line(path: Path) -> Iterator[None]:
    """Turn an OSError into a RunError that names `path` and says what is still good."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"cannot write {path} on {socket.gethostname()}: {reason}; "
            "what is already recorded there is whole, and the same command goes on from it"
        ) from error


def temporary_beside(path: Path) -> Path:
    """A name in the same directory (a rename cannot cross file systems) that nothing else uses."""
    return path.with_name(_TEMPORARY.format(name=path.name, token=token_hex(6)))


def write_durably(path: Path, content: bytes | memoryview | str) -> None:
    """Create `path`, which must not exist, and return once its bytes are on the disk."""
    # A name of a file may hold what this locale cannot read: the same bytes again.
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    # Not tempfile: its files can be read by their owner only, and runs are shared in a group.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make a rename in `directory` survive a power failure, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the folder; leaves no file.

    Where there is no such folder yet, or its file system has no locks, nobody is waited for.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def remove_torn(directory: Path, name: str = "*") -> None:
    """Remove what processes that were killed while writing `name` left half written in `directory`.

    Only for the process that is alone in writing that.
    """
    for torn in directory.glob(_TEMPORARY.format(name=name, token="*")):
        with suppress(OSError):
            torn.unlink()
