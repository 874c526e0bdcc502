"""The training of a DQN, as the runner sees it."""

import functools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wnrepro.nn import data_dependent_init
from wnrepro.optim import Schedule
from wnrepro.randomness import BEFORE_TRAINING, Streams, derive
from wnrepro.tasks.dqn import DQNConfig
from wnrepro.tasks.dqn.games import Game
from wnrepro.tasks.dqn.learner import Learner
from wnrepro.tasks.dqn.play import evaluate, mean_q, random_play, strip
from wnrepro.tasks.dqn.player import Player
from wnrepro.tasks.dqn.replay import GOES_ON, LAST, TERMINAL, Replay
from wnrepro.training import AfterStep, Epoch
from wnrepro.training.clock import Clock
from wnrepro.training.record import layer_norms, peak_memory_mib


def epsilon_at(task: DQNConfig, t: int) -> float:
    """ε of step t, counted from 0: 1 until learning starts, then linear, then constant."""
    if t < task.learning_starts:
        return 1.0
    share = min((t - task.learning_starts) / task.epsilon_steps, 1.0)
    return task.epsilon_start + share * (task.epsilon_end - task.epsilon_start)


@dataclass
class DQNTraining:
    """`Training`: see there. Its step is `update_every` actions and the update that follows them.

    make: a new game of this seed. states: how many of random play `mean_q` is over.
    Each evaluation plays a new game with draws of its own: it changes nothing in training.
    """

    task: DQNConfig
    make: Callable[[int], Game]
    learner: Learner
    schedule: Schedule
    streams: Streams
    batch_size: int
    states: int
    epoch: int = 0
    step: int = 0
    max_score: float | None = None

    def __post_init__(self) -> None:
        task = self.task
        self._clock = Clock(self.device)  # of the current epoch's steps
        for name in ("explore", "replay"):
            self.streams[name]  # one that is first made within an epoch would not be in its state
        self.player = self._player("game", BEFORE_TRAINING, task.life_loss_ends)
        steps = task.epoch_steps * self.schedule.epochs
        self.replay = Replay(
            task.replay_size,
            self.player.game.shape,
            task.history,
            most=steps + (steps // task.time_limit if task.time_limit else 0),
        )
        self._sums = torch.zeros(3, dtype=torch.float64)  # of the epoch: updates, scores, games
        self._losses = torch.zeros((), dtype=torch.float64, device=self.device)

    def _player(self, name: str, epoch: int, life_loss_ends: bool = False) -> Player:
        game = self.make(derive(self.streams.seed, name, epoch))
        limits = {"life_loss_ends": life_loss_ends, "time_limit": self.task.time_limit}
        return Player(game, self.task.history, **limits)

    def _generator(self, name: str, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.streams.seed, f"{name} actions", epoch))

    @property
    def device(self) -> torch.device:
        return self.learner.device

    @property
    def large_state(self) -> Replay:
        return self.replay

    @property
    def steps_per_epoch(self) -> int:
        return self.task.epoch_steps // self.task.update_every

    @property
    def acted(self) -> int:
        """Steps of the agent so far."""
        return self.epoch * self.task.epoch_steps + self.step * self.task.update_every

    def initialise(self, n: int) -> list[str]:
        """The data-dependent init on the first n states of random play."""
        model, states = self.learner.network, self._random_states(n)
        initialised = data_dependent_init(model, states.to(self.device), constant="leave")
        self.learner.synchronise()
        return initialised

    def _random_states(self, n: int) -> Tensor:
        player = self._player("random play", BEFORE_TRAINING)
        generator = self._generator("random play", BEFORE_TRAINING)
        return random_play(player, n, self.task.init_every, generator)

    @functools.cached_property
    def _held_out(self) -> Tensor:
        return self._random_states(self.states)

    def epochs(self, after_step: AfterStep | None = None) -> Iterator[Epoch]:
        while self.epoch < self.schedule.epochs:
            epoch = self._train_epoch(after_step)
            yield epoch
            if epoch.diverged:
                return

    def _train_epoch(self, after_step: AfterStep | None) -> Epoch:
        learning_rate = self.schedule.set_in(self.learner.optimizer, self.epoch)
        if self.step == 0:
            self.streams.start_epoch(self.epoch)
            self._sums.zero_()
            self._losses.zero_()
            self._clock.seconds = 0.0
        self._clock.start()
        try:
            while self.step < self.steps_per_epoch:
                self.train_step()
                self.step += 1
                if after_step is not None and self.step < self.steps_per_epoch:
                    after_step()
        finally:
            self._clock.stop()
        seconds, begun = self._clock.seconds, time.perf_counter()
        updates, scores, games = self._sums.tolist()
        loss = self._losses.item() / (updates * self.batch_size) if updates else None
        layers = layer_norms(self.learner.network)
        self.epoch, self.step = self.epoch + 1, 0
        evaluation = self.evaluate()
        return Epoch(
            epoch=self.epoch,
            metrics={
                "learning_rate": learning_rate,
                "train_loss": loss,
                "train_score": scores / games if games else None,
                "train_episodes": int(games),
                **evaluation,
            },
            layers=layers,
            timing={
                "train_time_sec": seconds,
                "evaluation_time_sec": time.perf_counter() - begun,
                "frames_per_sec": self.task.epoch_steps * self.task.frame_skip / seconds,
                "updates_per_sec": updates / seconds,
                "peak_memory_mib": peak_memory_mib(self.device),
            },
            diverged=loss is not None and not math.isfinite(loss),
        )

    def evaluate(self) -> dict[str, float | None]:
        """In games that are an epoch's own: of the one under way, else of the last."""
        epoch = self.epoch if self.step else self.epoch - 1  # counted from 0
        score, games = evaluate(
            *(self._player("evaluation", epoch), self.learner),
            *(self.task.evaluation_steps, self.task.evaluation_epsilon),
            self._generator("evaluation", epoch),
        )
        self.max_score = score if self.max_score is None else max(score, self.max_score)
        return {
            "test_score": score,
            "test_max_score": self.max_score,
            "test_episodes": games,
            "test_mean_q": mean_q(self.learner, self._held_out),
        }

    def train_step(self) -> None:
        """Act `update_every` times, and learn once; counts neither itself nor its time."""
        task, t, explore = self.task, self.acted, self.streams["explore"]
        n = task.update_every
        chances = torch.rand(n, generator=explore).tolist()
        actions = torch.randint(self.player.game.actions, (n,), generator=explore).tolist()
        learns = t + n > task.learning_starts
        with self.learner.constant():
            if learns:
                self.learner.weights()  # once for the actions and the update
            for k in range(n):
                greedy = chances[k] >= epsilon_at(task, t + k)
                self._act(self.learner.best(self.player.state) if greedy else actions[k])
            if learns:
                chosen = self.replay.drawn(self.batch_size, self.streams["replay"])
                self._losses += self.learner.update(self.replay.batch(chosen))
                self._sums[0] += 1

    def _act(self, action: int) -> None:
        step = self.player.step(action)
        reward = float(np.sign(step.reward)) if self.task.clip_rewards else step.reward
        end = TERMINAL if step.terminal else GOES_ON
        self.replay.add(step.picture, action, reward, end)
        if step.last is not None:
            self.replay.add(step.last, 0, 0.0, LAST)
        if step.score is not None:
            self._sums[1] += step.score
            self._sums[2] += 1

    def pictures(self) -> dict[str, Tensor]:
        """`game`: what the agent makes of one."""
        player = self._player("picture", self.schedule.epochs)
        generator = self._generator("picture", self.schedule.epochs)
        return {"game": strip(player, self.learner, self.task.evaluation_epsilon, generator)}

    def paused(self) -> AbstractContextManager[None]:
        return self._clock.paused()

    def state_dict(self) -> dict[str, Any]:
        """With the replay in its file: see `Replay.open`."""
        return {
            "learner": self.learner.state_dict(),
            "player": self.player.state_dict(),
            "replay": self.replay.state_dict(),
            "streams": self.streams.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "max_score": self.max_score,
            "sums": self._sums.clone(),
            "losses": self._losses.clone(),
            "train_time_sec": self._clock.seconds,
        }

    def load_trained(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.max_score = state["max_score"]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.load_trained(state)
        self.player.load_state_dict(state["player"])
        self.replay.load_state_dict(state["replay"])
        self.streams.load_state_dict(state["streams"])
        self._sums.copy_(state["sums"])
        self._losses.copy_(state["losses"])
        self._clock.seconds = state["train_time_sec"]
