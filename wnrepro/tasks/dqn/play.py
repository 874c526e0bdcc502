"""Play without learning: at random, to be evaluated, to be looked at."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from wnrepro.tasks.dqn.learner import Learner
from wnrepro.tasks.dqn.player import Player

STRIP = (3, 8)
"""Rows and columns of the pictures of a game."""
STRIP_EVERY = 8
"""Steps from one to the next."""


class Score(NamedTuple):
    """mean: over the games that ended. games: how many did."""

    mean: float
    games: int


def random_play(player: Player, n: int, every: int, generator: torch.Generator) -> Tensor:
    """n states of random play, (n, C, H, W), uint8: each the one after `every` more actions."""
    states = []
    for _ in range(n):
        for action in torch.randint(player.game.actions, (every,), generator=generator).tolist():
            player.step(action)
        states.append(player.state.clone())
    return torch.stack(states)


def play(
    player: Player, learner: Learner, steps: int, epsilon: float, generator: torch.Generator
) -> list[float]:
    """Take so many steps, each random with probability `epsilon`; the scores of ended games."""
    scores = []
    with learner.constant():
        for _ in range(steps):
            if torch.rand((), generator=generator).item() < epsilon:
                action = int(torch.randint(player.game.actions, (), generator=generator))
            else:
                action = learner.best(player.state)
            score = player.step(action).score
            if score is not None:
                scores.append(score)
    return scores


def evaluate(
    player: Player, learner: Learner, steps: int, epsilon: float, generator: torch.Generator
) -> Score:
    """A game that the last step cuts off counts only where it is the only one (deep_q_rl)."""
    scores = play(player, learner, steps, epsilon, generator) or [player.score]
    return Score(math.fsum(scores) / len(scores), len(scores))


def strip(player: Player, learner: Learner, epsilon: float, generator: torch.Generator) -> Tensor:
    """Pictures of a game as it is played, in [0, 1]: (rows, columns, 3, H, W)."""
    screens = []
    for _ in range(math.prod(STRIP)):
        play(player, learner, STRIP_EVERY, epsilon, generator)
        screens.append(torch.from_numpy(player.game.screen().copy()).permute(2, 0, 1))
    return (torch.stack(screens).float() / 255).unflatten(0, STRIP)


@torch.no_grad()
def mean_q(learner: Learner, states: Tensor) -> float:
    """The mean over the states of the largest Q."""
    best = [learner.network(part.to(learner.device)).amax(1).double() for part in states.split(256)]
    return torch.cat(best).mean().item()
