"""Splits, sizes and whitening of whole data sets."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from wnrepro.data import ZCA, catalogue, load, pixels
from wnrepro.data.dataset import held_out_indices

FIRST_TEN = [81, 148, 211, 256, 272, 409, 873, 916, 1080, 1247]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(("n_train", "held_out"), [(1437, 1), (1437, 200), (50_000, 5_000)])
def test_held_out_and_training_indices_partition_the_training_set(n_train: int, held_out: int):
    ours, theirs = held_out_indices(n_train, held_out)
    assert (len(ours), len(theirs)) == (n_train - held_out, held_out)
    assert torch.equal(torch.cat([ours, theirs]).sort().values, torch.arange(n_train))
    assert torch.equal(ours, ours.sort().values)


def test_the_held_out_images_are_always_the_same():
    """Whatever the global random state, and from version to version: these are the first ten."""
    torch.manual_seed(1)
    _, theirs = held_out_indices(1437, 10)
    torch.manual_seed(2)
    _, again = held_out_indices(1437, 10)
    assert torch.equal(theirs, again)
    assert theirs.tolist() == FIRST_TEN
    _, more = held_out_indices(1437, 100)
    assert set(theirs.tolist()) < set(more.tolist())


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_held_out_images_come_from_the_training_set_and_the_test_set_is_not_read(
    name: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = load(name, root=data_root).train
    parts: list[str] = []
    original = pixels.read

    def spy(name: str, root: Path, part: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        parts.append(part)
        return original(name, root, part)

    monkeypatch.setattr(pixels, "read", spy)
    dataset = load(name, root=data_root, held_out=300)
    assert parts == ["train"]
    assert dataset.evaluation_name == "held_out"
    ours, theirs = held_out_indices(catalogue.entry(name).n_train, 300)
    assert torch.equal(dataset.train.images, whole.images[ours])
    assert torch.equal(dataset.train.labels, whole.labels[ours])
    assert torch.equal(dataset.evaluation.images, whole.images[theirs])
    assert torch.equal(dataset.evaluation.labels, whole.labels[theirs])
    assert len(dataset.evaluation.labels.unique()) == dataset.n_classes


@pytest.mark.parametrize("held_out", [0, 200])
def test_whitening_is_fitted_on_the_training_part_alone(held_out: int):
    plain = load("digits", held_out=held_out, dtype=torch.float64)
    whitened = load("digits", held_out=held_out, dtype=torch.float64, whiten=True)
    fitted = ZCA.fit(plain.train.images)
    for ours, raw in ((whitened.train, plain.train), (whitened.evaluation, plain.evaluation)):
        # Fitted on the pixels, whose sums are exact; the scaled images' are rounded.
        torch.testing.assert_close(ours.images, fitted.apply(raw.images), rtol=0, atol=1e-10)
    assert torch.equal(whitened.train.labels, plain.train.labels)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("held_out", [0, 200])
def test_smaller_sizes_are_the_first_images_of_the_whole(whiten: bool, held_out: int):
    whole = load("digits", whiten=whiten, held_out=held_out)
    small = load("digits", whiten=whiten, held_out=held_out, train_size=70, evaluation_size=30)
    assert torch.equal(small.train.images, whole.train.images[:70])
    assert torch.equal(small.train.labels, whole.train.labels[:70])
    assert torch.equal(small.evaluation.images, whole.evaluation.images[:30])
    assert torch.equal(small.evaluation.labels, whole.evaluation.labels[:30])
    assert small.train.images.untyped_storage().nbytes() == 70 * 64 * 4


def test_a_cached_whitening_gives_the_same_bits_in_every_type():
    for dtype in (torch.float32, torch.float64):
        miss = load("digits", whiten=True, dtype=dtype)
        hit = load("digits", whiten=True, dtype=dtype)
        assert miss.train.images.dtype == dtype
        assert torch.equal(miss.train.images, hit.train.images)
        assert torch.equal(miss.evaluation.images, hit.evaluation.images)


def test_float32_is_float64_rounded():
    double = load("digits", whiten=True, dtype=torch.float64)
    single = load("digits", whiten=True)
    assert torch.equal(single.train.images, double.train.images.float())


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match=r"unknown data set 'svhn'; choose one of digits"):
        load("svhn")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    here = load("digits", whiten=True)
    there = load("digits", whiten=True, device="cuda")
    for split in (there.train, there.evaluation):
        assert split.images.device.type == split.labels.device.type == "cuda"
    torch.testing.assert_close(there.train.images.cpu(), here.train.images)
