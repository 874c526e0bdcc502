"""Atari 2600 games, through the Arcade Learning Environment, as in Mnih et al. (2015).

The code that the paper's authors built on (deep_q_rl) and Nature's agree but for what is named in
docs/differences.md; where they do not, this is deep_q_rl's.
"""

from typing import Any

import cv2
import numpy as np
import torch
from ale_py import ALEInterface, ALEState, LoggerMode, roms

SIDE = 84
"""Pixels of a picture's height and width."""


class Atari:
    """A `Game`: the emulator's grey, of the last two frames the larger pixel by pixel, scaled to
    84×84 by bilinear interpolation, without a crop. The game's minimal set of actions.

    An action is repeated `frame_skip` times and its rewards are added. A game begins with 0 to
    `null_ops` single frames without an action. sticky: see `DQNConfig`.
    """

    scale = 1 / 255
    shape = (1, SIDE, SIDE)

    def __init__(
        self, game: str, seed: int, *, frame_skip: int, null_ops: int, sticky: float
    ) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setInt("random_seed", seed % 2**31)
        self._ale.setFloat("repeat_action_probability", sticky)
        self._ale.loadROM(str(roms.get_rom_path(game)))
        self._actions = self._ale.getMinimalActionSet()
        self.actions = len(self._actions)
        self.frame_skip, self._null_ops = frame_skip, null_ops
        self._generator = torch.Generator().manual_seed(seed)
        self._frames = np.zeros((2, *self._ale.getScreenDims()), np.uint8)  # the last, and before

    @property
    def lives(self) -> int:
        return self._ale.lives()

    def reset(self) -> np.ndarray:
        self._ale.reset_game()
        nothing = self._actions[0]  # the minimal set begins with it
        for _ in range(int(torch.randint(self._null_ops + 1, (), generator=self._generator))):
            self._ale.act(nothing)
            if self._ale.game_over():
                self._ale.reset_game()
        self._frames[1] = 0
        self._ale.getScreenGrayscale(self._frames[0])
        return self._picture()

    def act(self, action: int) -> tuple[np.ndarray, float, bool]:
        reward, over = 0, False
        for k in range(self.frame_skip):
            reward += self._ale.act(self._actions[action])
            over = self._ale.game_over()
            if over or k >= self.frame_skip - 2:
                self._frames[1] = self._frames[0]
                self._ale.getScreenGrayscale(self._frames[0])
            if over:
                break
        return self._picture(), float(reward), over

    def _picture(self) -> np.ndarray:
        larger = np.maximum(self._frames[0], self._frames[1])
        return cv2.resize(larger, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)[None]

    def screen(self) -> np.ndarray:
        return self._ale.getScreenRGB()

    def state_dict(self) -> dict[str, Any]:
        emulator = self._ale.cloneState(include_rng=True).serialize()
        return {
            "emulator": torch.frombuffer(bytearray(emulator), dtype=torch.uint8),
            "generator": self._generator.get_state(),
            "frames": torch.from_numpy(self._frames.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._ale.restoreState(ALEState(bytes(state["emulator"].numpy())))
        self._generator.set_state(state["generator"])
        self._frames[:] = state["frames"].numpy()
