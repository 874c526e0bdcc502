"""The queue of sweeps that the evidence is made of, and how far it is.

What is in results/runs.csv counts as done, wherever it was run: whoever has a machine goes on where
the last one stopped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wnrepro.config import as_dict
from wnrepro.runs.collection import collect
from wnrepro.runs.identity import identity
from wnrepro.runs.tables import read_tables
from wnrepro.sweep import expand, run


@dataclass(frozen=True)
class Entry:
    """One sweep. what: what it is for. device: "cpu" or "cuda"; a GPU's are not for a CPU."""

    what: str
    device: str
    overrides: tuple[str, ...]


_TABLE1 = ("+sweep=cifar_table1",)
_FROZEN = ("+exp=cifar_plain", "norm=plain_frozen_scale")
QUEUE = (
    Entry("table 1 and figure 1, 3 seeds", "cuda", (*_TABLE1, "precision=bf16")),
    Entry("does bf16 matter? one seed in float32", "cuda", (*_TABLE1, "seed=0")),
    Entry("the authors' own plain", "cuda", (*_FROZEN, "seed=0,1,2", "precision=bf16")),
    Entry("learning rates", "cuda", ("+sweep=cifar_lr_selection", "precision=bf16")),
    Entry("table 1, 2 more seeds", "cuda", (*_TABLE1, "seed=3,4", "precision=bf16")),
    Entry("digits", "cpu", ("+sweep=digits_arms",)),
    Entry("MNIST", "cpu", ("+sweep=mnist_arms",)),
    Entry("Fashion-MNIST", "cpu", ("+sweep=fashion_mnist_arms",)),
    Entry("the init", "cpu", ("+sweep=mnist_init_ablation",)),
    Entry("optimisers", "cpu", ("+sweep=mnist_optimizers",)),
    Entry("learning rates, robustness", "cpu", ("+sweep=mnist_lr_robustness",)),
    Entry("CIFAR-10, a quarter of the width, 10 epochs", "cpu", ("+sweep=cifar_small",)),
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
        runs = [identity(as_dict(config)) for config in expand(entry.overrides).configs]
        yield State(entry, sum(each in collected for each in runs), len(runs))


def go_on(device: str, results: Path, overrides: Sequence[str] = ()) -> int:
    """Run what `device` can add to the tables, sweep by sweep, each collected when it has finished.

    overrides: keys for all of them, as runs.root=… and hydra.launcher.runs_at_once=2. Returns 0,
    or the exit code of the first sweep that did not finish.
    """
    from wnrepro.train import train

    for state in list(states(results)):
        if state.entry.device != device or state.collected == state.total:
            continue
        arguments = [*state.entry.overrides, f"device={device}", *overrides]
        print(f"{state.entry.what}: {' '.join(arguments)}", flush=True)
        code = run(arguments, train, collected=read_tables(results))
        roots = {Path(config.runs.root) for config in expand(arguments).configs}
        report = collect(roots, results)
        for problem in report.problems:
            print(f"error: {problem}", flush=True)
        if code or report.problems:
            return code or 1
    return 0
