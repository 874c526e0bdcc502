"""DQN: updates a second beside those of the usual loop, weight norm beside plain, a checkpoint.

The usual loop is that of single-file implementations: a replay of NumPy arrays in a dictionary,
states and next states of their own; a state goes to the network at each step, a batch at each
update; torch's weight norm and Adamax. Both play the same games, greedily in nine steps of ten.
"""

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from wnrepro.benchmarks import usual
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import LEARNING_RATE, Sizes, of_task
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import compare, seconds, threads
from wnrepro.config import AdamConfig
from wnrepro.runs import checkpoint
from wnrepro.tasks.dqn import DQNConfig
from wnrepro.tasks.dqn.training import DQNTraining

AS_USUAL = Goal(1.5, at_least=True)
AS_PLAIN = Goal(1.1)
OF_TRAINING = Goal(0.01)

_ADAMAX = AdamConfig("adamax", LEARNING_RATE, 0.5, 0.5, 0.999, eps=1e-6)
_ATARI = DQNConfig("dqn", epsilon_start=0.1)
_MINATAR = replace(
    _ATARI,
    epoch_steps=12_500,
    frame_skip=1,
    history=1,
    life_loss_ends=False,
    null_ops=0,
    sticky=0.1,
    clip_rewards=False,
    update_every=2,
    target_every=500,
)


def dqn(setting: Setting) -> Iterator[Measurement]:
    games = {
        "MinAtar's Breakout": Sizes(
            _MINATAR, "minatar_cnn", "minatar_breakout", setting.pick(128, 4), 64
        ),
        "Atari's Breakout": Sizes(_ATARI, "nature_cnn", "atari_breakout", setting.pick(512, 4), 64),
    }
    with threads(None if setting.gpu else 1):
        for name, sizes in games.items():
            wn, plain = (of_task(setting, arm, sizes, _ADAMAX).training for arm in ("wn", "plain"))
            theirs = UsualLoop(wn)
            _check_same(wn, theirs)
            ours, others, by_plain = compare(
                setting, wn.train_step, theirs.step, plain.train_step, repeats=15
            )
            yield Measurement(
                f"{name}: updates beside the usual loop", "1/s", 1 / ours, 1 / others, AS_USUAL
            )
            yield Measurement(
                f"{name}: update with its actions, wn beside plain",
                *("ms", 1e3 * ours, 1e3 * by_plain, AS_PLAIN),
            )
            yield _checkpoint(setting, name, wn, float(np.median(ours)))


class UsualLoop:
    """The same network, game, steps and sizes as of `ours`."""

    def __init__(self, ours: DQNTraining) -> None:
        self.task, self.batch_size, self.device = ours.task, ours.batch_size, ours.device
        self.scale = ours.learner.network.scale
        self.network = usual.network(ours.learner.network).to(self.device)
        self.target = copy.deepcopy(self.network)
        self.optimizer = torch.optim.Adamax(self.network.parameters(), LEARNING_RATE, (0.5, 0.999))
        self.game = ours.make(1)
        self.state = self._begin()
        shape = (self.task.replay_size, *self.state.shape)
        self.replay = {
            "states": np.zeros(shape, np.uint8),
            "next_states": np.zeros(shape, np.uint8),
            "actions": np.zeros(shape[0], np.int64),
            "rewards": np.zeros(shape[0], np.float32),
            "terminal": np.zeros(shape[0], np.float32),
        }
        self.random = np.random.default_rng(0)
        self.added = self.updates = 0
        while self.added < ours.task.learning_starts:
            self._act(int(self.random.integers(self.game.actions)))

    def q(self, network: nn.Module, states: Tensor) -> Tensor:
        return network(states.float() * self.scale)

    def step(self) -> None:
        """Act as often as ours, and learn once."""
        for _ in range(self.task.update_every):
            if self.random.random() < self.task.epsilon_start:
                self._act(int(self.random.integers(self.game.actions)))
            else:
                with torch.no_grad():
                    state = torch.tensor(self.state[None], device=self.device)
                    self._act(int(self.q(self.network, state).argmax(1).cpu().numpy()[0]))
        chosen = self.random.integers(min(self.added, self.task.replay_size), size=self.batch_size)
        batch = {
            name: torch.tensor(values[chosen], device=self.device)
            for name, values in self.replay.items()
        }
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        if self.updates % self.task.target_every == 0:
            self.target.load_state_dict(self.network.state_dict())

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            best, _ = self.q(self.target, batch["next_states"]).max(1)
            targets = batch["rewards"] + self.task.discount * best * (1 - batch["terminal"])
        q = self.q(self.network, batch["states"]).gather(1, batch["actions"][:, None]).squeeze(1)
        return F.huber_loss(q, targets, reduction="sum")

    def _begin(self) -> np.ndarray:
        picture = self.game.reset()
        return np.concatenate([np.zeros_like(picture)] * (self.task.history - 1) + [picture])

    def _act(self, action: int) -> None:
        picture, reward, over = self.game.act(action)
        following = np.concatenate([self.state[len(picture) :], picture])
        place = self.added % self.task.replay_size
        step = (self.state, following, action, reward, over)
        for values, value in zip(self.replay.values(), step, strict=True):
            values[place] = value
        self.added += 1
        self.state = self._begin() if over else following


@torch.no_grad()
def _check_same(ours: DQNTraining, theirs: UsualLoop) -> None:
    """The same Q of the same states."""
    states = ours.replay.batch(ours.replay.drawn(8, torch.Generator().manual_seed(0))).states
    states = states.to(ours.device)
    q = ours.learner.network(states)
    assert_close(theirs.q(theirs.network, states), q, rtol=1e-4, atol=1e-5)


def _checkpoint(setting: Setting, name: str, training: DQNTraining, step_sec: float) -> Measurement:
    """All of it, new pictures flushed to the disk, beside the training since the one before."""
    with tempfile.TemporaryDirectory() as folder:
        training.replay.open(Path(folder))
        path = Path(folder) / checkpoint.CHECKPOINT_FILE
        picture = training.player.game.reset()
        steps = setting.pick(min(training.task.epoch_steps, training.replay.interval), 10)

        def save() -> None:
            checkpoint.save(path, {"training": training.state_dict()})

        taken = []
        for _ in range(setting.pick(4, 2)):
            for _ in range(steps):
                training.replay.add(picture, 0, 0.0)
            taken.append(seconds(save, training.device))
        size = path.stat().st_size
    since = [steps / training.task.update_every * step_sec] * len(taken)
    note = f"{size / 1e6:.1f} MB, and {steps * picture.size / 1e6:.1f} MB of pictures"
    what = f"{name}: a checkpoint beside the {steps:,} steps since the last"
    return Measurement(what, "s", taken, since, OF_TRAINING, note)
