"""How likely is an image? VAEs on MNIST and CIFAR-10, the paper's section 5.2."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wnrepro.data.catalogue import CATALOGUE
from wnrepro.tasks.facts import Picture, Task
from wnrepro.tasks.generative_facts import HEADLINE, METRICS, RECONSTRUCTIONS, GenerativeConfig


@dataclass
class VAEConfig(GenerativeConfig):
    """`model.width`: maps; vae_mnist: of the first block (16), vae_cifar: of each layer (160)."""

    init_std: float = 1.0
    """Standard deviation of pre-activations after the data-dependent init."""
    average: float = 0.999
    """Decay d, per step, of the average of the parameters that evaluation is repeated with. It is
    over about 1/(1 − d) steps."""
    flow_depth: int = 2
    """Steps of the posterior's flow; 0: a diagonal posterior. vae_cifar has one in each layer."""
    flow_width: int = 320
    """Hidden units of each step (vae_mnist)."""
    depths: list[int] = field(default_factory=lambda: [2, 2])
    """Stochastic layers at each resolution, from 16 × 16 on (vae_cifar)."""
    free_bits: float = 0.0
    """Nats of each latent map's KL divergence that cost nothing (vae_cifar)."""
    log_scale: float = 0.0
    """Of the logistic likelihood at the start (vae_cifar)."""


def _numbers(config: Mapping[str, Any]) -> int | None:
    """Of an image of 8-bit pixels; of zeros and ones nobody states bits per dimension."""
    shape = CATALOGUE[config["data"]["name"]].image_shape
    return math.prod(shape) if config["task"]["binarised"] == "no" else None


SAMPLES = Picture(
    "samples", "samples", "Means of p(x|z) with z from the prior, by the averaged parameters."
)

TASK = Task(
    *("vae", __name__, METRICS, HEADLINE),
    averaged=True,
    config=VAEConfig,
    pictures=(SAMPLES, RECONSTRUCTIONS),
    dimensions=_numbers,
)
