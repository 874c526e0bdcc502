"""MinAtar: five games of 10×10 pixels (Young & Tian 2019)."""

import colorsys
from typing import Any

import minatar
import numpy as np
import torch

ENLARGED = 8
"""Pixels of a picture for people that one of the game's becomes."""


class MinAtar:
    """A `Game`. Each channel of a picture is a kind of thing, 1 where one is.

    Its difficulty rises as in the package's default. sticky: see `DQNConfig`.
    """

    scale = 1.0
    lives = 0

    def __init__(self, game: str, seed: int, *, sticky: float) -> None:
        self._environment = minatar.Environment(game, sticky_action_prob=sticky)
        self._environment.seed(seed % 2**32)
        self._actions = self._environment.minimal_action_set()
        self.actions = len(self._actions)
        height, width, channels = self._environment.state_shape()
        self.shape = (channels, height, width)

    def reset(self) -> np.ndarray:
        self._environment.last_action = 0  # the package keeps that of the game before
        self._environment.reset()
        return self._picture()

    def act(self, action: int) -> tuple[np.ndarray, float, bool]:
        reward, over = self._environment.act(self._actions[action])
        return self._picture(), float(reward), bool(over)

    def _picture(self) -> np.ndarray:
        return np.ascontiguousarray(self._environment.state().transpose(2, 0, 1)).view(np.uint8)

    def screen(self) -> np.ndarray:
        things = self._picture()
        image = np.zeros((*things.shape[1:], 3), np.uint8)
        for k, places in enumerate(things):
            colour = colorsys.hsv_to_rgb(k / len(things), 0.6, 1.0)
            image[places > 0] = [round(255 * each) for each in colour]
        return image.repeat(ENLARGED, 0).repeat(ENLARGED, 1)

    def state_dict(self) -> dict[str, Any]:
        """All that the game's own object holds, in plain types."""
        inner = vars(self._environment.env)
        return {
            "random": _plain(self._environment.random.get_state()),
            "last_action": int(self._environment.last_action),
            "game": {k: _plain(v) for k, v in inner.items() if k not in ("random", "channels")},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._environment.random.set_state(_unplain(state["random"]))
        self._environment.last_action = state["last_action"]
        vars(self._environment.env).update({k: _unplain(v) for k, v in state["game"].items()})


def _plain(value: Any) -> Any:
    """NumPy's arrays as tensors, its numbers as Python's."""
    match value:
        case np.ndarray():
            wide = value.astype(np.int64) if value.dtype == np.uint32 else value
            return torch.from_numpy(wide.copy())
        case np.generic():
            return value.item()
        case list() | tuple():
            return type(value)(_plain(each) for each in value)
        case _:
            return value


def _unplain(value: Any) -> Any:
    match value:
        case torch.Tensor():
            return value.numpy().copy()
        case list() | tuple():
            return type(value)(_unplain(each) for each in value)
        case _:
            return value
