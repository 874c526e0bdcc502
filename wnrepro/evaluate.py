"""python -m wnrepro.evaluate: what a trained network comes to, computed anew.

    python -m wnrepro.evaluate digits_wn                 one of results/networks
    python -m wnrepro.evaluate runs/digits_wn/seed0-…    a run of yours, of any task
    python -m wnrepro.evaluate RUN --save mine.safetensors    and keep its network in a file

Beside it stands what the run recorded. On other hardware the two may differ by rounding.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wnrepro.commands.command_line import guarded
from wnrepro.commands.overview import print_table
from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError, RunError
from wnrepro.resolution import from_record
from wnrepro.runs.identity import computed
from wnrepro.runs.manifest import read_manifest
from wnrepro.tasks import FIRST, TASKS

if TYPE_CHECKING:
    from wnrepro.training import Training

# torch takes seconds to import, and an error shall take none.


class Found(NamedTuple):
    """metrics: of the last epoch, by column, as the run recorded them; none in mid-epoch."""

    training: "Training"
    config: Config
    metrics: Mapping[str, Any]
    manifest: Mapping[str, Any]


def evaluate(network: str, to: Path | None = None) -> int:
    """Evaluate and print; raises WnreproError. network, to: as on the command line."""
    if to is not None and to.suffix != ".safetensors":
        raise ConfigError(f"--save {to}: name a file that ends in .safetensors")
    found = (_of_run if Path(network).is_dir() else _of_file)(network)
    training, config = found.training, found.config
    task = TASKS[config.task.name]
    if to is not None and task.name != FIRST:
        raise ConfigError(f"--save is for networks of task={FIRST}; this is one of {task.name}")
    if to is not None and training.step:
        raise RunError("the run has stopped within an epoch; --save is for whole epochs")
    within = f" and {training.step} steps" if training.step else ""
    print(f"{config.data.name}, {config.norm.name}, seed {config.seed}, ", end="")
    print(f"after epoch {training.epoch} of {config.epochs}{within}", flush=True)
    rows = [("", "now", "recorded")]
    for column, value in training.evaluate().items():
        before = found.metrics.get(column)
        rows.append((task.labels.get(column, column), _number(value), _number(before)))
    print_table(rows)
    if to is not None:
        _save(found, to)
    return 0


def _of_run(name: str) -> Found:
    from wnrepro import assembly
    from wnrepro.runs import checkpoint

    directory = Path(name)
    manifest = read_manifest(directory)
    if manifest is None:
        raise RunError(f"{name} is no run's directory: `python -m wnrepro.runs status` lists them")
    config = _here(manifest["config"])
    state = checkpoint.load_latest(directory, as_dict(config))
    if state is None:
        raise RunError(f"{name} has no checkpoint: the run's command goes on, or begins again")
    training = assembly.training(config, assembly.device(config))
    training.load_trained(state["training"])
    metrics = state["metrics"][-1] if state["metrics"] and not training.step else {}
    return Found(training, config, metrics, manifest)


def _of_file(name: str) -> Found:
    from wnrepro import assembly, models

    trained = models.read(name)
    config = _here(trained.config)
    training = assembly.training(config, assembly.device(config))
    training.load_trained({"model": trained.state, "epoch": trained.epoch, "step": 0})
    return Found(training, config, trained.metrics, trained.manifest)


def _here(recorded: Mapping[str, Any]) -> Config:
    config = from_record(recorded)
    config.device, config.compile = "auto", False  # compiling takes longer than an evaluation
    return config


def _save(found: Found, to: Path) -> None:
    from wnrepro.models import Trained, save
    from wnrepro.training import SupervisedTraining

    training, manifest = found.training, found.manifest
    assert isinstance(training, SupervisedTraining)
    kept = {key: manifest[key] for key in ("time", "commit", "dirty", "versions", "hardware")}
    kept["hardware"] = {key: each for key, each in kept["hardware"].items() if key != "host"}
    config = computed(as_dict(found.config))
    state = training.model.state_dict()
    save(to, Trained(state, config, training.epoch, dict(found.metrics), kept))
    print(f"written to {to}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m wnrepro.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", help="a name in results/networks, a file, or a run's directory")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the network there")
    options = parser.parse_args()
    return guarded(lambda: evaluate(options.network, options.save))


if __name__ == "__main__":
    sys.exit(main())
