"""MNIST as Larochelle binarised it once: the images that bounds are usually compared on.

Each pixel is drawn from its intensity (Salakhutdinov & Murray 2008); the files were published with
Larochelle & Murray (2011). Each line of a file is an image: 784 zeros and ones, a blank after each.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wnrepro.data import catalogue
from wnrepro.data.files import resolve_root
from wnrepro.data.pixels import Part
from wnrepro.errors import DataError

FOLDER = "BinarizedMNIST"
"""Below the data root."""


def read(part: Part, root: str | os.PathLike[str] | None = None) -> Tensor:
    """The images of a part, (N, 1, 28, 28), uint8, zeros and ones.

    root: where MNIST lies too; None means ``WNREPRO_DATA``, else ``data`` where we are. Nothing is
    downloaded. Raises DataError: the file is missing or is not the published one.
    """
    published = catalogue.LAROCHELLE[part]
    path = resolve_root(root) / FOLDER / Path(published.url).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror}): put {published.url} there, or use "
            "task.binarised=fixed"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != published.sha256:
        raise DataError(f"corrupt data file {path}: sha256 {found}, expected {published.sha256}")
    shape = catalogue.entry("mnist").image_shape
    digits = np.frombuffer(content, np.uint8).reshape(-1, *shape, 2)[..., 0]
    return torch.from_numpy(digits - ord("0"))
