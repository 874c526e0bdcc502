"""Every pixel and label equals an independent reading of the raw files."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from wnrepro.data import catalogue, load


def _read_idx(path: Path) -> np.ndarray:
    content = path.read_bytes()
    zero, kind, ndim = struct.unpack_from(">HBB", content)
    assert (zero, kind) == (0, 8)  # 8: unsigned bytes
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def _read_cifar_batch(path: Path, md5: str) -> tuple[np.ndarray, np.ndarray]:
    content = path.read_bytes()
    assert hashlib.md5(content).hexdigest() == md5
    batch = pickle.loads(content, encoding="bytes")  # noqa: S301 - the checksum is right
    return batch[b"data"].reshape(-1, 3, 32, 32), np.array(batch[b"labels"])


def _assert_same(images: torch.Tensor, pixels: np.ndarray, offset: float, scale: float) -> None:
    expected = (pixels.astype(np.float64) - offset) / scale
    assert images.shape == expected.shape
    assert np.array_equal(images.numpy().astype(np.float64), expected)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_mnist_family(name: str, folder: str, data_root: Path):
    dataset = load(name, root=data_root)
    for part, split in (("train", dataset.train), ("t10k", dataset.evaluation)):
        raw = data_root / folder / "raw"
        pixels = _read_idx(raw / f"{part}-images-idx3-ubyte")
        _assert_same(split.images, pixels[:, None], 127.5, 128.0)
        assert np.array_equal(split.labels.numpy(), _read_idx(raw / f"{part}-labels-idx1-ubyte"))


def test_cifar10(data_root: Path):
    dataset = load("cifar10", root=data_root)
    md5s = catalogue.entry("cifar10").files
    for split, names in (
        (dataset.train, [f"data_batch_{k}" for k in range(1, 6)]),
        (dataset.evaluation, ["test_batch"]),
    ):
        start = 0
        for name in names:
            path = f"cifar-10-batches-py/{name}"
            pixels, labels = _read_cifar_batch(data_root / path, md5s[path])
            stop = start + len(labels)
            _assert_same(split.images[start:stop], pixels, 127.5, 128.0)
            assert np.array_equal(split.labels[start:stop].numpy(), labels)
            start = stop
        assert start == len(split)


def test_digits():
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    dataset = load("digits")
    for split, rows in ((dataset.train, slice(1437)), (dataset.evaluation, slice(1437, None))):
        _assert_same(split.images, np.asarray(pixels)[rows].reshape(-1, 1, 8, 8), 8.0, 8.0)
        assert np.array_equal(split.labels.numpy(), np.asarray(target)[rows])


@pytest.mark.parametrize("name", catalogue.NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_sizes_and_types(name: str, dtype: torch.dtype, data_root: Path):
    dataset = load(name, root=data_root, dtype=dtype)
    facts = catalogue.entry(name)
    assert (len(dataset.train), len(dataset.evaluation)) == (facts.n_train, facts.n_test)
    assert dataset.image_shape == facts.image_shape
    assert dataset.evaluation_name == "test"
    for split in (dataset.train, dataset.evaluation):
        assert split.images.shape == (len(split), *dataset.image_shape)
        assert split.images.dtype == dtype
        assert split.images.is_contiguous()
        assert split.images.abs().max() <= 1
        assert split.labels.dtype == torch.int64
        assert split.labels.unique().tolist() == list(range(dataset.n_classes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_half_precision_holds_the_pixels_exactly(name: str, dtype: torch.dtype, data_root: Path):
    half = load(name, root=data_root, dtype=dtype, train_size=500).train.images
    whole = load(name, root=data_root, train_size=500).train.images
    assert torch.equal(half.float(), whole)


def test_other_digits_are_refused(monkeypatch: pytest.MonkeyPatch):
    from wnrepro.errors import DataError

    def altered(*args: object, **kwargs: object) -> np.ndarray:
        return np.zeros((1797, 65), np.uint8)

    monkeypatch.setattr(np, "loadtxt", altered)
    with pytest.raises(DataError, match=r"digits.csv.gz.*sha256 .*expected 87ff0c9e"):
        load("digits")
