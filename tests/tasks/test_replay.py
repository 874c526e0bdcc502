"""The replay against a plain list of episodes, in memory and in its file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wnrepro.errors import RunError
from wnrepro.tasks.dqn import replay as module
from wnrepro.tasks.dqn.replay import GOES_ON, LAST, REPLAY_FILE, TERMINAL, Replay

SHAPE = (2, 3, 1)


class Naive:
    """Every step that was added, each with its episode."""

    def __init__(self) -> None:
        self.steps: list[tuple[np.ndarray, int, float, int, int]] = []
        self.episode = 0

    def add(self, picture: np.ndarray, action: int, reward: float, end: int) -> None:
        self.steps.append((picture, action, reward, end, self.episode))
        self.episode += end != GOES_ON

    def state(self, k: int, history: int) -> np.ndarray:
        pictures = []
        for j in range(k - history + 1, k + 1):
            own = j >= 0 and self.steps[j][4] == self.steps[k][4]
            pictures.append(self.steps[j][0] if own else np.zeros(SHAPE, np.uint8))
        return np.concatenate(pictures)


def add(n: int, seed: int, *replays: Any) -> None:
    """n random steps, many of them an episode's last."""
    draw, end = np.random.RandomState(seed), LAST
    for _ in range(n):
        picture = draw.randint(1, 256, SHAPE).astype(np.uint8)
        ends = [GOES_ON, TERMINAL] if end != GOES_ON else [GOES_ON, TERMINAL, LAST]
        end = int(draw.choice(ends, p=[0.7, 0.3] if len(ends) == 2 else [0.7, 0.2, 0.1]))
        action, reward = int(draw.randint(7)), float(draw.randint(-3, 4))
        for each in replays:
            each.add(picture, action, reward, end)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 8)


@pytest.mark.parametrize("history", [1, 2, 4])
@pytest.mark.parametrize("added", [7, 40, 41, 250, 1000])
def test_what_is_drawn_is_what_a_list_holds(history: int, added: int) -> None:
    replay, naive = Replay(40, SHAPE, history, interval=5), Naive()
    add(added, history, replay, naive)
    replay.add(np.ones(SHAPE, np.uint8), 1, 0.0)  # the newest has no next state yet
    naive.add(np.ones(SHAPE, np.uint8), 1, 0.0, GOES_ON)
    chosen = replay.drawn(500, torch.Generator().manual_seed(0))
    oldest = max(0, added + 1 - 40)
    allowed = {
        k
        for k in range(oldest + (history - 1 if oldest else 0), added)
        if naive.steps[k][3] != LAST
    }
    assert set(chosen.tolist()) == allowed  # and all of them
    batch = replay.batch(chosen)
    for i, k in enumerate(chosen):
        _, action, reward, end, _ = naive.steps[k]
        assert (batch.states[i].numpy() == naive.state(k, history)).all()
        assert (batch.actions[i], batch.rewards[i], batch.terminal[i]) == (
            *(action, reward, end == TERMINAL),
        )
        if end != TERMINAL:
            assert (batch.next_states[i].numpy() == naive.state(k + 1, history)).all()


def test_nothing_can_be_drawn_before_there_is_a_transition() -> None:
    replay = Replay(40, SHAPE, 4)
    add(1, 0, replay)
    with pytest.raises(ValueError, match="nothing to draw"):
        replay.drawn(1, torch.Generator())


def content(replay: Replay) -> list[torch.Tensor]:
    return list(replay.batch(replay.drawn(200, torch.Generator().manual_seed(1))))


@pytest.mark.parametrize("between", [1, 7, 12])
@pytest.mark.parametrize("before", [9, 30, 64, 500])
def test_both_of_the_last_two_checkpoints_are_whole_until_the_next(
    before: int, between: int, tmp_path: Path
) -> None:
    """As a killed run leaves them, as many steps later as it may be."""
    interval, kept = 12, []
    replay = Replay(40, SHAPE, 4, interval=interval)
    replay.open(tmp_path)
    for n, seed in ((before, 1), (between, 2)):
        add(n, seed, replay)
        kept.append((replay.state_dict(), content(replay)))
        assert not replay.full
    add(interval, 3, replay)
    assert replay.full
    add(module._BLOCK, 4, replay)  # to the end of the loop's step
    for state, expected in kept:
        again = Replay(40, SHAPE, 4, interval=interval)
        again.open(tmp_path)
        again.load_state_dict(state)
        assert all(a.equal(b) for a, b in zip(content(again), expected, strict=True))
        assert len(again) == min(40, state["added"])


def test_a_run_that_goes_on_is_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = Replay(40, SHAPE, 2, interval=12)
    parts = Replay(40, SHAPE, 2, interval=12)
    parts.open(tmp_path)
    for seed in range(20):
        add(9, seed, whole, parts)
        state = parts.state_dict()
        add(5, 99, parts)  # lost with the process
        parts = Replay(40, SHAPE, 2, interval=12)
        parts.open(tmp_path)
        parts.load_state_dict(state)
    assert all(a.equal(b) for a, b in zip(content(whole), content(parts), strict=True))


@pytest.mark.parametrize("damage", ["altered", "cut off", "lost"])
def test_a_damaged_file_is_one_line(damage: str, tmp_path: Path) -> None:
    replay = Replay(40, SHAPE, 2, interval=12)
    replay.open(tmp_path)
    add(30, 0, replay)
    state, path = replay.state_dict(), tmp_path / REPLAY_FILE
    if damage == "lost":
        path.unlink()
    else:
        bytes_ = bytearray(path.read_bytes())
        bytes_[100] ^= 1
        path.write_bytes(bytes_ if damage == "altered" else bytes_[:50])
    again = Replay(40, SHAPE, 2, interval=12)
    again.open(tmp_path)
    with pytest.raises(RunError, match=r"damaged or lost.*delete the folder"):
        again.load_state_dict(state)


def test_the_file_goes_when_the_run_is_over(tmp_path: Path) -> None:
    replay = Replay(40, SHAPE, 2)
    replay.remove()
    replay.open(tmp_path)
    replay.remove()
    assert not list(tmp_path.iterdir())


def test_room_is_no_more_than_all_that_will_come() -> None:
    assert Replay(1_000_000, SHAPE, 4, most=100).room == 104
    assert Replay(40, SHAPE, 4, interval=12).room == 88  # 40 + 2·(12 + 8) + 8
