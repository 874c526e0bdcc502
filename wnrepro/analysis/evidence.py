"""Which runs belong to which experiment: conditions on the config.

A run is evidence for what its config says, whichever command trained it: 20 of the runs of
`mnist_init_ablation` are those of `mnist_arms`. A condition is a list of whole configs without the
seed, so a run with another width, precision or number of images is never taken for one of these.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from wnrepro.analysis.records import Records, finished, setting_identity
from wnrepro.analysis.settings import (
    CIFAR_RATES,
    CIFAR_SMALL_RATES,
    DQN_GAMES,
    FIRST_EPOCHS,
    MINATAR_RATES,
    MNIST_RATES,
    OPTIMISER_RATES,
    OWN_RATES,
    SELECTION_RATES,
    Setting,
    cifar,
    dqns,
    draws,
    minatar,
    minatar_at_rates,
    mlp,
    nested,
    vaes,
)
from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.tasks import Task, task_of


@dataclass(frozen=True)
class Evidence:
    """One experiment.

    title: what captions call it. settings: the configs whose runs belong to it. seeds: so many are
    in the sweep file, from first_seed. overrides: of the sweep that trains the settings.
    more_seeds: whether further ones count; not where single settings of a grid would then have more
    than others. beyond: another experiment, which trains some of its runs; with those alone it has
    not begun.
    """

    name: str
    title: str
    settings: tuple[Setting, ...]
    n_seeds: int
    overrides: tuple[str, ...]
    more_seeds: bool = True
    first_seed: int = 0
    beyond: str | None = None

    @property
    def seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.n_seeds)

    @property
    def command(self) -> str:
        """Trains what is missing."""
        return f"python -m wnrepro.train -m {' '.join(self.overrides)}"

    def with_seeds(self, seeds: Iterable[int]) -> str:
        """The same command for these seeds."""
        kept = [each for each in self.overrides if not each.startswith("seed=")]
        return replace(self, overrides=(*kept, f"seed={','.join(map(str, seeds))}")).command

    @property
    def task(self) -> Task:
        return task_of(nested(self.settings[0]))

    def admits(self, config: Mapping[str, Any]) -> bool:
        """Whether a run with this (nested) config belongs to it."""
        return self.counts(setting_identity(config), config["seed"])

    def counts(self, setting: str, seed: int) -> bool:
        """The same, by the identity of the setting."""
        return setting in self._keys and (self.more_seeds or seed in self.seeds)

    def have(self, runs: pd.DataFrame, unfinished: bool = False) -> int:
        """How many planned runs are among `runs`; those in progress count only if `unfinished`."""
        known = runs if unfinished else finished(runs)
        planned = known["setting"].isin(self._keys) & known["seed"].isin(self.seeds)
        return int(planned.sum())

    @property
    def planned(self) -> int:
        """How many runs the sweep file has."""
        return len(self.settings) * len(self.seeds)

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(setting_identity(nested(setting)) for setting in self.settings)


def _evidence(
    name: str, title: str, settings: list[Setting], n_seeds: int, *overrides: str, **options: Any
) -> Evidence:
    """overrides: where there is no sweep file of that name."""
    return Evidence(
        name, title, tuple(settings), n_seeds, overrides or (f"+sweep={name}",), **options
    )


def _own_rates(data: str, title: str) -> Iterator[Evidence]:
    """The runs that give plain and wn each a learning rate, and those that compare them there."""
    rates = OWN_RATES[data]
    yield _evidence(
        f"{data}_lr_selection",
        f"{title}, MLP 2 × 256, 10,000 training images held out",
        [
            mlp(data, arm, f"optim.lr={rate} data.held_out=10000")
            for arm in rates
            for rate in SELECTION_RATES
        ],
        3,
        more_seeds=False,
    )
    yield _evidence(
        f"{data}_own_rates",
        f"{title}, MLP 2 × 256, plain and wn each at its own learning rate",
        [mlp(data, arm, f"optim.lr={rate}") for arm, rate in rates.items()],
        5,
        *("+sweep=own_rates", f"+exp={data}_plain,{data}_wn"),
        more_seeds=False,
    )


def _precisions(
    name: str, title: str, settings: list[Setting], n_seeds: int, *overrides: str
) -> tuple[Evidence, Evidence]:
    """In bf16 and in float32: another arithmetic is another experiment, never pooled."""
    narrow = [{**setting, "precision": "bf16"} for setting in settings]
    return (
        _evidence(f"{name}_bf16", f"{title}, bf16", narrow, n_seeds, *overrides, "precision=bf16"),
        _evidence(name, f"{title}, float32", settings, n_seeds, *overrides),
    )


EVIDENCE: dict[str, Evidence] = {
    each.name: each
    for each in (
        *_precisions(
            "cifar_table1",
            "CIFAR-10, the paper's protocol",
            [cifar(arm) for arm in PAPER_ARMS],
            3,
            "+sweep=cifar_table1",
        ),
        *_precisions(
            "cifar_frozen_scale",
            "CIFAR-10, the released code's plain network",
            [cifar("plain_frozen_scale")],
            3,
            *("+exp=cifar_plain", "norm=plain_frozen_scale", "seed=0,1,2"),
        ),
        *_precisions(
            "cifar_lr_selection",
            "CIFAR-10, 5,000 training images held out",
            [
                cifar(arm, f"optim.lr={rate} data.held_out=5000")
                for arm in PAPER_ARMS
                for rate in CIFAR_RATES
            ],
            1,
            "+sweep=cifar_lr_selection",
        ),
        _evidence(
            "cifar_first_epochs",
            f"CIFAR-10, the paper's protocol, the first {FIRST_EPOCHS} of its 200 epochs",
            [cifar(arm, f"schedule.name=constant epochs={FIRST_EPOCHS}") for arm in PAPER_ARMS],
            1,
            # The float32 anchor of the runs in bf16; those need no sweep of their own for it.
            *(
                "+sweep=cifar_table1",
                "schedule=constant",
                f"epochs={FIRST_EPOCHS}",
                "seed=0",
            ),
        ),
        _evidence(
            "cifar_small",
            "CIFAR-10 at reduced width 24 (the paper's: 96), 10 epochs; not table 1",
            [cifar(arm, "model.width=24 epochs=10") for arm in PAPER_ARMS],
            5,
        ),
        # Is it the arm or its learning rate? All but plain's runs are those of cifar_small.
        _evidence(
            "cifar_small_one_rate",
            "CIFAR-10 at reduced width 24 (the paper's: 96), 10 epochs, one learning rate, 0.003; "
            "not table 1",
            [cifar(arm, "model.width=24 epochs=10 optim.lr=0.003") for arm in PAPER_ARMS],
            5,
            *("+sweep=cifar_small", "optim.lr=0.003"),
        ),
        _evidence(
            "cifar_small_rates",
            "CIFAR-10, width 24 (the paper's: 96), 10 epochs, 5,000 training images held out",
            [
                cifar(arm, f"model.width=24 epochs=10 data.held_out=5000 optim.lr={rate}")
                for arm in PAPER_ARMS
                for rate in CIFAR_SMALL_RATES
            ],
            3,
            more_seeds=False,
        ),
        _evidence(
            "mnist_arms",
            "MNIST, MLP 2 × 256",
            [mlp("mnist", arm) for arm in PAPER_ARMS],
            5,
        ),
        _evidence(
            "fashion_mnist_arms",
            "Fashion-MNIST, MLP 2 × 256",
            [mlp("fashion_mnist", arm) for arm in PAPER_ARMS],
            5,
        ),
        _evidence(
            "digits_arms",
            "scikit-learn's digits, MLP 2 × 256",
            [mlp("digits", arm, "epochs=30 batch_size=50") for arm in PAPER_ARMS],
            5,
        ),
        _evidence(
            "mnist_init_ablation",
            "MNIST, MLP 2 × 256, with and without the data-dependent init",
            [
                mlp("mnist", arm, f"init.name={init}")
                for arm in ARMS
                if ARMS[arm].takes_init
                for init in ("data_dependent", "none")
            ],
            5,
        ),
        _evidence(
            "mnist_lr_robustness",
            "MNIST, MLP 2 × 256, 13 learning rates",
            [mlp("mnist", arm, f"optim.lr={rate:f}") for arm in PAPER_ARMS for rate in MNIST_RATES],
            5,
            more_seeds=False,
        ),
        *_own_rates("mnist", "MNIST"),
        *_own_rates("fashion_mnist", "Fashion-MNIST"),
        _evidence(
            "mnist_optimizers",
            "MNIST, MLP 2 × 256, five optimisers",
            [
                mlp("mnist", arm, f"optim.lr={rate}", optimiser)
                for optimiser, rates in OPTIMISER_RATES.items()
                for arm, rate in rates.items()
            ],
            5,
            more_seeds=False,
        ),
        _evidence(
            "draw",
            "DRAW on binarised MNIST, the paper's size",
            draws(),
            3,
            *("+exp=draw_plain,draw_wn", "task.start=unit,normal", "seed=0,1,2"),
        ),
        _evidence(
            "draw_small",
            "DRAW on binarised MNIST, reduced: 8 glimpses, LSTMs of 128, 6 epochs",
            draws("task.glimpses=8 model.width=128 epochs=6 optim.lr=0.001"),
            5,
        ),
        _evidence(
            "draw_medium",
            "DRAW on binarised MNIST, reduced: 16 glimpses, LSTMs of 256, 10 epochs",
            draws("task.glimpses=16 epochs=10 optim.lr=0.001"),
            3,
        ),
        _evidence(
            "vae_mnist",
            "VAE on binarised MNIST, 300 epochs",
            vaes("mnist"),
            3,
            *("+exp=vae_mnist_plain,vae_mnist_wn", "seed=0,1,2"),
        ),
        _evidence(
            "vae_mnist_small",
            "VAE on binarised MNIST, reduced: 8 to 16 maps, 10,000 images, 60 epochs",
            vaes("mnist", "task.average=0.999 model.width=8 data.train_size=10000 epochs=60"),
            5,
        ),
        _evidence(
            "vae_cifar",
            "VAE on CIFAR-10, 160 maps, 450 epochs",
            vaes("cifar"),
            3,
            *("+exp=vae_cifar_plain,vae_cifar_wn", "seed=0,1,2"),
        ),
        _evidence(
            "vae_cifar_small",
            "VAE on CIFAR-10, reduced: 32 maps, 4 epochs",
            vaes("cifar", "task.average=0.999 model.width=32 task.log_scale=-3.0 epochs=4"),
            3,
        ),
        *(
            _evidence(
                f"dqn_{game}",
                f"DQN on {game.replace('_', ' ').title()}, the paper's size",
                dqns(game),
                3,
                *(f"+exp=dqn_{game}_plain,dqn_{game}_wn", "seed=0,1,2"),
            )
            for game in DQN_GAMES
        ),
        _evidence(
            "atari_small",
            "DQN on Space Invaders, reduced: 10 epochs of 25,000 steps",
            dqns(
                "space_invaders",
                "task.epoch_steps=25000 task.evaluation_steps=25000 task.replay_size=100000 "
                "task.learning_starts=10000 task.target_every=500 task.epsilon_steps=100000 "
                "epochs=10",
            ),
            3,
        ),
        _evidence(
            "minatar_rates",
            "DQN on MinAtar, 250,000 frames, four learning rates",
            minatar_at_rates(MINATAR_RATES, ("plain", "wn")),
            2,
            first_seed=100,
            more_seeds=False,
        ),
        # Seeds of minatar_rates gave the rates: they do not count.
        _evidence(
            "minatar_small",
            "DQN on MinAtar, 250,000 frames",
            minatar(),
            5,
            more_seeds=False,
        ),
        _evidence(
            "minatar_batch_norm",
            "DQN on MinAtar's Breakout, 250,000 frames, four learning rates",
            minatar_at_rates(("breakout",), ("plain", "bn")),
            3,
            more_seeds=False,
            beyond="minatar_small",
        ),
    )
}


def select(records: Records, name: str, unfinished: bool = False) -> Records:
    """The runs that belong to the evidence `name`; those in progress only if `unfinished`.

    Raises:
        KeyError: the name is not in EVIDENCE.
    """
    runs = records.runs if unfinished else finished(records.runs)
    pairs = zip(runs["setting"], runs["seed"], strict=True)
    return records.of(runs.index[[EVIDENCE[name].counts(*each) for each in pairs]])


def begun(records: Records, name: str, unfinished: bool = False) -> bool:
    """Whether there is a planned run of the evidence `name`; see `Evidence.beyond`."""
    evidence = EVIDENCE[name]
    if not evidence.have(records.runs, unfinished):
        return False
    if evidence.beyond is None:
        return True
    own, others = (select(records, e, unfinished).runs.index for e in (name, evidence.beyond))
    return not own.isin(others).all()
