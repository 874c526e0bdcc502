"""What a VAE cannot be."""

from typing import cast

from wnrepro.config import Config, in_range
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError
from wnrepro.tasks.generative_checks import check_generative
from wnrepro.tasks.vae import VAEConfig


def has_long_steps(config: Config) -> bool:
    return False  # two runs of one thread each do more than one of two


def check(config: Config) -> None:
    """Raise ConfigError, with the key, what it got and what is allowed."""
    task = cast(VAEConfig, config.task)
    check_generative(config, {"vae_mnist": 1, "vae_cifar": 3})
    in_range("task.init_std", task.init_std, 1e-6)
    in_range("task.average", task.average, 0, 1)
    in_range("task.flow_depth", task.flow_depth, 0, 1000)
    in_range("task.flow_width", task.flow_width, 1, 1_000_000)
    in_range("task.free_bits", task.free_bits, 0)
    in_range("task.log_scale", task.log_scale, -10, 10)
    if task.average == 1:
        raise ConfigError("task.average=1 would never learn: it must be below 1")
    if config.init.name == "data_dependent":
        in_range("init.batch_size", config.init.batch_size, 2, 1_000_000)
    if config.model.name == "vae_mnist":
        if task.binarised == "no":
            raise ConfigError(
                "task.binarised=no: vae_mnist models zeros and ones: fixed or dynamic"
            )
        return
    if task.binarised != "no":
        raise ConfigError(f"task.binarised={task.binarised}: vae_cifar models 8-bit pixels: use no")
    side, levels = CATALOGUE[config.data.name].image_shape[1], len(task.depths)
    if not task.depths or min(task.depths) < 1 or side % 2**levels:
        raise ConfigError(
            f"task.depths={task.depths}: a number of layers, 1 or more, for each of up to 5 "
            "resolutions, as [2,2]"
        )
