"""From a config to the training of a DQN at its start."""

import functools
from dataclasses import asdict, replace
from typing import cast

import torch
from torch import Tensor

from wnrepro.config import Config
from wnrepro.optim import build as build_optimizer
from wnrepro.randomness import Streams
from wnrepro.tasks.dqn import DQNConfig
from wnrepro.tasks.dqn.games import make
from wnrepro.tasks.dqn.learner import Learner
from wnrepro.tasks.dqn.network import QNetwork
from wnrepro.tasks.dqn.training import DQNTraining
from wnrepro.tasks.supervised import dtype_of


def training(config: Config, device: torch.device) -> DQNTraining:
    """Raises RunError: a package that the game needs is missing."""
    task, streams = cast(DQNConfig, config.task), Streams(config.seed)
    choices = {"frame_skip": task.frame_skip, "null_ops": task.null_ops, "sticky": task.sticky}
    new_game = functools.partial(make, config.data.name, **choices)
    game = new_game(0)
    channels, height, width = game.shape
    network = QNetwork(
        *(config.model.name, config.norm.name),
        *((task.history * channels, height, width), game.actions),
        width=config.model.width,
        scale=game.scale,
        generator=streams["init"],
    ).to(device, dtype_of(config))
    optimizer, schedule = build_optimizer(
        params=network.parameters(),
        epochs=config.epochs,
        constant=config.schedule.name == "constant",
        **asdict(config.optim),
    )
    chosen = {"discount": task.discount, "target_every": task.target_every}
    return DQNTraining(
        *(task, new_game, Learner(network, optimizer, **chosen), schedule, streams),
        batch_size=config.batch_size,
        states=config.init.batch_size,
    )


class _Learning:
    """Steps of a training that learns in each, for whoever asks how long one takes.

    They come from the game, whatever the batch: it is as small as the config has it.
    """

    def __init__(self, training: DQNTraining) -> None:
        self.training = training
        self.objective, self.model = self, training.learner.network
        self.device, self.paused = training.device, training.paused

    def batch(self, chosen: Tensor) -> tuple[Tensor, ...]:
        return (chosen,)

    def train_step(self, batch: tuple[Tensor, ...]) -> None:
        self.training.train_step()


def made_up(config: Config, device: torch.device, n: int) -> _Learning:
    """One whose replay has just been filled with random play, to see how long a step takes."""
    task = cast(DQNConfig, config.task)
    starts = replace(task, learning_starts=task.history + 2 + task.update_every, replay_size=1000)
    learning = training(replace(config, task=starts), device)
    while learning.acted < starts.learning_starts:
        learning.train_step()
        learning.step += 1
    return _Learning(learning)
