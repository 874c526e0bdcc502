"""Batches by indexing."""

import pytest
import torch

from wnrepro.data import Split, batches


@pytest.fixture
def split() -> Split:
    images = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 2, 3, 3).contiguous()
    return Split(images, torch.arange(10))


def test_in_order_every_image_comes_once_and_nothing_is_copied(split: Split):
    found = list(batches(split, 4))
    assert [len(labels) for _, labels in found] == [4, 4, 2]
    assert torch.equal(torch.cat([images for images, _ in found]), split.images)
    assert torch.equal(torch.cat([labels for _, labels in found]), split.labels)
    storage = split.images.untyped_storage().data_ptr()
    assert all(images.untyped_storage().data_ptr() == storage for images, _ in found)


def test_in_a_given_order_the_incomplete_batch_is_dropped(split: Split):
    order = torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    found = list(batches(split, 4, order))
    assert [labels.tolist() for _, labels in found] == [[3, 1, 4, 0], [5, 9, 2, 6]]
    for images, labels in found:
        assert torch.equal(images, split.images[labels])


@pytest.mark.parametrize("batch_size", [1, 2, 5, 10])
def test_a_batch_size_that_divides_leaves_nothing_out(split: Split, batch_size: int):
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    labels = torch.cat([labels for _, labels in batches(split, batch_size, order)])
    assert torch.equal(labels, order)


def test_an_order_may_choose_a_part(split: Split):
    assert [labels.tolist() for _, labels in batches(split, 2, torch.tensor([7, 7, 1]))] == [[7, 7]]


def test_evaluation_takes_batches_larger_than_the_split(split: Split):
    ((images, _),) = batches(split, 100)
    assert len(images) == 10
