"""A game being played: states of several pictures, episodes, scores."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wnrepro.tasks.dqn.games import Game


class Step(NamedTuple):
    """What an action led to. picture: that on which it was chosen.

    terminal: whether the episode ended by the game's rules. last: the picture after which it was
    cut off by the limit of time instead. score: of the game, where it is over or cut off.
    """

    picture: np.ndarray
    reward: float
    terminal: bool
    last: np.ndarray | None
    score: float | None


class Player:
    """One game after the other.

    history: pictures in a state; those before an episode's first are zeros. life_loss_ends: whether
    the loss of a life ends an episode; the game then goes on in the next one. time_limit: of steps
    of a game, None for none.
    """

    def __init__(
        self, game: Game, history: int, *, life_loss_ends: bool, time_limit: int | None
    ) -> None:
        self.game, self.life_loss_ends, self.time_limit = game, life_loss_ends, time_limit
        channels, height, width = game.shape
        self._channels = channels
        self._state = np.zeros((history * channels, height, width), np.uint8)
        self._reset()

    def _reset(self) -> None:
        self._begin_episode(self.game.reset())
        self.score, self.steps = 0.0, 0

    def _begin_episode(self, picture: np.ndarray) -> None:
        self._state[:] = 0
        self._state[-self._channels :] = picture

    @property
    def state(self) -> Tensor:
        """(history · C, H, W), uint8; changed by the next step."""
        return torch.from_numpy(self._state)

    def step(self, action: int) -> Step:
        """Act, and begin a new game where this one is over or cut off."""
        seen, lives = self._state[-self._channels :].copy(), self.game.lives
        picture, reward, over = self.game.act(action)
        self.score += reward
        self.steps += 1
        terminal = over or (self.life_loss_ends and self.game.lives < lives)
        cut = not over and self.steps == self.time_limit
        score = self.score if over or cut else None
        if over or cut:
            self._reset()
        elif terminal:
            self._begin_episode(picture)
        else:
            self._state[: -self._channels] = self._state[self._channels :]
            self._state[-self._channels :] = picture
        return Step(seen, reward, terminal, picture if cut and not terminal else None, score)

    def state_dict(self) -> dict[str, Any]:
        return {
            "game": self.game.state_dict(),
            "state": self.state.clone(),
            "score": self.score,
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.game.load_state_dict(state["game"])
        self._state[:] = state["state"].numpy()
        self.score, self.steps = state["score"], state["steps"]
