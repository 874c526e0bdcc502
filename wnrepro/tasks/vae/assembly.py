"""From a config to the training of a VAE at its start."""

from typing import cast

import torch
from torch import nn

from wnrepro.config import Config
from wnrepro.randomness import Streams
from wnrepro.tasks.generative import Generative, Images, images, made_up_images
from wnrepro.tasks.supervised import assemble, dtype_of
from wnrepro.tasks.vae import VAEConfig
from wnrepro.tasks.vae.cifar import CifarVAE
from wnrepro.tasks.vae.mnist import MnistVAE
from wnrepro.training import ParameterAverage, SupervisedTraining


def training(config: Config, device: torch.device) -> SupervisedTraining:
    """Raises WnreproError: data that are missing or damaged."""
    return _on(images(config, device), config, device)


def made_up(config: Config, device: torch.device, n: int) -> SupervisedTraining:
    """The same on n made-up images, to see how long a step takes."""
    return _on(made_up_images(config, device, n), config, device)


def _on(images: Images, config: Config, device: torch.device) -> SupervisedTraining:
    task, streams = cast(VAEConfig, config.task), Streams(config.seed, device)
    shape = images.train.shape[2], images.train.shape[3]
    model = _network(config, shape, streams).to(device, dtype_of(config))
    objective = Generative(
        *(model, images, task.binarised, streams["binarise"], task.init_std),
        importance_samples=task.importance_samples,
        fixed_seed=task.fixed_seed,
    )
    average = ParameterAverage(model.parameters(), task.average)
    return assemble(config, objective, streams, average=average)


def _network(config: Config, shape: tuple[int, int], streams: Streams) -> nn.Module:
    task, width = cast(VAEConfig, config.task), config.model.width
    if config.model.name == "vae_mnist":
        return MnistVAE(
            *(config.norm.name, shape),
            width=width,
            latent=task.latent,
            depth=task.flow_depth,
            hidden=task.flow_width,
            generator=streams["latent"],
            init=streams["init"],
        )
    return CifarVAE(
        *(config.norm.name, shape),
        width=width,
        latent=task.latent,
        depths=tuple(task.depths),
        free_bits=task.free_bits,
        log_scale=task.log_scale,
        generator=streams["latent"],
        init=streams["init"],
    )
