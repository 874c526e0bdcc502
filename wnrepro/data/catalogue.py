"""What is known of every data set before a file is opened: names, sizes, shapes, checksums.

Needs the standard library alone, so that a config can be checked without importing torch.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Archive:
    """A published archive: its path below the data root, its MD5, and the files it holds."""

    path: str
    md5: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """The facts about one data set.

    Attributes:
        name: the name a config uses.
        title: the name a reader knows.
        n_train, n_test: images in the published training and test sets.
        image_shape: (C, H, W).
        n_classes: number of labels; labels are 0 … n_classes − 1.
        offset, scale: a pixel p enters the network as (p − offset) / scale.
        torchvision_class: the class in ``torchvision.datasets`` that reads it, None for embedded
            data.
        files: path below the data root → MD5 of every file that is read.
        archives: the archives as published, from which ``files`` can be extracted.
        pixels_sha256: for embedded data, the SHA-256 of the pixels and labels, each a uint8.
    """

    name: str
    title: str
    n_train: int
    n_test: int
    image_shape: tuple[int, int, int]
    n_classes: int
    offset: float
    scale: float
    torchvision_class: Literal["MNIST", "FashionMNIST", "CIFAR10"] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    archives: tuple[Archive, ...] = ()
    pixels_sha256: str | None = None

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) that stands for the raw data.

        For files: that of the lines ``<md5>  <path>``, sorted by path, as ``md5sum`` prints them.
        A function of the constants below, which the files are verified against before use.
        """
        if self.pixels_sha256 is not None:
            return self.pixels_sha256
        lines = "".join(f"{md5}  {path}\n" for path, md5 in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def _idx_entry(
    name: str,
    title: str,
    folder: Literal["MNIST", "FashionMNIST"],
    checksums: Mapping[str, tuple[str, str]],
) -> Entry:
    """An entry for the four idx files of the MNIST family.

    ``checksums``: file name → (MD5 of the file, MD5 of its .gz). torchvision publishes the
    latter; the former are those of the files inside .gz files with the right MD5.
    """
    raw = f"{folder}/raw"
    return Entry(
        name=name,
        title=title,
        n_train=60_000,
        n_test=10_000,
        image_shape=(1, 28, 28),
        n_classes=10,
        offset=127.5,
        scale=128.0,
        torchvision_class=folder,
        files={f"{raw}/{file}": md5 for file, (md5, _) in checksums.items()},
        archives=tuple(
            Archive(f"{raw}/{file}.gz", gz_md5, (f"{raw}/{file}",))
            for file, (_, gz_md5) in checksums.items()
        ),
    )


_CIFAR10_FILES = {  # torchvision.datasets.CIFAR10: train_list, test_list, meta
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}

_ENTRIES = (
    # scikit-learn's copy of the UCI set's 1,797 test images (pixels 0 … 16), written by 13
    # people. Neither source says whose an image is. The last 360, in the order given, serve as
    # the test set here: unshuffled, so that images of one form are not spread over both parts.
    Entry(
        name="digits",
        title="scikit-learn's digits",
        n_train=1_437,
        n_test=360,
        image_shape=(1, 8, 8),
        n_classes=10,
        offset=8.0,
        scale=8.0,
        pixels_sha256="87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826",
    ),
    _idx_entry(
        "mnist",
        "MNIST",
        "MNIST",
        {
            "train-images-idx3-ubyte": (
                "6bbc9ace898e44ae57da46a324031adb",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            ),
            "train-labels-idx1-ubyte": (
                "a25bea736e30d166cdddb491f175f624",
                "d53e105ee54ea40749a09fcbcd1e9432",
            ),
            "t10k-images-idx3-ubyte": (
                "2646ac647ad5339dbf082846283269ea",
                "9fb629c4189551a2d022fa330f9573f3",
            ),
            "t10k-labels-idx1-ubyte": (
                "27ae3e4e09519cfbb04c329615203637",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        },
    ),
    _idx_entry(
        "fashion_mnist",
        "Fashion-MNIST",
        "FashionMNIST",
        {
            "train-images-idx3-ubyte": (
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            ),
            "train-labels-idx1-ubyte": (
                "9018921c3c673c538a1fc5bad174d6f9",
                "25c81989df183df01b3e8a0aad5dffbe",
            ),
            "t10k-images-idx3-ubyte": (
                "8181f5470baa50b63fa0f6fddb340f0a",
                "bef4ecab320f06d8554ea6380940ec79",
            ),
            "t10k-labels-idx1-ubyte": (
                "15d484375f8d13e6eb1aabb0c3f46965",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        },
    ),
    Entry(
        name="cifar10",
        title="CIFAR-10",
        n_train=50_000,
        n_test=10_000,
        image_shape=(3, 32, 32),
        n_classes=10,
        offset=127.5,
        scale=128.0,
        torchvision_class="CIFAR10",
        files=_CIFAR10_FILES,
        archives=(
            Archive(
                "cifar-10-python.tar.gz",
                "c58f30108f718f92721af3b95e74349a",
                tuple(_CIFAR10_FILES),
            ),
        ),
    ),
)

CATALOGUE: Mapping[str, Entry] = {each.name: each for each in _ENTRIES}


@dataclass(frozen=True)
class Binarised:
    """A file of binarised images: where it was published, its SHA-256, and how many it holds."""

    url: str
    sha256: str
    n: int


_LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist"
LAROCHELLE: Mapping[str, Binarised] = {
    "train": Binarised(
        f"{_LAROCHELLE}_train.amat",
        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        50_000,
    ),
    "test": Binarised(
        f"{_LAROCHELLE}_test.amat",
        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
        10_000,
    ),
}
"""MNIST as Larochelle binarised it (`wnrepro.data.larochelle`). The sums are those of TensorFlow
Datasets; we have not had the files."""

NAMES: tuple[str, ...] = tuple(CATALOGUE)
"""The names of the data sets."""


def entry(name: str) -> Entry:
    """The facts about data set ``name``.

    Raises:
        ValueError: no such data set; the message lists the choices.
    """
    if name not in CATALOGUE:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(NAMES)}")
    return CATALOGUE[name]
