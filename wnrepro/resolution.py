"""From Hydra's config to a `Config`: what is in no file of conf/, and what cannot work."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from wnrepro.arms import ARMS
from wnrepro.config import (
    DEVICES,
    OPTIMISERS,
    PRECISIONS,
    Config,
    LocalLauncher,
    OptimConfig,
    choice,
    in_range,
)
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError, did_you_mean
from wnrepro.tasks import FIRST, TASKS, TaskConfig, part_of

LONGEST_NAME = 255
"""Bytes in the name of a folder; more than this no usual file system takes."""

UNRECORDED = {
    "runs": {"root": "runs"},
    "scale": {"name": "full"},
    "tracker": {"name": "none"},
}
"""Keys without a default that do not change what is computed."""


def register_schema(experiments: Iterable[str] = ()) -> None:
    """Make known to Hydra what is in no file of conf/.

    The schema, as `schema`, the first entry of conf/config.yaml. Each of the `experiments`, names
    in conf/exp/, with each arm: `+exp=cifar_wn` is `+exp=cifar norm=wn`. And the resolver `entry`,
    for files that give a value to each choice: in
    `${entry:{momentum: {plain: 0.1, others: 0.3}},${optim.name},${norm.name}}` 0.3 for momentum
    and wn.
    """
    store = ConfigStore.instance()
    # Hydra copies all of it for each composition, and what it loads of it once more: a third of
    # the time. The second copy is enough.
    vars(store)["__deepcopy__"] = lambda memo: store
    store.store(name="schema", node=Config)
    store.store("this_machine", LocalLauncher, "hydra/launcher")
    for task in TASKS.values():
        store.store(f"{task.name}_keys", task.config, "task")
    for experiment in experiments:
        for arm in ARMS:
            defaults = [experiment, {"override /norm": arm}]
            store.store(f"{experiment}_{arm}", {"defaults": defaults}, "exp", "_global_")
    OmegaConf.register_new_resolver("entry", _entry, replace=True)


def _entry(table: Any, *choices: str) -> Any:
    for each in choices:
        if each not in table and "others" not in table:
            raise ConfigError(f"no value for {each}, only for {', '.join(map(str, table))}")
        table = table[each if each in table else "others"]
    return table


def resolve(cfg: DictConfig) -> Config:
    """The typed config of one run: shrunk to its scale, checked; raises ConfigError."""
    try:
        values = dict(_values(OmegaConf.to_container(cfg, resolve=True)))
        of_task = OmegaConf.get_type(cfg, "task") or TaskConfig
        known = set(schema_keys()) | set(schema_keys(of_task, "task."))
    except InterpolationResolutionError as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    for key in sorted(values.keys() - known):
        raise ConfigError(unknown_key(key, of_task if key.startswith("task.") else None))
    missing = sorted(key for key in known if values.get(key, MISSING) == MISSING)
    if missing:
        raise ConfigError(f"{missing[0]} has no value: set it, as {missing[0]}=…")
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    config.optim = _of_one(config.optim)
    config.runs.root = os.path.expanduser(config.runs.root)
    _shrink(config)
    if config.init.name == "auto" and config.norm.name in ARMS:
        config.init.name = "data_dependent" if _initialised(config) else "none"
    _check(config)
    return config


def from_record(recorded: Mapping[str, Any]) -> Config:
    """The config of a run from what it recorded; keys that it lacks have their defaults.

    Raises ConfigError: it is no config of this version.
    """
    task = TASKS.get(recorded.get("task", {}).get("name", FIRST))
    if task is None:
        raise ConfigError(f"no task {recorded['task']['name']}; there are {', '.join(TASKS)}")
    cfg = OmegaConf.structured(Config)
    try:
        cfg.merge_with(UNRECORDED, {"task": task.config()}, recorded)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from None
    return resolve(cfg)


def _initialised(config: Config) -> bool:
    """Whether init=auto initialises from data."""
    task = TASKS.get(config.task.name)
    if task is not None and task.initialised is not None:
        return config.norm.name in task.initialised
    return ARMS[config.norm.name].takes_init


def schema_keys(node: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the schema, dotted; a group's own key too."""
    for each in fields(node):
        yield prefix + each.name
        if isinstance(group := each.default_factory, type) and is_dataclass(group):
            yield from schema_keys(group, f"{prefix}{each.name}.")


def unknown_key(key: str, group: type | None = None) -> str:
    """One line about a key that the schema does not have. group: the dataclass that lacks it."""
    if key.startswith("hydra."):
        return f"{key} is no key of Hydra's config"
    keys = list(schema_keys())
    parent = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == parent]
    if group is not None and is_dataclass(group) and parent:
        siblings = list(schema_keys(group, f"{parent}."))
        keys += siblings
    there = siblings or [k for k in keys if "." not in k]
    return f"{key} is no key of the config{did_you_mean(key, keys)}; choose from {', '.join(there)}"


def _values(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted key with its value; a group's own key too."""
    for key, value in group.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from _values(value, f"{prefix}{key}.")


def _at_most(value: int | None, limit: int | None) -> int | None:
    given = [x for x in (value, limit) if x is not None]
    return min(given) if given else None


def _shrink(config: Config) -> None:
    scale, data = config.scale, config.data
    config.epochs = _at_most(config.epochs, scale.max_epochs) or 0
    config.model.width = _at_most(config.model.width, scale.max_width) or 0
    if config.task.name in TASKS:
        getattr(part_of(config.task.name, "checks"), "shrink", lambda config: None)(config)
    if data.name not in CATALOGUE:
        return
    facts = CATALOGUE[data.name]
    n_train = facts.n_train - data.held_out
    n_evaluation = data.held_out or facts.n_test
    if scale.max_train_size is not None and scale.max_train_size < n_train:
        data.train_size = _at_most(data.train_size, scale.max_train_size)
    if scale.max_evaluation_size is not None and scale.max_evaluation_size < n_evaluation:
        data.evaluation_size = _at_most(data.evaluation_size, scale.max_evaluation_size)


def _check(config: Config) -> None:
    """What any task needs; then what this one does."""
    choice("task.name", config.task.name, TASKS)
    choice("norm.name", config.norm.name, ARMS)
    choice("init.name", config.init.name, ("none", "data_dependent"))
    choice("schedule.name", config.schedule.name, ("half_time", "constant"))
    choice("tracker.name", config.tracker.name, ("wandb", "none"))
    choice("device", config.device, DEVICES)
    if not config.runs.root:
        raise ConfigError("runs.root is empty: name the folder of the run directories")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in config.runs.root.split(os.sep)):
        raise ConfigError(f"runs.root={config.runs.root} has a name that no file system takes")
    in_range("seed", config.seed, -(2**63), 2**63 - 1)
    choice("precision", config.precision, PRECISIONS)
    if config.precision == "tf32" and config.device == "cpu":
        raise ConfigError("precision=tf32 is a GPU's: with device=cpu use float32 or bf16")
    choice("data.whitening_dtype", config.data.whitening_dtype, ("float64", "float32"))
    if config.data.whitening_dtype == "float32" and not config.data.whiten:
        raise ConfigError("data.whitening_dtype=float32 is for data.whiten=true: leave it out")
    in_range("epochs", config.epochs, 1, 1_000_000_000)
    in_range("threads", config.threads, 1, 1024)  # with many more, torch crashes
    _check_init(config)
    part_of(config.task.name, "checks").check(config)


def _of_one(optim: OptimConfig) -> OptimConfig:
    """With the keys of the optimiser that is named, in range."""
    choice("optim.name", optim.name, OPTIMISERS)
    if not (0 < optim.lr < math.inf):
        raise ConfigError(f"optim.lr={optim.lr} is out of range: it must be a number above 0")
    kind, given = OPTIMISERS[optim.name], asdict(optim)
    keys = [each.name for each in fields(kind)]
    for key in [each for each in given if each not in keys]:
        if given.pop(key) is not None:
            allowed = ", ".join(f"optim.{each}" for each in keys if each != "name")
            raise ConfigError(f"optim.{key} is no key of optim={optim.name}; choose from {allowed}")
    for key, value in given.items():
        if value is None:
            raise ConfigError(f"optim.{key} has no value: optim={optim.name} needs a number there")
        if key not in ("name", "lr", "eps") and not 0 <= value < 1:
            raise ConfigError(f"optim.{key}={value} is out of range: 0 ≤ … < 1")
    in_range("optim.eps", given.get("eps"), 0)
    return kind(**given)


def _check_init(config: Config) -> None:
    if config.init.name == "data_dependent" and not ARMS[config.norm.name].takes_init:
        takers = ", ".join(arm.id for arm in ARMS.values() if arm.takes_init)
        raise ConfigError(
            f"norm={config.norm.name} has no data-dependent init: add init=none "
            f"(init=data_dependent is for {takers})"
        )
