"""What a DQN cannot be."""

import math
from dataclasses import replace
from typing import cast

from wnrepro.arms import ARMS
from wnrepro.config import Config, choice, in_range
from wnrepro.errors import ConfigError
from wnrepro.tasks.dqn import GAMES, MINATAR, NETWORKS, DQNConfig
from wnrepro.tasks.dqn.games import require_packages

EVALUATION_SHARE = 3
"""Steps of an evaluation, which has no updates, that take as long as one of training: about."""


def has_long_steps(config: Config) -> bool:
    return False  # most of the time goes into games and into networks asked about one state


def require(config: Config) -> None:
    """Raise RunError where a package is missing that the game needs."""
    require_packages(config.data.name)


def epoch_steps(config: Config) -> tuple[int, int]:
    """Of the loop, each of `update_every` of the agent: in training, and what evaluation costs."""
    task = cast(DQNConfig, config.task)
    evaluated = task.evaluation_steps / (EVALUATION_SHARE * task.update_every)
    return task.epoch_steps // task.update_every, math.ceil(evaluated)


def quick_steps(config: Config) -> int:
    """Steps of the loop before learning starts: without an update, some ten times as quick."""
    task = cast(DQNConfig, config.task)
    return math.ceil(task.learning_starts / task.update_every)


def shrink(config: Config) -> None:
    """To `config.scale`, whose examples are steps here."""
    task, scale = cast(DQNConfig, config.task), config.scale
    if (most := scale.max_train_size) is not None:
        task = replace(
            task,
            epoch_steps=min(task.epoch_steps, most),
            replay_size=min(task.replay_size, most),
            learning_starts=min(task.learning_starts, most // 4),
            epsilon_steps=min(task.epsilon_steps, most),
            target_every=min(task.target_every, most // 10),
            init_every=1,
        )
    if (most := scale.max_evaluation_size) is not None:
        task = replace(task, evaluation_steps=min(task.evaluation_steps, most))
    config.task = task


def check(config: Config) -> None:
    """Raise ConfigError, with the key, what it got and what is allowed."""
    task, data, model = cast(DQNConfig, config.task), config.data, config.model
    choice("data.name", data.name, GAMES)
    choice("model.name", model.name, NETWORKS)
    if data.name not in NETWORKS[model.name]:
        fitting = next(name for name, games in NETWORKS.items() if data.name in games)
        raise ConfigError(f"model={model.name} is not for data={data.name}: use model={fitting}")
    for group, keys in (
        ("data", ("whiten", "held_out", "train_size", "evaluation_size")),
        ("model", ("depth", "noise_std", "dropout")),
    ):
        for key in keys:
            if getattr(getattr(config, group), key):
                raise ConfigError(f"{group}.{key} is not for task=dqn: leave it out")
    if config.precision == "bf16":
        raise ConfigError("precision=bf16 gains nothing in task=dqn: use float32")
    if config.compile:
        raise ConfigError("compile=true is not for task=dqn: leave it out")
    in_range("model.width", model.width, 1, 1_000_000)
    in_range("batch_size", config.batch_size, ARMS[config.norm.name].min_batch, task.replay_size)
    in_range("init.batch_size", config.init.batch_size, 2, 1_000_000)
    _check_numbers(task)
    if data.name in MINATAR:
        for key, only in (("frame_skip", 1), ("null_ops", 0)):
            if getattr(task, key) != only:
                raise ConfigError(f"task.{key}={getattr(task, key)}: MinAtar has {only}")


def _check_numbers(task: DQNConfig) -> None:
    whole = ("epoch_steps", "evaluation_steps", "target_every", "time_limit", "epsilon_steps")
    for key in (*whole, "init_every"):
        in_range(f"task.{key}", getattr(task, key), 1, 10**12)
    for key in ("frame_skip", "history", "update_every"):
        in_range(f"task.{key}", getattr(task, key), 1, 1000)
    for key in ("sticky", "discount", "epsilon_start", "epsilon_end", "evaluation_epsilon"):
        in_range(f"task.{key}", getattr(task, key), 0, 1)
    in_range("task.null_ops", task.null_ops, 0, 10_000)
    in_range("task.replay_size", task.replay_size, task.history + 2, 10**10)
    in_range("task.learning_starts", task.learning_starts, task.history + 2, 10**12)
    if task.epoch_steps % task.update_every:
        raise ConfigError(
            f"task.epoch_steps={task.epoch_steps} must be a multiple of "
            f"task.update_every={task.update_every}"
        )
