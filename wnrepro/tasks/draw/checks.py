"""What DRAW cannot be."""

from typing import cast

from wnrepro.config import Config, choice, in_range
from wnrepro.errors import ConfigError
from wnrepro.tasks.draw import DrawConfig
from wnrepro.tasks.generative_checks import check_generative

STARTS = ("normal", "unit")


def has_long_steps(config: Config) -> bool:
    return False  # two threads are slower than one: its products are small


def check(config: Config) -> None:
    """Raise ConfigError, with the key, what it got and what is allowed."""
    task = cast(DrawConfig, config.task)
    check_generative(config, {"draw": 1})
    choice("task.start", task.start, STARTS)
    in_range("task.glimpses", task.glimpses, 1, 10_000)
    in_range("task.read", task.read, 2, 1000)
    in_range("task.write", task.write, 2, 1000)
    in_range("task.clip_norm", task.clip_norm, 0)
    if config.init.name != "none":
        raise ConfigError(
            "init=data_dependent is not for task=draw, whose maps are used repeatedly: "
            "add init=none"
        )
    if config.precision == "bf16":
        raise ConfigError("precision=bf16 gains nothing in task=draw: use float32")
