"""Random streams with names, each a function of the run's seed.

One generator for everything would couple everything: a wider layer would change the order of the
training images. Here each use of randomness has a stream of its own, seeded anew at each epoch
from (seed, name, epoch), so that an epoch is the same whether or not the process that runs it
also ran the epochs before.

| name | draws |
|---|---|
| init | the starting weights |
| order | the order of the training images |
| noise | Gaussian noise on the input |
| dropout | dropout masks |
| latent | the latent variables of a generative model |
| binarise | pixels drawn from their intensities |
| explore | an agent's random actions |
| replay | what it learns from |
"""

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

BEFORE_TRAINING = -1
"""The epoch of what comes before the first: starting weights and the data-dependent init."""


def derive(seed: int, name: str, epoch: int) -> int:
    """A 63-bit seed: the head of SHA-256 of `seed/name/epoch`."""
    digest = hashlib.sha256(f"{seed}/{name}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Streams(Mapping[str, torch.Generator]):
    """The generators of one run, by name, made when first asked for: `streams["noise"]`.

    `init` (and the order) draw on the CPU, so that every device starts from the same weights and
    sees the images in the same order; all others draw on the device.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed, self.device = seed, device
        self._epoch = BEFORE_TRAINING
        self._generators: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self._generators:
            generator = torch.Generator("cpu" if name == "init" else self.device)
            self._generators[name] = generator.manual_seed(derive(self.seed, name, self._epoch))
        return self._generators[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._generators)

    def __len__(self) -> int:
        return len(self._generators)

    def start_epoch(self, epoch: int) -> None:
        """Seed every generator for `epoch`, counted from 0."""
        self._epoch = epoch
        for name, generator in self._generators.items():
            generator.manual_seed(derive(self.seed, name, epoch))

    def permutation(self, n: int, epoch: int) -> Tensor:
        """The order of n training images in `epoch`: (n,), int64, on the CPU."""
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
        return torch.randperm(n, generator=generator)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, states: dict[str, Tensor]) -> None:
        for name, state in states.items():
            self[name].set_state(state.cpu())
