"""What was seen and done, each picture once, in memory or in a file beside the checkpoint."""

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wnrepro.errors import RunError
from wnrepro.replacement import failing_in_one_line

REPLAY_FILE = "replay.bin"

GOES_ON, TERMINAL, LAST = range(3)
"""What a record is to its episode. LAST: a picture after which the episode was cut off, with no
action of its own; it is the next state of the record before it, and never drawn itself."""

_BLOCK = 1024
"""Records that share a checksum."""

_STEP = np.dtype([("reward", "<f4"), ("action", "u1"), ("end", "u1"), ("first", "u1"), ("", "u1")])


class Batch(NamedTuple):
    """states, next_states: (N, history · C, H, W), uint8. actions: int64. rewards: float32.
    terminal: float32, 1 where nothing follows and next_states counts for nothing. All (N,).
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    next_states: Tensor
    terminal: Tensor


class Replay:
    """The last `size` steps. A step is its picture, the action, the reward and what came of it.

    A state is a picture with the `history` − 1 before it, of its own episode only: zeros stand for
    those before the first. What is drawn has all pictures of its two states among the last `size`.

    Before `open` it lies in memory. From then on it is a memory-mapped file, a ring of all steps
    since the first, with room beyond `size` so that the steps of the last two checkpoints are still
    there: each checkpoint holds the number of steps and a checksum of each block of them. For that
    at most `interval` steps may lie between two checkpoints; `full` says when that many do.

    shape: of a picture, (C, H, W).
    """

    def __init__(
        self,
        size: int,
        shape: tuple[int, int, int],
        history: int,
        *,
        interval: int | None = None,
        most: int | None = None,
    ) -> None:
        """most: of all that will be added, where that is known: less room may do."""
        self.size, self.shape, self.history = size, shape, history
        self.interval = max(10_000, size // 16) if interval is None else interval
        # Of each of two checkpoints: up to a block of steps more than `interval`. And the oldest
        # block that is checked begins before the oldest step that is kept.
        room = size + 2 * (self.interval + _BLOCK) + _BLOCK
        room = room if most is None else min(room, most)
        self.room = _BLOCK * -(-room // _BLOCK)
        self._pixels = int(np.prod(shape))
        self._view(np.zeros(self.room * (self._pixels + _STEP.itemsize), np.uint8))
        self._map: np.memmap | None = None
        self._path: Path | None = None
        self._checks: dict[int, int] = {}  # of whole blocks, counted from the first step
        self.added = self._saved = 0
        self._begins = True

    def _view(self, content: np.ndarray) -> None:
        """content: all pictures, then all steps."""
        self._pictures = content[: self.room * self._pixels].reshape(self.room, self._pixels)
        self._steps = content[self.room * self._pixels :].view(_STEP)

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, picture: np.ndarray, action: int, reward: float, end: int = GOES_ON) -> None:
        """picture: that on which the action was chosen. end: of the episode, after it."""
        k = self.added % self.room
        self._pictures[k] = picture.reshape(-1)
        self._steps[k] = (reward, action, end, self._begins, 0)
        self._begins = end != GOES_ON
        self.added += 1

    @property
    def first(self) -> int:
        """The oldest step whose state is whole. Steps are counted from the first of all."""
        oldest = self.added - len(self)
        return oldest + self.history - 1 if oldest else 0

    def drawn(self, n: int, generator: torch.Generator) -> np.ndarray:
        """n steps, with replacement, uniformly of those that have a next state or need none."""
        low, high = self.first, self.added - 1
        chosen = np.zeros(0, np.int64)
        while len(chosen) < n:
            if high - low < 2:  # of two, one can be drawn: what cuts off has a step before it
                raise ValueError(f"a replay of {self.added} steps has nothing to draw from yet")
            more = torch.randint(low, high, (n - len(chosen),), generator=generator).numpy()
            chosen = np.append(chosen, more[self._steps["end"][more % self.room] != LAST])
        return chosen

    def batch(self, chosen: np.ndarray) -> Batch:
        """The transitions of these steps."""
        h = self.history
        window = chosen[:, None] + np.arange(1 - h, 2)  # the state's pictures, then the next one
        places = window % self.room
        pictures = self._pictures[places]  # (N, h + 1, pixels)
        steps = self._steps[places[:, h - 1]]
        if h > 1:
            first = self._steps["first"][places] != 0
            state = pictures[:, :h] * _own(first[:, :h])
            next_state = pictures[:, 1:] * _own(first[:, 1:])
        else:
            state, next_state = pictures[:, :1], pictures[:, 1:]
        shape = (len(chosen), h * self.shape[0], *self.shape[1:])
        return Batch(
            torch.from_numpy(np.ascontiguousarray(state).reshape(shape)),
            torch.from_numpy(steps["action"].astype(np.int64)),
            torch.from_numpy(steps["reward"].copy()),
            torch.from_numpy(np.ascontiguousarray(next_state).reshape(shape)),
            torch.from_numpy((steps["end"] == TERMINAL).astype(np.float32)),
        )

    def open(self, folder: Path) -> None:
        """Lie in a file of `folder` from now on. Raises RunError where that cannot be."""
        self._path = folder / REPLAY_FILE
        with failing_in_one_line(self._path):
            size = self.room * (self._pixels + _STEP.itemsize)
            with open(self._path, "ab") as file:
                file.truncate(size)  # a file with holes: disk is taken where something is written
            self._map = np.memmap(self._path, np.uint8, "r+", shape=(size,))
        self._view(self._map)

    @property
    def full(self) -> bool:
        """Whether a checkpoint is due: more steps would overwrite what an older one needs."""
        return self._map is not None and self.added - self._saved >= self.interval

    def remove(self) -> None:
        """The run is over: nobody reads the file again."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint; the pictures stay in the file, which is flushed to the disk."""
        for block in range(self._saved // _BLOCK, self.added // _BLOCK):
            self._checks[block] = self._checksum(block, _BLOCK)
        oldest = max(0, self.added - self.size) // _BLOCK
        self._checks = {k: v for k, v in self._checks.items() if k >= oldest}
        block, rest = divmod(self.added, _BLOCK)
        if self._map is not None:
            with failing_in_one_line(Path(str(self._path))):
                self._map.flush()
        self._saved = self.added
        return {
            "added": self.added,
            "begins": self._begins,
            "checks": {**self._checks, block: self._checksum(block, rest)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the steps that were there at `state_dict`. Raises RunError: they are not."""
        block, rest = divmod(state["added"], _BLOCK)
        for k, expected in state["checks"].items():
            if self._checksum(k, rest if k == block else _BLOCK) != expected:
                raise RunError(
                    f"{self._path or 'the replay'} is damaged or lost, and the run cannot go on "
                    f"without it: delete the folder to begin again"
                )
        self.added = self._saved = state["added"]
        self._begins = state["begins"]
        self._checks = {k: v for k, v in state["checks"].items() if k != block}

    def _checksum(self, block: int, n: int) -> int:
        """CRC-32 of the first n records of a block."""
        place = block * _BLOCK % self.room
        here = slice(place, place + n)
        return zlib.crc32(self._steps[here].data, zlib.crc32(self._pictures[here].data))


def _own(first: np.ndarray) -> np.ndarray:
    """(N, h, 1), 1 for pictures of the last one's episode. first: (N, h), begins an episode."""
    begun = np.cumsum(first[:, :0:-1], 1)[:, ::-1]  # between a picture and the last, it included
    own = np.ones((*first.shape, 1), np.uint8)
    own[:, :-1, 0] = begun == 0
    return own
