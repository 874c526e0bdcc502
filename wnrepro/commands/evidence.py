"""The queue of sweeps that the evidence is made of, how far it is, and what the rest takes here.

What is in results/runs.csv counts as done, wherever it was run: whoever has a machine goes on where
the last one stopped.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.settings import DQN_GAMES
from wnrepro.commands.composition import Sweep, expand
from wnrepro.commands.estimate import Machine
from wnrepro.commands.launchers.job import Train
from wnrepro.commands.sweep import run_sweep
from wnrepro.config import as_dict
from wnrepro.durations import in_words
from wnrepro.errors import ConfigError
from wnrepro.runs.collection import collect
from wnrepro.runs.identity import run_directory
from wnrepro.runs.tables import CollectedRun, finished_runs, read_tables

DAY_SEC = 86400


@dataclass(frozen=True)
class Entry:
    """One sweep. what: what it is for."""

    what: str
    overrides: tuple[str, ...]


def _entry(what: str, evidence: str, *overrides: str) -> Entry:
    """The sweep of an experiment, by its name in EVIDENCE, and what else it is given."""
    return Entry(what, (*EVIDENCE[evidence].overrides, *overrides))


QUEUE = (
    _entry("table 1 and figure 1, 3 seeds", "cifar_table1_bf16"),
    _entry("does bf16 matter? one seed in float32", "cifar_table1", "seed=0"),
    _entry("the authors' own plain", "cifar_frozen_scale_bf16"),
    _entry("learning rates", "cifar_lr_selection_bf16"),
    _entry("table 1, 2 more seeds", "cifar_table1_bf16", "seed=3,4"),
    _entry("digits", "digits_arms"),
    _entry("MNIST", "mnist_arms"),
    _entry("Fashion-MNIST", "fashion_mnist_arms"),
    _entry("the init", "mnist_init_ablation"),
    _entry("optimisers", "mnist_optimizers"),
    _entry("learning rates, robustness", "mnist_lr_robustness"),
    _entry("DRAW, reduced", "draw_small"),
    _entry("DRAW, less reduced", "draw_medium"),
    _entry("VAE on MNIST, reduced", "vae_mnist_small"),
    _entry("VAE on CIFAR-10, reduced", "vae_cifar_small"),
    _entry("DRAW, figure 4", "draw"),
    _entry("VAE on MNIST, figure 3", "vae_mnist"),
    _entry("VAE on CIFAR-10, figure 3", "vae_cifar"),
    _entry("CIFAR-10, a quarter of the width, 10 epochs", "cifar_small"),
    _entry("the same with plain at the others' learning rate", "cifar_small_one_rate"),
    _entry("CIFAR-10, a quarter of the width, learning rates", "cifar_small_rates"),
    _entry("DQN on MinAtar, learning rates", "minatar_rates"),
    _entry("DQN on MinAtar", "minatar_small"),
    _entry("DQN on Space Invaders, reduced", "atari_small"),
    _entry("DQN on MinAtar, batch norm", "minatar_batch_norm"),
    *(_entry(f"DQN on Atari, table 2: {game}", f"dqn_{game}") for game in DQN_GAMES),
)
"""In the order in which they are worth a machine's time."""


@dataclass(frozen=True)
class State:
    """How far an entry is. begun: runs whose first epochs are in the tables.

    flop, seconds: of the rest, on this machine, as many runs side by side as it takes; 0 where
    nothing is left.
    """

    entry: Entry
    finished: int
    begun: int
    total: int
    flop: float
    seconds: float

    @property
    def left(self) -> int:
        return self.total - self.finished


def _state(
    entry: Entry, sweep: Sweep, collected: dict[str, CollectedRun], machine: Machine
) -> State:
    names = sweep.identities
    finished = sum(key in collected and collected[key].finished for key in names)
    begun = sum(key in collected and not collected[key].finished for key in names)
    rest = [
        (config, len(collected[key].curve) if key in collected else 0)
        for config, key in zip(sweep.configs, names, strict=True)
        if key not in collected or not collected[key].finished
    ]
    if not rest:
        return State(entry, finished, begun, len(names), 0.0, 0.0)
    cost, _ = machine.rest(rest)
    return State(entry, finished, begun, len(names), cost.flop, cost.seconds)


def states(results: Path, device: str = "auto") -> Iterator[State]:
    """Of each entry of the queue."""
    collected, machine = read_tables(results), Machine()
    for entry in QUEUE:
        sweep = expand([*entry.overrides, f"device={device}"])
        yield _state(entry, sweep, collected, machine)


def _refuse_other_runs(entry: Entry, overrides: Sequence[str]) -> None:
    its = expand(entry.overrides).identities

    def others(given: Sequence[str]) -> bool:
        return not set(expand([*entry.overrides, *given]).identities) <= set(its)

    if others(overrides):
        blamed = [each for each in overrides if others([each])] or overrides
        raise ConfigError(
            f"{' '.join(blamed)} changes what is computed ({entry.what}): the queue's runs stay as "
            "they are; train others with python -m wnrepro.train -m"
        )


def go_on(
    train: Train,
    device: str,
    results: Path,
    overrides: Sequence[str] = (),
    limit_days: float = math.inf,
) -> int:
    """Run what the tables lack, sweep by sweep, each collected when it has ended.

    train: trains one run.
    overrides: keys for all of them, as runs.root=… and hydra.launcher.runs_at_once=2. Those that
    change what is computed are refused, since the tables would take other runs for the queue's.
    limit_days: what would take longer here is left out, with a line that says so.
    Returns 0, or the exit code of the first sweep that did not finish or is not whole in the
    tables. Other runs in runs.root are left alone.
    """
    machine = Machine()
    if overrides:
        for entry in QUEUE:
            _refuse_other_runs(entry, overrides)
    for entry in QUEUE:
        arguments = [*entry.overrides, f"device={device}", *overrides]
        sweep = expand(arguments)
        if set(sweep.identities) <= finished_runs(results).keys():
            continue
        state = _state(entry, sweep, read_tables(results), machine)
        said = f"{entry.what}: {state.left} runs, about {in_words(state.seconds)} here"
        if state.seconds > limit_days * DAY_SEC:
            print(f"left out: {said}, more than {limit_days:g} days; --days sets the limit")
            continue
        print(f"{said}: {' '.join(arguments)}", flush=True)
        code = run_sweep(sweep, train, finished_runs(results))
        directories = [run_directory(as_dict(config)) for config in sweep.configs]
        there = [each for each in directories if each.exists()]
        names = frozenset(sweep.identities)
        report = collect(there, results, in_progress=lambda config: True)
        for problem in report.problems:
            print(f"error: {problem}", flush=True)
        if code or not names <= {key for key, run in report.runs.items() if run.finished}:
            return code or 1
    return 0
