"""The facts about the data sets, and that they cost nothing to look up."""

import subprocess
import sys

import pytest

from wnrepro import data
from wnrepro.data import catalogue


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", (1437, 360)),
        ("mnist", (60_000, 10_000)),
        ("fashion_mnist", (60_000, 10_000)),
        ("cifar10", (50_000, 10_000)),
    ],
)
def test_sizes(name: str, expected: tuple[int, int]):
    entry = catalogue.entry(name)
    assert (entry.n_train, entry.n_test) == expected


def test_an_unknown_name_is_refused_and_the_choices_are_listed():
    with pytest.raises(ValueError, match=r"'cifar'.*digits, mnist, fashion_mnist, cifar10"):
        catalogue.entry("cifar")


def test_checksums_tell_the_data_sets_apart():
    checksums = {catalogue.entry(name).checksum for name in catalogue.NAMES}
    assert len(checksums) == len(catalogue.NAMES)
    assert all(len(checksum) == 64 for checksum in checksums)


def test_the_files_agree_with_torchvision():
    from torchvision import datasets

    cifar10 = {entry.path: entry.md5 for entry in catalogue.entry("cifar10").archives}
    assert cifar10 == {datasets.CIFAR10.filename: datasets.CIFAR10.tgz_md5}
    listed = dict([*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list])
    listed[datasets.CIFAR10.meta["filename"]] = datasets.CIFAR10.meta["md5"]
    folder = datasets.CIFAR10.base_folder
    assert catalogue.entry("cifar10").files == {f"{folder}/{k}": v for k, v in listed.items()}
    for name, published in (("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)):
        archives = [(each.path, each.md5) for each in catalogue.entry(name).archives]
        folder = f"{published.__name__}/raw"
        assert archives == [(f"{folder}/{file}", md5) for file, md5 in published.resources]


def test_looking_up_facts_imports_nothing_heavy():
    heavy = "{'torch', 'torchvision', 'numpy', 'sklearn'}"
    code = (
        "import sys; from wnrepro.data import catalogue; import wnrepro.errors;"
        f"assert not {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scikit_learn_is_not_imported_since_that_takes_seconds():
    code = (
        "import sys; from wnrepro.data import load, batches, Split, ZCA;"
        "load('digits'); assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = data.no_such_name
