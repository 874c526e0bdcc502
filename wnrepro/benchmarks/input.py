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
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import cifar
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import in_turn, once
from wnrepro.data import batches, load
from wnrepro.randomness import Streams

GOAL = Goal(1 / 20)


def input(setting: Setting) -> Iterator[Measurement]:
    network, n = cifar(setting), setting.pick(None, 200)
    train = load(network.data, root=setting.root, train_size=n, device=setting.device).train
    loader = usual.loader(network, setting, n)
    streams = Streams(0, setting.device)

    def ours() -> Iterator[tuple[Tensor, Tensor]]:
        order = streams.permutation(len(train), 0).to(setting.device)
        return batches(train, network.batch_size, order)

    def theirs() -> Iterator[tuple[Tensor, Tensor]]:
        return usual.batches(loader, setting.device)

    (squares, labels), (its_squares, its_labels) = _images_of(ours()), _images_of(theirs())
    assert_close(squares, its_squares, rtol=1e-5, atol=0.0)
    assert torch.equal(labels, its_labels)
    ways = [once(lambda way=way: sum(1 for _ in way()), setting.device) for way in (ours, theirs)]
    mine, others = in_turn(*ways, repeats=setting.pick(5, 2))
    note = f"{len(train)} images; workers of the usual way: {setting.workers}"
    yield Measurement("input of an epoch of CIFAR-10", "s", mine, others, GOAL, note)


def _images_of(way: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Which images, in any order: the sums of their pixels' squares, and the labels."""
    squares, labels = zip(*((x.double().square().sum((1, 2, 3)), y) for x, y in way), strict=True)
    return torch.cat(squares).sort().values, torch.cat(labels).sort().values
