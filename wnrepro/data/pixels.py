"""The raw pixels and labels, as published: uint8 tensors, nothing scaled, nothing shuffled."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from wnrepro.data import catalogue
from wnrepro.data.catalogue import Entry
from wnrepro.errors import DataError

Part = Literal["train", "test"]


def read(name: str, root: Path, part: Part) -> tuple[Tensor, Tensor]:
    """Pixels (N, C, H, W) uint8 and labels (N,) int64 of one published part of ``name``.

    Only that part is parsed. The files in ``root`` must have been verified
    (`wnrepro.data.files.locate`): the CIFAR-10 files are unpickled here.

    Raises:
        DataError: the embedded digits are not the expected ones.
        ValueError: no such data set.
    """
    entry = catalogue.entry(name)
    if entry.torchvision_class is None:
        return _read_digits(entry, part)
    return _read_torchvision(entry, root, part)


def _read_digits(entry: Entry, part: Part) -> tuple[Tensor, Tensor]:
    # The file that load_digits reads, found without importing scikit-learn, which takes seconds.
    installed = find_spec("sklearn")
    assert installed is not None
    assert installed.origin is not None
    path = Path(installed.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(path, dtype=np.uint8, delimiter=",")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}): reinstall scikit-learn") from error
    images, labels = np.ascontiguousarray(table[:, :-1]), np.ascontiguousarray(table[:, -1])
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != entry.pixels_sha256:
        raise DataError(
            f"{path} is not the data set this suite was written for: "
            f"sha256 {found}, expected {entry.pixels_sha256}.\n"
            "Reinstall scikit-learn."
        )
    chosen = slice(0, entry.n_train) if part == "train" else slice(entry.n_train, None)
    shaped = torch.from_numpy(images[chosen].copy()).view(-1, *entry.image_shape)
    return shaped, torch.from_numpy(labels[chosen].astype(np.int64))


def _read_torchvision(entry: Entry, root: Path, part: Part) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    assert entry.torchvision_class is not None
    published = getattr(datasets, entry.torchvision_class)
    # A subclass under the same name reads the same folder. Without the overrides, torchvision
    # prefers a legacy `processed/*.pt` to the verified files, and hashes them all once more.
    reader = type(
        published.__name__,
        (published,),
        {"_check_legacy_exist": lambda self: False, "_check_integrity": lambda self: True},
    )
    found = reader(root, train=part == "train", download=False)
    images = torch.as_tensor(found.data)
    # MNIST comes as (N, H, W), CIFAR-10 as (N, H, W, C).
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    labels = torch.as_tensor(found.targets, dtype=torch.int64)
    return images.contiguous(), labels
