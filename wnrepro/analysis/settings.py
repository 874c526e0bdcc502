"""The configs of each experiment, written down: what a run must have computed to be evidence."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from wnrepro.arms import ARMS
from wnrepro.tasks.dqn import ATARI

Setting = Mapping[str, Any]
"""A config without its seed: dotted key → value."""


def _keys(text: str) -> dict[str, Any]:
    """ "optim.lr=0.003 model.name=mlp" → dotted keys with their values."""
    pairs = (pair.split("=") for pair in text.split())
    return {key: _value(value) for key, value in pairs}


_value = functools.cache(yaml.safe_load)
"""Of eight thousand values a hundred differ."""


MNIST_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
CIFAR_RATES = (0.0003, 0.001, 0.003, 0.01)
CIFAR_SMALL_RATES = (*CIFAR_RATES, 0.03, 0.1)
FIRST_EPOCHS = 12
"""By then every curve of the paper's figure 1 has come below its upper edge."""
OPTIMISER_RATES = {
    "momentum": {"plain": 0.03, "wn": 0.01, "bn": 0.3},
    "averaged_momentum": {"plain": 0.3, "wn": 0.1, "bn": 3},
    "adadelta": {"plain": 0.001, "wn": 0.001, "bn": 0.01},
    "adam": {"plain": 0.003, "wn": 0.001, "bn": 0.001},
    "adamax": {"plain": 0.003, "wn": 0.003, "bn": 0.003},
}
"""conf/sweep/mnist_optimizers.yaml says how they were chosen."""
SELECTION_RATES = (0.001, 0.003, 0.01)
OWN_RATES = {
    "mnist": {"plain": 0.001, "wn": 0.003},
    "fashion_mnist": {"plain": 0.001, "wn": 0.001},
}
"""As in conf/sweep/own_rates.yaml, which says how they were chosen."""
_OPTIMISERS = {
    "momentum": "optim.gamma=0.9",
    "averaged_momentum": "optim.gamma=0.9",
    "adadelta": "optim.gamma=0.9 optim.eps=1.0e-8",
    "adam": "optim.beta1=0.9 optim.beta1_late=0.5 optim.beta2=0.999 optim.eps=1.0e-8",
    "adamax": "optim.beta1=0.9 optim.beta1_late=0.9 optim.beta2=0.999 optim.eps=1.0e-6",
}
_EVERYWHERE = (
    "data.held_out=0 data.train_size=null data.evaluation_size=null init.batch_size=500 "
    "schedule.name=half_time precision=float32 optim.lr=0.003 batch_size=100 "
)
_MLP = (
    "data.whiten=false model.name=mlp model.width=256 model.depth=2 model.noise_std=0.0 "
    "model.dropout=0.0 epochs=20 "
)
_CIFAR = (
    "data.name=cifar10 data.whiten=true model.name=convpool_cnn_c model.width=96 model.depth=null "
    "model.noise_std=0.15 model.dropout=0.5 epochs=200 "
)
_OTHERS = (
    "data.whiten=false model.depth=null model.noise_std=0.0 model.dropout=0.0 "
    "schedule.name=constant "
)
_DRAW = (
    f"{_OTHERS} task.name=draw task.latent=100 task.binarised=fixed task.glimpses=64 "
    "task.read=2 task.write=5 task.clip_norm=10.0 data.name=mnist data.train_size=50000 "
    "model.name=draw model.width=256 epochs=100 optim.lr=0.0003 "
)
_VAE = (
    f"{_OTHERS} task.name=vae task.latent=32 task.flow_depth=2 "
    "task.flow_width=320 task.depths=[2,2] task.log_scale=0.0 optim.lr=0.002 "
)
_VAES = {
    "mnist": f"{_VAE} task.binarised=fixed task.init_std=1.0 task.free_bits=0.0 data.name=mnist "
    "task.average=0.9998 data.train_size=50000 model.name=vae_mnist model.width=16 epochs=300 ",
    "cifar": f'{_VAE} task.binarised="no" task.init_std=0.1 task.free_bits=0.25 data.name=cifar10 '
    "task.average=0.999968 model.name=vae_cifar model.width=160 epochs=450 batch_size=16 ",
}
_PAIR = ("plain", "wn")
"""The arms of the paper's figures 3 to 5."""
DQN_GAMES = tuple(name.removeprefix("atari_") for name in ATARI)
"""Of the paper's table 2."""
_DQN = (
    f"{_OTHERS} task.name=dqn task.epoch_steps=250000 task.evaluation_steps=125000 "
    "task.frame_skip=4 task.history=4 task.life_loss_ends=true task.null_ops=30 task.sticky=0.0 "
    "task.time_limit=null task.clip_rewards=true task.discount=0.99 task.replay_size=1000000 "
    "task.learning_starts=50000 task.update_every=4 task.target_every=2500 task.epsilon_start=1.0 "
    "task.epsilon_end=0.1 task.epsilon_steps=1000000 task.evaluation_epsilon=0.05 "
    "task.init_every=10 model.name=nature_cnn model.width=512 epochs=200 batch_size=64 "
)
_MINATAR = (
    f"{_DQN} task.epoch_steps=12500 task.evaluation_steps=5000 task.frame_skip=1 task.history=1 "
    "task.life_loss_ends=false task.null_ops=0 task.sticky=0.1 task.clip_rewards=false "
    "task.replay_size=100000 task.learning_starts=5000 task.update_every=2 task.target_every=500 "
    "task.epsilon_steps=100000 model.name=minatar_cnn model.width=128 epochs=20 "
)
_DQN_RATES = {"plain": 0.0001, "wn": 0.0003}
MINATAR_RATES = {
    "breakout": {"plain": 0.003, "wn": 0.003},
    "seaquest": {"plain": 0.0001, "wn": 0.0001},
    "space_invaders": {"plain": 0.001, "wn": 0.001},
}
"""As in conf/sweep/minatar_small.yaml, chosen by the rule of minatar_rates.yaml."""
MINATAR_GRID = (0.0001, 0.0003, 0.001, 0.003)
_STARTS = {"plain": "none", "wn": "data_dependent", "bn": "none"}
"""Of the paper's DQN."""


def _setting(base: str, arm: str, changes: str, optimiser: str = "adam") -> Setting:
    """An arm with its own init; `changes` come last."""
    init = "data_dependent" if ARMS[arm].takes_init else "none"
    named = f"norm.name={arm} init.name={init} optim.name={optimiser} {_OPTIMISERS[optimiser]}"
    return _keys(f"{_EVERYWHERE} {base} {named} {changes}")


def mlp(data: str, arm: str, changes: str = "", optimiser: str = "adam") -> Setting:
    return _setting(f"{_MLP} data.name={data}", arm, changes, optimiser)


def draws(changes: str = "") -> list[Setting]:
    """Either arm from either start; without the data-dependent init, as in the paper."""
    return [
        _setting(_DRAW, arm, f"init.name=none task.start={start} {changes}")
        for arm in _PAIR
        for start in ("unit", "normal")
    ]


def vaes(data: str, changes: str = "") -> list[Setting]:
    return [_setting(_VAES[data], arm, changes, "adamax") for arm in _PAIR]


def cifar(arm: str, changes: str = "") -> Setting:
    """The paper's protocol; learning rates as in its figure 1."""
    rate = 0.0003 if arm in ("plain", "plain_frozen_scale") else 0.003
    return _setting(f"{_CIFAR} optim.lr={rate}", arm, changes)


def dqns(game: str, changes: str = "") -> list[Setting]:
    base = f"{_DQN} data.name=atari_{game}"
    return [_dqn(base, arm, rate, _STARTS[arm], changes) for arm, rate in _DQN_RATES.items()]


def minatar() -> list[Setting]:
    """Each arm at its own rate, with and without the data-dependent init."""
    return [
        _dqn(f"{_MINATAR} data.name=minatar_{game}", arm, rate, init)
        for game, own in MINATAR_RATES.items()
        for arm, rate in own.items()
        for init in ("data_dependent", "none")
    ]


def minatar_at_rates(games: Iterable[str], arms: Iterable[str]) -> list[Setting]:
    """Each arm with the paper's init at each rate of the grid."""
    return [
        _dqn(f"{_MINATAR} data.name=minatar_{game}", arm, rate, _STARTS[arm])
        for game in games
        for arm in arms
        for rate in MINATAR_GRID
    ]


def _dqn(base: str, arm: str, rate: float, init: str, changes: str = "") -> Setting:
    named = f"optim.beta1=0.5 optim.beta1_late=0.5 optim.lr={rate} init.name={init}"
    return _setting(base, arm, f"{named} {changes}", "adamax")


def nested(setting: Setting) -> dict[str, Any]:
    """The setting as it stands in a run's config, without the seed."""
    config: dict[str, Any] = {}
    for key, value in setting.items():
        *groups, last = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return config
