"""The agent against independent values: Q*, one update by hand, targets, ε, evaluation."""

import contextlib
import copy
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from wnrepro.optim import Adamax, Schedule
from wnrepro.randomness import Streams
from wnrepro.runs.checkpoint import checksum
from wnrepro.tasks.dqn import DQNConfig
from wnrepro.tasks.dqn.learner import Learner
from wnrepro.tasks.dqn.network import QNetwork
from wnrepro.tasks.dqn.player import Player
from wnrepro.tasks.dqn.replay import Batch
from wnrepro.tasks.dqn.training import DQNTraining, epsilon_at


class Chain:
    """A `Game` of places in a row. Action 1 goes right, 0 left; beyond the last place the game is
    over, with reward 1; each arrival at place 0 has reward 0.2. A picture is one-hot in channels.

    lives: one is lost at each arrival at place 0, if there are any.
    """

    actions, scale = 2, 1.0

    def __init__(self, places: int = 4, lives: int = 0) -> None:
        self.places, self._lives = places, lives
        self.shape = (places, 3, 3)

    def reset(self) -> np.ndarray:
        self.place, self.lives = 1, self._lives
        return self.picture(1)

    def picture(self, place: int) -> np.ndarray:
        picture = np.zeros(self.shape, np.uint8)
        picture[place] = 1
        return picture

    def act(self, action: int) -> tuple[np.ndarray, float, bool]:
        if action and self.place == self.places - 1:
            return self.picture(self.place), 1.0, True
        self.place = self.place + 1 if action else max(self.place - 1, 0)
        at_start = self.place == 0
        self.lives -= at_start and self.lives > 0
        return self.picture(self.place), 0.2 * at_start, False

    def screen(self) -> np.ndarray:
        return np.full((4, 4, 3), 255 * self.place // self.places, np.uint8)

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place, "lives": self.lives}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place, self.lives = state["place"], state["lives"]


def optimal(places: int, discount: float) -> np.ndarray:
    """Q* of the chain, by value iteration: (places, 2)."""
    q = np.zeros((places, 2))
    for _ in range(2000):
        value = q.max(1)
        for place in range(places):
            left = max(place - 1, 0)
            q[place, 0] = 0.2 * (left == 0) + discount * value[left]
            over = place == places - 1
            q[place, 1] = 1.0 if over else discount * value[place + 1]
    return q


def network_of(arm: str = "wn", channels: int = 4, width: int = 8, seed: int = 0) -> QNetwork:
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, 3, 3)
    options = {"width": width, "scale": 1.0, "generator": generator}
    return QNetwork("minatar_cnn", arm, shape, 2, **options).double()


def training_of(arm: str = "wn", epochs: int = 1, lives: int = 0, **task: Any) -> DQNTraining:
    sizes = {"epoch_steps": 200, "evaluation_steps": 50, "replay_size": 500, "history": 1}
    rest = {"learning_starts": 20, "update_every": 1, "target_every": 20, "init_every": 1}
    config = DQNConfig("dqn", **{**sizes, **rest, "clip_rewards": False, **task})
    network = network_of(arm, 4 * config.history)
    learner = Learner(
        *(network, Adamax(network.parameters(), 0.003, betas=(0.5, 0.999))),
        discount=config.discount,
        target_every=config.target_every,
    )
    schedule = Schedule(epochs, 0.003, 0.5, 0.5)
    game = lambda seed: Chain(lives=lives)  # noqa: E731
    return DQNTraining(config, game, learner, schedule, Streams(3), 16, states=30)


@pytest.mark.parametrize("arm", ["plain", "wn"])
def test_the_q_of_a_chain_is_learnt_to_a_hundredth(arm: str) -> None:
    training = training_of(
        arm, epochs=10, discount=0.8, epsilon_end=1.0, evaluation_steps=1, epsilon_steps=1
    )
    if arm == "wn":
        training.initialise(30)
    *_, last = training.epochs()
    states = torch.stack([torch.from_numpy(Chain().picture(k)) for k in range(4)])
    found = training.learner.network(states).detach().numpy()
    assert found == pytest.approx(optimal(4, 0.8), rel=0.01)
    assert last.metrics["train_loss"] < 1e-3


def batch_of(n: int = 6, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    states, following = torch.randint(2, (2, n, 4, 3, 3), generator=draw, dtype=torch.uint8)
    actions = torch.randint(2, (n,), generator=draw)
    rewards = 3 * torch.randn(n, generator=draw)
    return Batch(states, actions, rewards, following, torch.tensor([0.0, 1.0, 0, 0, 1, 0]))


def by_hand(p: dict[str, Tensor], arm: str, x: Tensor) -> Tensor:
    """Q of the network, in plain tensors: a convolution as a product with unfolded pictures."""

    def w(name: str) -> Tensor:
        if arm == "plain":
            return p[f"{name}.linear.weight"].flatten(1)
        v = p[f"{name}.linear.v"].flatten(1)
        return p[f"{name}.linear.g"].unsqueeze(1) * v / v.square().sum(1, keepdim=True).sqrt()

    b = {name: p[f"{name}.linear.bias"] for name in ("conv1", "dense", "q")}
    h = (x.double().flatten(1) @ w("conv1").T + b["conv1"]).clamp(min=0)  # 3×3 pictures: one place
    h = (h @ w("dense").T + b["dense"]).clamp(min=0)
    return h @ w("q").T + b["q"]


@pytest.mark.parametrize("arm", ["plain", "wn"])
def test_updates_are_those_of_plain_tensors(arm: str) -> None:
    network = network_of(arm)
    optimizer = Adamax(network.parameters(), 0.01, betas=(0.5, 0.999))
    learner = Learner(network, optimizer, discount=0.9, target_every=2)
    p = {k: v.detach().clone().requires_grad_() for k, v in network.named_parameters()}
    target = {k: v.detach().clone() for k, v in p.items()}
    m = {k: torch.zeros_like(v) for k, v in p.items()}
    u = {k: torch.zeros_like(v) for k, v in p.items()}
    for step in range(1, 6):
        batch = batch_of(seed=step)
        loss = learner.update(batch)
        best = by_hand(target, arm, batch.next_states).max(1).values
        y = batch.rewards.double() + 0.9 * (1 - batch.terminal.double()) * best
        q = by_hand(p, arm, batch.states)
        error = q[torch.arange(6), batch.actions] - y
        large = error.abs() > 1
        expected = torch.where(large, error.abs() - 0.5, error.square() / 2).sum()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        gradients = torch.autograd.grad(expected, list(p.values()))
        with torch.no_grad():
            for (name, value), gradient in zip(p.items(), gradients, strict=True):
                m[name] = 0.5 * m[name] + 0.5 * gradient
                u[name] = torch.maximum(0.999 * u[name], gradient.abs())
                value -= 0.01 * m[name] / (u[name] + 1e-6)
        if step % 2 == 0:
            target = {k: v.detach().clone() for k, v in p.items()}
    for name, value in network.named_parameters():
        torch.testing.assert_close(value, p[name], rtol=1e-9, atol=1e-12)


def test_both_arms_start_as_one_function() -> None:
    states = batch_of().states
    plain, wn = (network_of(arm)(states) for arm in ("plain", "wn"))
    torch.testing.assert_close(plain, wn, rtol=1e-5, atol=1e-6)  # g was drawn in float32
    weight = cast(Tensor, network_of("plain", width=400).dense.linear.weight)
    assert weight.abs().max().item() == pytest.approx((6 / 16) ** 0.5, rel=0.01)  # He, uniform


@pytest.mark.parametrize("arm", ["plain", "wn", "bn"])
def test_the_target_network_is_the_network_at_each_synchronisation_and_constant_between(
    arm: str,
) -> None:
    network = network_of(arm)
    optimizer = Adamax(network.parameters(), 0.01)
    learner = Learner(network, optimizer, discount=0.9, target_every=3)
    states = batch_of(seed=9).states
    kept = learner.target(states)
    assert kept.equal(network(states))
    for update in range(1, 8):
        learner.update(batch_of(seed=update))
        if update % 3 == 0:
            kept = learner.target(states)
            assert kept.equal(network(states))
        else:
            assert learner.target(states).equal(kept)
            assert not kept.equal(network(states))


def test_epsilon_at_its_corners() -> None:
    task = DQNConfig(learning_starts=50, epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=100)
    ts = (0, 49, 50, 100, 149, 150, 151, 10**9)
    expected = (1.0, 1.0, 0.9, 0.5, 0.108, 0.1, 0.1, 0.1)
    assert [epsilon_at(task, t) for t in ts] == pytest.approx(expected)


def test_a_game_cut_off_by_time_goes_on_in_its_target_and_one_that_is_over_does_not() -> None:
    training = training_of(time_limit=3)
    for action in (0, 1, 1, 1, 1, 1):  # 0 1 2 cut; 2 3 over
        training._act(action)
    batch = training.replay.batch(np.array([0, 1, 2, 4, 5, 6]))
    assert batch.terminal.tolist() == [0, 0, 0, 0, 0, 1]
    places = batch.next_states.flatten(2).amax(2).argmax(1).tolist()
    assert places[:5] == [0, 1, 2, 2, 3]
    assert batch.states.flatten(2).amax(2).argmax(1).tolist() == [1, 0, 1, 1, 2, 3]
    assert training.replay.added == 7
    assert 3 not in training.replay.drawn(300, torch.Generator())  # what followed the cut


@pytest.mark.parametrize("ends", [True, False])
def test_the_loss_of_a_life_ends_an_episode_and_not_the_game(ends: bool) -> None:
    player = Player(Chain(lives=2), 2, life_loss_ends=ends, time_limit=None)
    step = player.step(0)
    assert (step.terminal, step.score) == (ends, None)
    assert (player.game.lives, player.score) == (1, 0.2)
    before = player.state[:4]
    assert before.any() != ends  # of the episode that ended nothing is left in the state
    assert player.state[4].all()


def test_rewards_are_clipped_where_it_learns_and_not_in_the_score() -> None:
    training = training_of(clip_rewards=True)
    for action in (0, 1, 1, 1, 1):
        training._act(action)
    assert training.replay.batch(np.arange(5)).rewards.tolist() == [1, 0, 0, 0, 1]
    assert training._sums.tolist() == [0, 1.2, 1]


def test_evaluation_changes_nothing_in_training() -> None:
    training = training_of()
    for _ in range(40):
        training.train_step()
        training.step += 1
    before = copy.deepcopy(training.state_dict())
    training.evaluate()
    training.pictures()
    after = training.state_dict()
    assert after.pop("max_score") > 0 == (before.pop("max_score") or 0)
    assert checksum(before) == checksum(after)


def test_weights_kept_while_acting_are_never_old() -> None:
    training = training_of()
    for _ in range(60):
        training.train_step()
        training.step += 1
        state = training.player.state
        with training.learner.constant():
            best = training.learner.best(state)
        assert best == int(training.learner.network(state[None]).argmax())


def test_a_step_computes_each_weight_once_and_learns_as_with_new_ones(computed: list[int]) -> None:
    kept, new = training_of(update_every=2), training_of(update_every=2)
    new.learner.constant = contextlib.nullcontext  # type: ignore[method-assign]
    layers = {id(layer.linear) for layer in kept.learner._layers}
    times = []
    for step in range(60):
        computed.clear()
        kept.train_step()
        own = [each for each in computed if each in layers]
        assert len(own) == len(set(own)), step
        times.append(len(own))
        new.train_step()
        kept.step = new.step = step + 1
    assert set(times) == {0, 3}
    assert checksum(kept.state_dict()) == checksum(new.state_dict())


def test_the_init_takes_its_statistics_from_random_play() -> None:
    training = training_of("wn")
    states = training._random_states(30)
    training.initialise(30)
    q = training.learner.network(states)
    torch.testing.assert_close(q.mean(0), torch.zeros(2).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(q.var(0, correction=0), torch.ones(2).double())
    assert training.learner.target(states).equal(q)


def test_an_epoch_says_what_there_was() -> None:
    first, second = training_of(epochs=2, learning_starts=200).epochs()
    assert first.metrics["train_loss"] is None
    assert first.timing["updates_per_sec"] == 0
    assert second.metrics["train_loss"] > 0
    for epoch in (first, second):
        assert list(epoch.metrics) == [
            *("learning_rate", "train_loss", "train_score", "train_episodes"),
            *("test_score", "test_max_score", "test_episodes", "test_mean_q"),
        ]
        assert epoch.timing["frames_per_sec"] > 0
        assert set(epoch.layers) == {"conv1", "dense", "q"}
    scores = [each.metrics["test_score"] for each in (first, second)]
    assert second.metrics["test_max_score"] == max(scores)
