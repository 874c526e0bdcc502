"""Made-up results: every run of every experiment, none, or some that diverged."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from shutil import copytree
from typing import Any

from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.settings import FIRST_EPOCHS, nested
from wnrepro.runs.identity import identity
from wnrepro.runs.tables import METRICS, SETTINGS, Cells, CollectedRun, write_tables
from wnrepro.tasks import FIRST, TASKS, task_of

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"
OFFSETS = {"plain": 1.5, "wn": 1.0, "bn": 0.8, "mean_only_bn": 1.2, "wn_mean_only_bn": 0.9}
LAYERS = ("first", "second", "third", "last")
HARDWARE = {"device": "cpu", "cpu": "A CPU", "threads": "1", "torch": "2.15.0"}
HARDWARE |= {"commit": "0123456789" * 4, "dirty": "False"}

Curve = Callable[[dict[str, Any], int], float]


def configs(*names: str) -> list[dict[str, Any]]:
    """The configs of the planned runs of these experiments; of all, without names."""
    found = {}
    for name in names or EVIDENCE:
        for setting in EVIDENCE[name].settings:
            for seed in EVIDENCE[name].seeds:
                config = {**nested(setting), "seed": seed}
                found[identity(config)] = config
    return list(found.values())


def training_error(config: dict[str, Any], epoch: int) -> float:
    """Falls with the epochs, by arm, learning rate and seed; to exactly 0 for bn's first seed."""
    start = 25.0 * OFFSETS.get(config["norm"]["name"], 1.7)
    start *= 1.3 if config.get("task", {}).get("start") == "normal" else 1.0
    start *= 1 + 0.2 * abs(math.log10(config["optim"]["lr"] / 0.003))
    wiggle = 1 + 0.03 * math.sin(config["seed"] + epoch) + 0.02 * config["seed"]
    left = 1.02 - epoch / config["epochs"]
    if config["norm"]["name"] == "bn" and config["seed"] == 0 and epoch == config["epochs"]:
        return 0.0
    return start / (2 + epoch) * wiggle * left


def diverges(config: dict[str, Any]) -> bool:
    """At high learning rates, and the last seed of wn a little earlier."""
    rate, arm, seed = config["optim"]["lr"], config["norm"]["name"], config["seed"]
    return (rate > 1 and arm in ("plain", "wn")) or (rate == 1 and arm == "wn" and seed == 4)


def run(
    config: dict[str, Any],
    error: Curve = training_error,
    diverged: bool = False,
    so_far: int = 0,
    sparse: bool = False,
    **changes: str,
) -> CollectedRun:
    """A run as it is collected; `changes` replace cells of its row.

    so_far: it is in progress and has come to this epoch. sparse: of a long run not every epoch is
    there, for drawing takes as long as there are epochs.
    """
    key = identity(config)
    held_out, task = config["data"]["held_out"] > 0, task_of(config)
    part = "held_out" if held_out else "test"
    done = so_far or (3 if diverged else config["epochs"])
    curve: list[Cells] = []
    layers: list[Cells] = []
    step = max(done // 10, 1) if sparse else 1
    for epoch in range(1, done + 1):
        if epoch > FIRST_EPOCHS and epoch % step and epoch != done:
            continue
        value = error(config, epoch)
        last = diverged and epoch == done
        if task is not TASKS[FIRST]:
            parts = ("train_", "test_")
            cells = {c: repr(100 + value) for c in task.columns if c.startswith(parts)}
        else:
            cells = {
                "train_loss": "nan" if last else repr(value / 10),
                "train_error_percent": repr(90.0 if last else value),
                f"{part}_loss": "nan" if last else repr(value / 8),
                f"{part}_error_percent": repr(
                    90.0 if last else value + 6 + OFFSETS.get(config["norm"]["name"], 1.7)
                ),
            }
        shared = {"identity": key, "epoch": str(epoch)}
        seconds = repr(2.0 + 0.5 * OFFSETS.get(config["norm"]["name"], 1.0))
        curve.append({**shared, "learning_rate": "0.1", **cells, "train_time_sec": seconds})
        norm = repr((1 + config["optim"]["lr"]) * math.sqrt(epoch))
        named = LAYERS if task is TASKS[FIRST] else LAYERS[:1]  # the others' norms are not drawn
        layers += [{**shared, "layer": layer, "v_norm": norm, "g": "1.0"} for layer in named]
    row = {"identity": key, "name": "main", "epochs_done": str(done), **HARDWARE}
    status = "unfinished" if so_far else "diverged" if diverged else "done"
    row |= {"status": status, "config": _json(config)}
    row |= {column: _cell(config, dotted) for column, dotted in SETTINGS.items()}
    row |= {metric: curve[-1][metric] for metric in METRICS if metric in curve[-1]}
    row |= {"time_per_epoch_sec": curve[-1]["train_time_sec"]}
    row = {column: cell for column, cell in (row | changes).items() if cell}
    return CollectedRun("made up", row, curve, layers)


def write(folder: Path, runs: Iterable[CollectedRun]) -> Path:
    """The tables of these runs and the paper's numbers, in a folder such as results/."""
    write_tables(folder, {run.row["identity"]: run for run in runs})
    copytree(PAPER, folder / "paper")
    return folder


def complete(folder: Path) -> Path:
    runs = [run(config, diverged=diverges(config), sparse=True) for config in configs()]
    return write(folder, runs)


def _json(config: dict[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


def _cell(config: dict[str, Any], dotted: str) -> str:
    node: Any = config
    for key in dotted.split("."):
        node = node[key]
    return "" if node is None else str(node)
