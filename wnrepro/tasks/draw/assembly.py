"""From a config to the training of DRAW at its start."""

from typing import cast

import torch

from wnrepro.config import Config
from wnrepro.randomness import Streams
from wnrepro.tasks.draw import DrawConfig
from wnrepro.tasks.draw.network import Draw
from wnrepro.tasks.generative import Generative, Images, images, made_up_images
from wnrepro.tasks.supervised import assemble, dtype_of
from wnrepro.training import SupervisedTraining


def training(config: Config, device: torch.device) -> SupervisedTraining:
    """Raises WnreproError: data that are missing or damaged."""
    return _on(images(config, device), config, device)


def made_up(config: Config, device: torch.device, n: int) -> SupervisedTraining:
    """The same on n made-up images, to see how long a step takes."""
    return _on(made_up_images(config, device, n), config, device)


def _on(images: Images, config: Config, device: torch.device) -> SupervisedTraining:
    task, streams = cast(DrawConfig, config.task), Streams(config.seed, device)
    model = Draw(
        config.norm.name,
        (images.train.shape[2], images.train.shape[3]),
        glimpses=task.glimpses,
        units=config.model.width,
        latent=task.latent,
        read=task.read,
        write=task.write,
        start=task.start,
        generator=streams["latent"],
        init=streams["init"],
    ).to(device, dtype_of(config))
    objective = Generative(
        *(model, images, task.binarised, streams["binarise"]),
        importance_samples=task.importance_samples,
        fixed_seed=task.fixed_seed,
    )
    return assemble(config, objective, streams, clip_norm=task.clip_norm)
