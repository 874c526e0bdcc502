"""The queue of sweeps that the evidence is made of, and how far it is.

What is in results/runs.csv counts as done, wherever it was run: whoever has a machine goes on where
the last one stopped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.config import as_dict
from wnrepro.errors import ConfigError
from wnrepro.runs.collection import collect
from wnrepro.runs.identity import run_directory
from wnrepro.runs.tables import read_tables
from wnrepro.sweep import expand, run_sweep


@dataclass(frozen=True)
class Entry:
    """One sweep. what: what it is for. device: "cpu" or "cuda"; a GPU's are not for a CPU."""

    what: str
    device: str
    overrides: tuple[str, ...]


def _entry(what: str, device: str, evidence: str, *overrides: str) -> Entry:
    """The sweep of an experiment, by its name in EVIDENCE, and what else it is given."""
    return Entry(what, device, (*EVIDENCE[evidence].overrides, *overrides))


QUEUE = (
    _entry("table 1 and figure 1, 3 seeds", "cuda", "cifar_table1_bf16"),
    _entry("does bf16 matter? one seed in float32", "cuda", "cifar_table1", "seed=0"),
    _entry("the authors' own plain", "cuda", "cifar_frozen_scale_bf16"),
    _entry("learning rates", "cuda", "cifar_lr_selection_bf16"),
    _entry("table 1, 2 more seeds", "cuda", "cifar_table1_bf16", "seed=3,4"),
    _entry("digits", "cpu", "digits_arms"),
    _entry("MNIST", "cpu", "mnist_arms"),
    _entry("Fashion-MNIST", "cpu", "fashion_mnist_arms"),
    _entry("the init", "cpu", "mnist_init_ablation"),
    _entry("optimisers", "cpu", "mnist_optimizers"),
    _entry("learning rates, robustness", "cpu", "mnist_lr_robustness"),
    _entry("CIFAR-10, a quarter of the width, 10 epochs", "cpu", "cifar_small"),
    _entry("the same with plain at the others' learning rate", "cpu", "cifar_small_one_rate"),
    _entry("CIFAR-10 at full width, the first 12 epochs", "cpu", "cifar_first_epochs"),
)
"""In the order in which they are worth a machine's time."""


@dataclass(frozen=True)
class State:
    """How many of an entry's runs are in the tables, of how many."""

    entry: Entry
    collected: int
    total: int


def states(results: Path) -> Iterator[State]:
    """Of each entry of the queue."""
    collected = read_tables(results)
    for entry in QUEUE:
        runs = expand(entry.overrides).identities
        yield State(entry, sum(each in collected for each in runs), len(runs))


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


def go_on(device: str, results: Path, overrides: Sequence[str] = ()) -> int:
    """Run what `device` can add to the tables, sweep by sweep, each collected when it has finished.

    overrides: keys for all of them, as runs.root=… and hydra.launcher.runs_at_once=2. Those that
    change what is computed are refused, since the tables would take other runs for the queue's.
    Returns 0, or the exit code of the first sweep that did not finish or is not whole in the
    tables. Other runs in runs.root are left alone.
    """
    from wnrepro.train import train

    entries = [entry for entry in QUEUE if entry.device == device]
    if overrides:
        for entry in entries:
            _refuse_other_runs(entry, overrides)
    for entry in entries:
        arguments = [*entry.overrides, f"device={device}", *overrides]
        sweep = expand(arguments)
        collected = read_tables(results)
        if all(each in collected for each in sweep.identities):
            continue
        print(f"{entry.what}: {' '.join(arguments)}", flush=True)
        code = run_sweep(sweep, train, collected)
        directories = [run_directory(as_dict(config)) for config in sweep.configs]
        report = collect([each for each in directories if each.exists()], results)
        for problem in report.problems:
            print(f"error: {problem}", flush=True)
        if code or not all(each in report.runs for each in sweep.identities):
            return code or 1
    return 0
