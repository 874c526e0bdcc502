"""Input alone: seconds to take one epoch of shuffled CIFAR-10 batches, to the device.

Ours: a permutation and indexing of images that lie on the device. The usual way: torchvision,
ToTensor, Normalize and a DataLoader with as many workers as there are cores. Reading the files
and starting the workers are not in it; neither is ours' whitening, which is done once.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.testing import assert_close

from wnrepro.benchmarks import usual
from wnrepro.benchmarks.row import Goal, Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import cifar
from wnrepro.benchmarks.timing import in_turn, once
from wnrepro.data import batches
from wnrepro.randomness import Streams

GOAL = Goal(1 / 20)


def input(setting: Setting) -> Iterator[Row]:
    task = cifar(setting)
    n = setting.pick(None, 200)
    train = task.dataset(setting, n, 1).train
    loader = usual.loader(task, setting, n)
    streams = Streams(0, setting.device)

    def ours() -> Iterator[tuple[Tensor, Tensor]]:
        order = streams.permutation(len(train), 0).to(setting.device)
        return batches(train, task.batch_size, order)

    def theirs() -> Iterator[tuple[Tensor, Tensor]]:
        return usual.batches(loader, setting.device)

    _check_same_images(ours(), theirs())
    ways = [once(lambda each=each: _exhaust(each()), setting.device) for each in (ours, theirs)]
    mine, others = in_turn(*ways, repeats=setting.pick(5, 2))
    note = f"{len(train)} images; workers of the usual way: {setting.workers}"
    yield Row("input of an epoch of CIFAR-10", "s", mine, others, GOAL, note)


def _exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def _check_same_images(*ways: Iterable[tuple[Tensor, Tensor]]) -> None:
    """The same set of images, told by the sums of their pixels' squares, and of labels."""
    sums, labels = [], []
    for way in ways:
        pairs = [(images.double().square().sum((1, 2, 3)), its) for images, its in way]
        sums.append(torch.cat([each for each, _ in pairs]).sort().values)
        labels.append(torch.cat([its for _, its in pairs]).sort().values)
    assert_close(*sums, rtol=1e-5, atol=0.0)
    assert torch.equal(labels[0], labels[1])
