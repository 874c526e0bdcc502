"""What a model of images with latent variables cannot be."""

from collections.abc import Mapping
from typing import cast

from wnrepro.config import Config, check_sizes, choice, in_range, training_size
from wnrepro.data.catalogue import CATALOGUE, LAROCHELLE
from wnrepro.errors import ConfigError
from wnrepro.tasks.generative_facts import ARMS, BINARISED, GenerativeConfig


def check_generative(config: Config, networks: Mapping[str, int]) -> None:
    """networks: each with the channels of its images."""
    task, data, model = cast(GenerativeConfig, config.task), config.data, config.model
    choice("data.name", data.name, CATALOGUE)
    choice("model.name", model.name, networks)
    choice("task.binarised", task.binarised, BINARISED)
    choice("norm.name", config.norm.name, ARMS)
    facts, channels = CATALOGUE[data.name], networks[model.name]
    if facts.image_shape[0] != channels:
        raise ConfigError(
            f"model={model.name} needs images of {channels} channel{'s' * (channels > 1)}; "
            f"data={data.name} has {facts.image_shape[0]}"
        )
    if data.whiten:
        raise ConfigError(f"data.whiten=true: task={task.name} takes pixels as they are")
    if task.binarised == "larochelle":
        choice("data.name", data.name, ("mnist",))
        n = LAROCHELLE["train"].n
        if data.held_out or not 1 <= (data.train_size or 0) <= n:
            raise ConfigError(
                f"task.binarised=larochelle has {n:,} training images and none held out: "
                f"use data.train_size={n} or fewer, and data.held_out=0"
            )
    for key in ("depth", "noise_std", "dropout"):
        if getattr(model, key):
            raise ConfigError(f"model.{key} is no key of model={model.name}: leave it out")
    check_sizes(config)
    in_range("batch_size", config.batch_size, 1, training_size(config))
    in_range("model.width", model.width, 1, 1_000_000)
    in_range("task.latent", task.latent, 1, 1_000_000)
    in_range("task.importance_samples", task.importance_samples, 0, 1_000_000)
    in_range("task.fixed_seed", task.fixed_seed, -(2**63), 2**63 - 1)
