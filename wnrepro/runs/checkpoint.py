"""The state of a run at the end of an epoch, and how damage to it is noticed."""

import hashlib
import io
import logging
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from wnrepro.errors import RunError
from wnrepro.replacement import (
    failing_in_one_line,
    sync_directory,
    temporary_beside,
    write_durably,
)
from wnrepro.runs.manifest import refuse_other

CHECKPOINT_FILE = "checkpoint.pt"
PREVIOUS_FILE = "checkpoint.previous.pt"
CHECKSUM = "checksum"

OF_A_RUN = frozenset({"config", "training", "metrics", "timing"})
"""The keys of a run's state."""

State = dict[str, Any]
"""Dicts, lists and tuples of tensors, numbers, strings, bools and None."""

_log = logging.getLogger(__name__)


class DamagedCheckpoint(RunError):
    """A checkpoint file that does not hold what was saved."""


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` by `state` and keep the one it replaces.

    The older one lies beside it as `<stem>.previous<suffix>`. At every instant one of the two names
    holds a whole checkpoint, also when the process is killed or the disk is full.

    The file is `torch.save`'s: `torch.load(path, weights_only=True)` gives the same dict with
    all tensors on the CPU, and `checksum`, a SHA-256 over keys, types, shapes and bytes.

    Raises:
        RunError: the file cannot be written.
        TypeError: a value of a type that `State` does not name.
    """
    if CHECKSUM in state:
        raise ValueError(f"{CHECKSUM!r} is the checkpoint's own key")
    plain = _plain(state)
    # In memory first: torch's own writer reports a full disk as an internal error of its archive.
    content = io.BytesIO()
    torch.save({**plain, CHECKSUM: checksum(plain)}, content)
    previous = path.with_name(f"{path.stem}.previous{path.suffix}")
    with failing_in_one_line(path):
        new, old = temporary_beside(path), temporary_beside(previous)
        try:
            write_durably(new, content.getbuffer())
            # In this order a current file that is damaged never stands in both places.
            if kept := path.exists():
                _link(path, old)
            os.replace(new, path)
            if kept:
                os.replace(old, previous)
        except BaseException:
            for temporary in (new, old):
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def load(path: Path) -> State:
    """The state saved at `path`, with its tensors on the CPU.

    Never runs code from the file (`weights_only=True`).

    Raises:
        DamagedCheckpoint: the file is torn, altered, or holds something else.
        FileNotFoundError: there is no such file.
    """
    content = path.read_bytes()
    try:
        # torch does not check the archive's own sums, and parses what an altered file tells it to.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if (altered := archive.testzip()) is not None:
                raise ValueError(f"its part {altered} was altered")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        expected = state.pop(CHECKSUM)
        found = checksum(state)
    except MemoryError:
        raise
    except Exception as error:  # An altered pickle can raise anything.
        reason = (str(error).strip().splitlines() or [""])[0]
        raise DamagedCheckpoint(f"{path}: {type(error).__name__}: {reason[:200]}") from error
    if found != expected:
        raise DamagedCheckpoint(f"{path}: its checksum is {found}, it should be {expected}")
    return state


def save_generation(directory: Path, state: Mapping[str, Any]) -> None:
    """`save` to `checkpoint.pt` in the run's directory."""
    save(directory / CHECKPOINT_FILE, state)


def load_latest(directory: Path, config: Mapping[str, Any] | None = None) -> State | None:
    """The newest good state in `directory`; None if none was ever saved.

    A damaged `checkpoint.pt` is reported as a warning and `checkpoint.previous.pt` used instead.

    Args:
        directory: the run's directory.
        config: if given, the state must have the keys `OF_A_RUN`, and its "config" must describe
            the same run.

    Raises:
        RunError: all that was saved is damaged, or it is of another config.
    """
    damaged = []
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        path = Path(directory) / name
        try:
            state = load(path)
            if config is not None and (lacking := OF_A_RUN - state.keys()):
                raise DamagedCheckpoint(f"{path}: it lacks {', '.join(sorted(lacking))}")
        except FileNotFoundError:
            continue
        except DamagedCheckpoint as error:
            _log.warning("damaged checkpoint, not used: %s", error)
            damaged.append(path)
            continue
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror or error}") from error
        if config is not None:
            refuse_other(path, state["config"], config)
        if damaged:
            _log.warning("going on from the older checkpoint %s", path)
        return state
    if damaged:
        names = " and ".join(str(path) for path in damaged)
        raise RunError(f"no good checkpoint left; to start again from epoch 0, delete {names}")
    return None


def checksum(state: Mapping[str, Any]) -> str:
    """SHA-256 over the key path, type, dtype, shape and bytes of all that is in `state`."""
    digest = hashlib.sha256()
    _digest(digest, "", state)
    return digest.hexdigest()


def _digest(digest: "hashlib._Hash", path: str, value: Any) -> None:
    match value:
        case torch.Tensor():
            note = f"{value.dtype} {tuple(value.shape)} {value.requires_grad}"
        case dict():
            note = repr(list(value))
        case list() | tuple():
            note = str(len(value))
        case _:
            note = repr(value)
    head = f"{path}\0{type(value).__name__}\0{note}"
    # With its length in front, no text can be read as two.
    digest.update(f"{len(head)}\0{head}".encode("utf-8", "surrogatepass"))
    match value:
        case torch.Tensor():
            # As bytes before NumPy sees it, which has no bfloat16. No copy if contiguous.
            flat = value.detach().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        case dict():
            for key, below in value.items():
                _digest(digest, f"{path}/{key!r}", below)
        case list() | tuple():
            for index, below in enumerate(value):
                _digest(digest, f"{path}/{index}", below)


def _plain(value: Any, path: str = "state") -> Any:
    """A copy of the tree in plain types, its tensors on the CPU."""
    match value:
        case torch.Tensor():
            return _own_cpu_tensor(value)
        case Mapping():
            for key in value:
                if not isinstance(key, str | int):
                    raise TypeError(f"{path} has the key {key!r}, neither a string nor an int")
            return {key: _plain(below, f"{path}[{key!r}]") for key, below in value.items()}
        case list():
            return [_plain(below, f"{path}[{i}]") for i, below in enumerate(value)]
        case tuple():
            return tuple(_plain(below, f"{path}[{i}]") for i, below in enumerate(value))
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value)
        case _:
            raise TypeError(f"{path} is a {type(value).__name__}, which no checkpoint can hold")


def _own_cpu_tensor(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    # torch.save writes the whole storage that a view looks into.
    whole = plain.numel() * plain.element_size() == plain.untyped_storage().nbytes()
    return plain if whole else plain.clone()


def _link(path: Path, other: Path) -> None:
    try:
        os.link(path, other)
    except FileNotFoundError:
        raise
    except OSError:
        # Some network and FAT file systems have no hard links.
        shutil.copyfile(path, other)
