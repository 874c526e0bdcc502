"""Games against their packages, and against gymnasium's wrapper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ale_py
import cv2
import gymnasium
import minatar
import numpy as np
import pytest
import torch
from gymnasium.wrappers import AtariPreprocessing

from wnrepro.config import Config
from wnrepro.errors import RunError
from wnrepro.runs import checkpoint
from wnrepro.tasks.dqn import ATARI, GAMES, MINATAR, games
from wnrepro.tasks.dqn.atari import Atari
from wnrepro.tasks.dqn.games import Game, make
from wnrepro.train import train

OPTIONS = {
    "atari": {"frame_skip": 4, "null_ops": 30, "sticky": 0.0},
    "minatar": {"frame_skip": 1, "null_ops": 0, "sticky": 0.1},
}


def game_of(name: str, seed: int = 0) -> Game:
    return make(name, seed, **OPTIONS[name.partition("_")[0]])


@pytest.mark.parametrize("name", ["breakout", "space_invaders"])
def test_pictures_and_rewards_are_those_of_gymnasiums_wrapper(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which scales by areas: here bilinearly, as deep_q_rl does."""
    monkeypatch.setattr(cv2, "INTER_AREA", cv2.INTER_LINEAR)
    gymnasium.register_envs(ale_py)
    title = name.title().replace("_", "")
    inner: Any = gymnasium.make(f"ALE/{title}-v5", frameskip=1, repeat_action_probability=0.0)
    theirs: Any = AtariPreprocessing(inner, noop_max=0)
    ours = Atari(name, 0, frame_skip=4, null_ops=0, sticky=0.0)
    assert ours.actions == theirs.action_space.n
    draw, rewards = np.random.RandomState(1), 0.0
    theirs.reset(seed=0)
    ours._ale.restoreState(inner.unwrapped.ale.cloneState(include_rng=True))
    for _ in range(150):
        action = int(draw.randint(ours.actions))
        expected, reward, over, _, _ = theirs.step(action)
        picture, own_reward, own_over = ours.act(action)
        assert (own_reward, own_over) == (reward, over)
        assert ours.lives == inner.unwrapped.ale.lives()
        if over:
            break
        assert (picture[0] == expected).all()
        rewards += own_reward
    assert rewards > 0
    theirs.close()


def test_a_game_begins_with_0_to_30_frames_without_an_action() -> None:
    game = Atari("breakout", 3, frame_skip=4, null_ops=3, sticky=0.0)
    begun = []
    for _ in range(25):
        game.reset()
        begun.append(game._ale.getEpisodeFrameNumber())
    assert set(np.array(begun) - min(begun)) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["breakout", "space_invaders"])
def test_minatar_is_the_package_itself(name: str) -> None:
    theirs = minatar.Environment(name, sticky_action_prob=0.1)
    theirs.seed(5)
    theirs.reset()
    ours = game_of(f"minatar_{name}", 5)
    picture, draw = ours.reset(), np.random.RandomState(2)
    for _ in range(200):
        assert (picture == theirs.state().transpose(2, 0, 1)).all()
        action = int(draw.randint(ours.actions))
        picture, *ours_then = ours.act(action)
        assert ours_then == list(theirs.act(theirs.minimal_action_set()[action]))
        if ours_then[1]:
            theirs.last_action = 0
            theirs.reset()
            picture = ours.reset()


def played(game: Game, steps: int, seed: int) -> list[np.ndarray]:
    draw, seen = np.random.RandomState(seed), []
    for _ in range(steps):
        picture, reward, over = game.act(int(draw.randint(game.actions)))
        seen.append(np.append(picture.ravel(), [reward, over, game.lives]))
        if over:
            seen.append(game.reset().ravel())
    return seen


@pytest.mark.parametrize("name", [*MINATAR, ATARI[0], ATARI[3]])
def test_a_game_goes_on_from_its_state(name: str, tmp_path: Path) -> None:
    steps = 700 if name in MINATAR else 100
    game, other = game_of(name), game_of(name, 1)
    other.reset()
    game.reset()
    played(game, steps, 0)
    checkpoint.save(tmp_path / "state.pt", game.state_dict())
    expected = played(game, steps, 1)
    other.load_state_dict(checkpoint.load(tmp_path / "state.pt"))
    found = played(other, steps, 1)
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", [MINATAR[0], ATARI[0]])
def test_a_game_is_a_function_of_its_seed(name: str) -> None:
    one, same, other = (game_of(name, seed) for seed in (4, 4, 5))
    firsts = [game.reset() for game in (one, same, other)]
    assert (firsts[0] == firsts[1]).all()
    runs = [played(game, 60, 0) for game in (one, same, other)]
    assert all((a == b).all() for a, b in zip(runs[0], runs[1], strict=True))
    assert len(runs[0]) != len(runs[2]) or any(
        (a != b).any() for a, b in zip(runs[0], runs[2], strict=True)
    )


@pytest.mark.parametrize("name", GAMES)
def test_a_picture_has_its_shape_and_a_screen_can_be_looked_at(name: str) -> None:
    game = game_of(name)
    picture, screen = game.reset(), game.screen()
    assert (picture.shape, picture.dtype) == (game.shape, np.uint8)
    assert 0 < (picture * game.scale).max() <= 1
    assert screen.shape[2] == 3
    assert screen.max() > 0


def test_a_missing_package_is_one_line_before_any_work(
    compose: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(games, "find_spec", lambda name: None)
    for name, lacking in (("minatar_breakout", "minatar"), ("dqn_breakout", "ale_py and cv2")):
        config = compose(f"+exp={name}_wn", f"runs.root={tmp_path}/runs", "tracker=none")
        with pytest.raises(RunError, match=f"needs {lacking}: install.*--extra rl") as refused:
            train(config)
        assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_sticky_actions_are_off_or_on() -> None:
    off = [make("atari_breakout", seed, frame_skip=4, null_ops=0, sticky=0.0) for seed in (1, 2)]
    on = [make("atari_breakout", seed, frame_skip=4, null_ops=0, sticky=0.5) for seed in (1, 2)]
    for pair, alike in ((off, True), (on, False)):
        for game in pair:
            game.reset()
        runs = [torch.tensor(np.array(played(game, 30, 0))) for game in pair]
        assert runs[0].equal(runs[1]) == alike
