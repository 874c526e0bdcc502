"""Fitted whitenings on disk, so that CIFAR-10's takes seconds once and not once per run.

A cache file is the SHA-256 (64 hex digits) of what follows, a newline, and a ``torch.save`` of
mean, matrix and key in float64: what is read back has the very bits that were computed. A file
that is not what was written is noticed before it is parsed.
"""

import hashlib
import io
import json
import logging
import os
import pickle
from pathlib import Path

import torch
from torch import Tensor

from wnrepro.data.zca import EPSILON, ZCA
from wnrepro.errors import RunError
from wnrepro.replacement import replace_file

VERSION = 2
"""Raised whenever `ZCA.fit` or the choice of the held-out images changes what it computes."""

_log = logging.getLogger(__name__)


def directory() -> Path:
    """``$XDG_CACHE_HOME/wnrepro``, by default ``~/.cache/wnrepro``.

    Raises:
        RuntimeError: neither is known, as where a container's user has no home directory.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "wnrepro"


def fitted(
    images: Tensor,
    *,
    checksum: str,
    held_out: int = 0,
    epsilon: float = EPSILON,
    offset: float = 0.0,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> ZCA:
    """``ZCA.fit`` of ``images``, from the cache where it is there.

    ``images`` must be a function of ``checksum`` (of the raw data) and ``held_out`` (how many
    training images are left out); with the settings of the fit and `VERSION` these are the key. A
    cache file that is torn, altered, unreadable or no whitening of such images is computed again
    and replaced; a cache that has no place or cannot be written is done without. Each is logged as
    one warning.
    """
    settings = {"epsilon": epsilon, "offset": offset, "scale": scale}
    named = {"data": checksum, "held_out": held_out, **settings, "version": VERSION}
    key = json.dumps(named if dtype == torch.float64 else {**named, "dtype": str(dtype)})
    try:
        path = directory() / f"zca-{hashlib.sha256(key.encode()).hexdigest()[:16]}.pt"
    except RuntimeError as error:
        _log.warning("no place to cache the whitening in (%s): going on without", error)
        return ZCA.fit(images, **settings, dtype=dtype)
    try:
        found = _read(path, key, images.shape[1:].numel())
    except _Unusable as error:
        _log.warning("cached whitening %s %s: computing it again", path, error)
        found = None
    if found is None:
        found = ZCA.fit(images, **settings, dtype=dtype)
        try:
            _write(path, key, found)
        except (OSError, RunError) as error:
            reason = error.__cause__ or error
            _log.warning("cannot cache the whitening in %s (%s): going on without", path, reason)
    return found


class _Unusable(Exception):
    """A cache file is there and not what was written; the message says how."""


def _read(path: Path, key: str, size: int) -> ZCA | None:
    """The whitening in ``path``, of images of ``size`` values; None if there is no file.

    Raises:
        _Unusable: the file cannot be read, is torn or altered, or holds something else.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _Unusable(f"cannot be read ({error.strerror})") from error
    digest, _, body = content.partition(b"\n")
    if digest != hashlib.sha256(body).hexdigest().encode():
        raise _Unusable("is torn or altered (its checksum is wrong)")
    try:
        held = torch.load(io.BytesIO(body), weights_only=True)
        if held["key"] != key:
            raise _Unusable("belongs to other data")
        zca = ZCA(mean=held["mean"], matrix=held["matrix"])
        for tensor, shape in (zca.mean, (size,)), (zca.matrix, (size, size)):
            if tensor.dtype != torch.float64 or tensor.shape != shape:
                raise _Unusable(f"is no whitening of {size} values in float64")
        return zca
    except (
        *(RuntimeError, pickle.UnpicklingError, EOFError),  # torch.load
        *(LookupError, TypeError, AttributeError),  # another content than ours
    ) as error:
        raise _Unusable(
            f"is in a format this torch or suite cannot read ({type(error).__name__})"
        ) from error


def _write(path: Path, key: str, zca: ZCA) -> None:
    """Write the file whole: readers see the old one or the new one, whatever happens meanwhile.

    Raises:
        OSError, RunError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"key": key, "mean": zca.mean, "matrix": zca.matrix}, buffer)
    body = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
