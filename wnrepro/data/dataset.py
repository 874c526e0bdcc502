"""A data set as tensors on the device: loaded, split, scaled and whitened, ready to be indexed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from wnrepro.data import cache, catalogue, files, pixels
from wnrepro.data.catalogue import Entry

HELD_OUT_SEED = 160207868
"""Seed of the permutation that chooses the held-out images; the paper's arXiv number.

One constant for all runs: hyper-parameters are compared on the same images, whatever their seed.
"""


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes:
        images: (N, C, H, W), a float type.
        labels: (N,) int64, on the device of the images.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """What a run trains and is evaluated on.

    Attributes:
        name: as in the catalogue.
        train: what it is trained on.
        evaluation: what it is evaluated on.
        evaluation_name: ``test``, or ``held_out`` where the evaluation images are a part of the
            training set.
        n_classes: labels are 0 … n_classes − 1.
        checksum: SHA-256 (hex) of the raw data, see `wnrepro.data.catalogue.Entry.checksum`.
    """

    name: str
    train: Split
    evaluation: Split
    evaluation_name: Literal["test", "held_out"]
    n_classes: int
    checksum: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    whiten: bool = False,
    whitening_dtype: torch.dtype = torch.float64,
    held_out: int = 0,
    train_size: int | None = None,
    evaluation_size: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    download: bool = True,
) -> Dataset:
    """Load ``name``: pixels scaled to about [−1, 1], in the published order.

    A pixel p becomes (p − 127.5) / 128, in digits (p − 8) / 8; both are exact in every ``dtype``
    that is taken. Whitening follows on that (paper, sec. 5.1, and `wnrepro.data.zca.ZCA`),
    computed in float64 and then rounded to ``dtype``.

    Args:
        name: digits, mnist, fashion_mnist or cifar10.
        root: where the files lie; None means ``WNREPRO_DATA``, else ``data`` in the working
            directory.
        whiten: ZCA, fitted on the whole training part and applied to both parts.
        whitening_dtype: of its fit, see `ZCA.fit`.
        held_out: this many images of the training set, chosen once and for all, become the
            evaluation part. Then neither training nor whitening sees them, and the test set is
            not read.
        train_size, evaluation_size: keep the first so many images of a part, after whitening is
            fitted; None keeps all. Meant for smoke runs.
        device, dtype: of the images; a float type of 16 bits or more, since with 8 pixels would be
            rounded.
        download: whether missing files may be downloaded.

    Raises:
        ValueError: no such data set.
        DataError: files are missing or corrupt.
    """
    entry = catalogue.entry(name)
    folder = files.locate(name, root, download=download)
    train, labels = pixels.read(name, folder, "train")
    if held_out:
        ours, theirs = held_out_indices(entry.n_train, held_out)
        evaluation, evaluation_labels = train[theirs], labels[theirs]
        train, labels = train[ours], labels[ours]
    else:
        evaluation, evaluation_labels = pixels.read(name, folder, "test")

    zca = None
    if whiten:
        zca = cache.fitted(
            train,
            checksum=entry.checksum,
            held_out=held_out,
            offset=entry.offset,
            scale=entry.scale,
            dtype=whitening_dtype,
        )

    def finish(raw: Tensor, its_labels: Tensor, size: int | None) -> Split:
        images = _scaled(raw[:size].to(device), entry, dtype)
        return Split(zca.apply(images) if zca else images, its_labels[:size].to(device).clone())

    return Dataset(
        name=name,
        train=finish(train, labels, train_size),
        evaluation=finish(evaluation, evaluation_labels, evaluation_size),
        evaluation_name="held_out" if held_out else "test",
        n_classes=entry.n_classes,
        checksum=entry.checksum,
    )


def held_out_indices(n_train: int, held_out: int) -> tuple[Tensor, Tensor]:
    """Indices of the images that stay in the training part and of those held out, both sorted.

    The first ``held_out`` of numpy's ``RandomState(HELD_OUT_SEED).permutation(n_train)``, a
    stream that numpy keeps the same from version to version. A smaller held-out part is a subset
    of a larger one.
    """
    order = np.random.RandomState(HELD_OUT_SEED).permutation(n_train)
    theirs, ours = np.sort(order[:held_out]), np.sort(order[held_out:])
    return torch.from_numpy(ours), torch.from_numpy(theirs)


def batches(
    split: Split, batch_size: int, order: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and labels, by indexing.

    Args:
        split: where they come from.
        batch_size: images per batch.
        order: indices (int64, on the device of ``split``), one after another; what is left over
            for an incomplete batch is dropped, as in the authors' training loop. None means all
            images in order, as views, the last batch being as short as it must.
    """
    if order is None:
        yield from zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True)
        return
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield split.images.index_select(0, chosen), split.labels.index_select(0, chosen)


def _scaled(raw: Tensor, entry: Entry, dtype: torch.dtype) -> Tensor:
    """(p − offset) / scale (N, C, H, W): exact in bfloat16 too, as 2 p − 255 takes 8 bits."""
    return raw.to(dtype).sub_(entry.offset).div_(entry.scale)
