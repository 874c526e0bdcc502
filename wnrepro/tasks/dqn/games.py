"""A game by its name, and what is to be installed for it. No torch."""

from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from wnrepro.errors import RunError

PACKAGES = {"atari": ("ale_py", "cv2"), "minatar": ("minatar",)}


class Game(Protocol):
    """A game from one picture to the next.

    actions: how many there are. shape: of a picture, (channels, height, width). scale: a picture's
    uint8 times this lie in [0, 1]. lives: that are left; 0 in a game without lives.
    """

    @property
    def actions(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def scale(self) -> float: ...

    @property
    def lives(self) -> int: ...

    def reset(self) -> np.ndarray:
        """Begin a new game; its first picture, uint8 of `shape`, which nobody else changes."""
        ...

    def act(self, action: int) -> tuple[np.ndarray, float, bool]:
        """The next picture, the reward, and whether the game is over."""
        ...

    def screen(self) -> np.ndarray:
        """For people: uint8, (height, width, 3)."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def require_packages(name: str) -> None:
    """Raise RunError where one is missing that `name`, as `minatar_breakout`, needs."""
    missing = [each for each in PACKAGES[name.partition("_")[0]] if find_spec(each) is None]
    if missing:
        raise RunError(
            f"data={name} needs {' and '.join(missing)}: install the games by "
            "`uv sync --extra rl`, or `pip install 'wnrepro[rl]'`"
        )


def make(name: str, seed: int, *, frame_skip: int, null_ops: int, sticky: float) -> Game:
    """The game `name`; two of one seed that are played alike are alike."""
    require_packages(name)
    kind, _, game = name.partition("_")
    if kind == "atari":
        from wnrepro.tasks.dqn.atari import Atari

        return Atari(game, seed, frame_skip=frame_skip, null_ops=null_ops, sticky=sticky)
    from wnrepro.tasks.dqn.minatar import MinAtar

    return MinAtar(game, seed, sticky=sticky)
