"""What models of images with latent variables share: data, bound, evaluation."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from wnrepro.config import Config
from wnrepro.data import larochelle, load
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.nn import data_dependent_init
from wnrepro.randomness import derive
from wnrepro.tasks.gaussian import precise
from wnrepro.tasks.generative_facts import FIXED_SEED, GenerativeConfig
from wnrepro.tasks.supervised import dtype_of
from wnrepro.training import Sums

EVALUATION_BATCH = 100
"""Images per forward pass in evaluation. The latent draws depend on it, as on nothing else."""


class Terms(NamedTuple):
    """Of a batch. loss: what is minimised, a mean. reconstruction, kl: (B,), of each image:
    −log p(x|z), and log q(z|x) − log p(z) or its closed form. −bound = reconstruction + kl.
    """

    loss: Tensor
    reconstruction: Tensor
    kl: Tensor


class Images(NamedTuple):
    """Training and evaluation images, (N, C, H, W) in [0, 1], and what the latter are."""

    train: Tensor
    evaluation: Tensor
    evaluation_name: Literal["test", "held_out"]


@dataclass
class Generative:
    """The `Objective` of a model that maps images to `Terms`.

    model: with `generator`, that of z, `samples()` and `reconstructed(images)`, for its pictures,
        and `log_weight(images)`: log p(x, z) − log q(z|x) of one draw of z for each image, (B,).
    binarised: dynamic: training images are drawn anew at each step, from `generator`; else they are
        taken as they are. init_std: of pre-activations, after the data-dependent init.
    importance_samples: draws of z for each image in `final`; 0 for none. fixed_seed: of the draws
    of z in evaluation and for pictures.
    """

    model: Any
    images: Images
    binarised: str
    generator: torch.Generator
    init_std: float = 1.0
    importance_samples: int = 0
    fixed_seed: int = FIXED_SEED
    summed = ("negative_bound", "reconstruction", "kl")

    @property
    def device(self) -> torch.device:
        return self.images.train.device

    @property
    def n_train(self) -> int:
        return len(self.images.train)

    @property
    def evaluation_name(self) -> str:
        return self.images.evaluation_name

    def batch(self, chosen: Tensor) -> tuple[Tensor]:
        batch = self.images.train.index_select(0, chosen)
        if self.binarised == "dynamic":
            batch = torch.bernoulli(batch, generator=self.generator)
        return (batch,)

    def loss(
        self, forward: Callable[[Tensor], Terms], batch: tuple[Tensor, ...]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        loss, reconstruction, kl = forward(*batch)
        return loss, [(reconstruction + kl).sum(), reconstruction.sum(), kl.sum()]

    def metrics(self, sums: dict[str, float], n: float) -> dict[str, float]:
        return {"loss": sums["loss"] / n} | {f"{k}_nats": sums[k] / n for k in self.summed}

    def evaluate(self, forward: Callable[[Tensor], Terms]) -> dict[str, float]:
        """With the same draws of z after every epoch of every run: curves differ by the model."""
        with drawing_from(self.model, derive(self.fixed_seed, "latent", 0)):
            sums = Sums(self.device, self.summed)
            for batch in self.images.evaluation.split(EVALUATION_BATCH):
                sums.add(*self.loss(forward, (batch,)), len(batch))
        return self.metrics(*sums.read())

    def final(self, last: bool) -> dict[str, float | None]:
        """log p(x) ≈ log 1/k Σ_i p(x, z_i)/q(z_i|x), of k draws; on average a lower bound.

        last: whether the run is over; before, it is not measured. With the same draws of z in every
        run. Source: Burda et al., *Importance Weighted Autoencoders* (2016), eq. 8.
        """
        k, name = self.importance_samples, "negative_log_p_nats"
        if not k or not last:
            return {name: None} if k else {}
        total = torch.zeros((), dtype=torch.float64)
        with drawing_from(self.model, derive(self.fixed_seed, "latent", 2)):
            for batch in self.images.evaluation.split(EVALUATION_BATCH):
                log_weights = torch.stack([self.model.log_weight(batch) for _ in range(k)])
                total += (precise(log_weights).logsumexp(0) - math.log(k)).sum().cpu()
        return {name: -total.item() / len(self.images.evaluation)}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Images from the prior; evaluation images, each over what the model makes of it."""
        shown = self.images.evaluation[:10]
        with drawing_from(self.model, derive(self.fixed_seed, "latent", 1)):
            samples = self.model.samples()
            reconstructed = self.model.reconstructed(shown)
        return {"samples": samples, "reconstructions": torch.stack([shown, reconstructed])}

    def initialise(self, chosen: Tensor) -> list[str]:
        with warnings.catch_warnings():
            # hidden units of a flow that see no input, and what stands above the learned top
            warnings.filterwarnings("ignore", "data-dependent init: .* left alone")
            return data_dependent_init(self.model, *self.batch(chosen), "leave", self.init_std)


@contextmanager
def drawing_from(model: Any, seed: int) -> Iterator[None]:
    """In it, `model.generator` is seeded with `seed`; afterwards it is as it was."""
    generator: torch.Generator = model.generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


def images(config: Config, device: torch.device) -> Images:
    """As the config has them. task.binarised: fixed: all are binarised here; dynamic: those of the
    evaluation only. Raises WnreproError: data that are missing or damaged.
    """
    data, dtype, task = config.data, dtype_of(config), cast(GenerativeConfig, config.task)
    binarised = task.binarised
    if binarised == "larochelle":
        train, test = (larochelle.read(part, data.root) for part in ("train", "test"))
        train, test = train[: data.train_size], test[: data.evaluation_size]
        return Images(train.to(device, dtype), test.to(device, dtype), "test")
    loaded = load(
        data.name,
        root=data.root,
        held_out=data.held_out,
        train_size=data.train_size,
        evaluation_size=data.evaluation_size,
        dtype=dtype,
    )
    entry = CATALOGUE[data.name]
    parts = {"train": loaded.train.images, loaded.evaluation_name: loaded.evaluation.images}
    found = []
    for part, scaled in parts.items():
        x = (scaled * entry.scale + entry.offset) / (2 * entry.offset)
        if binarised == "fixed" or (binarised == "dynamic" and part != "train"):
            # in float64 on the CPU: the same images whatever the device and the precision
            drawn = torch.Generator().manual_seed(derive(task.fixed_seed, f"binarise/{part}", 0))
            x = torch.bernoulli(x.double(), generator=drawn).to(dtype)
        found.append(x.to(device))
    train, evaluation = found
    return Images(train, evaluation, loaded.evaluation_name)


def made_up_images(config: Config, device: torch.device, n: int) -> Images:
    """n of zeros and ones, to see how long a step takes."""
    shape = CATALOGUE[config.data.name].image_shape
    drawn = torch.randint(2, (n, *shape), generator=torch.Generator().manual_seed(0))
    found = drawn.to(device, dtype_of(config))
    return Images(found, found, "test")
