"""What models of images with latent variables measure and are asked for. No torch."""

from dataclasses import dataclass

from wnrepro.tasks.facts import Metric, Picture, TaskConfig

HEADLINE = "negative_bound_nats"
METRICS = (
    Metric("loss", "loss", "nats"),
    Metric(HEADLINE, "−bound on log p(x)", "nats"),
    Metric("reconstruction_nats", "−log p(x|z)", "nats"),
    Metric("kl_nats", "KL divergence", "nats"),
    Metric("negative_log_p_nats", "−log p(x), by importance sampling", "nats"),
)
"""Each a mean over images. The last one after the last epoch, where it is asked for."""

RECONSTRUCTIONS = Picture(
    "reconstructions",
    "reconstructions",
    "Above: images of the evaluation; below: what is made of them.",
)

FIXED_SEED = 160207868
"""The number of the paper on arXiv."""

BINARISED = ("fixed", "dynamic", "larochelle", "no")
ARMS = ("plain", "wn")
"""Those of the paper's figures 3 and 4."""


@dataclass
class GenerativeConfig(TaskConfig):
    latent: int = 100
    """Elements of z, at each glimpse of DRAW; of vae_cifar: maps of each layer."""
    binarised: str = "fixed"
    """fixed: each pixel was drawn once, from its intensity, for all runs. dynamic: training images
    are drawn anew at each step. larochelle: MNIST as his files have it. no: the intensities
    themselves."""
    importance_samples: int = 0
    """Draws of z for each evaluation image, from which −log p(x) is estimated after the last epoch;
    0: no estimate. It takes as long as so many evaluations."""
    fixed_seed: int = FIXED_SEED
    """Of the fixed binarisation and of evaluation's draws of z: one for all runs, so that curves
    differ by the model alone."""
