"""The schema of a run: every key, its type, its meaning, and what is refused.

The values stand in `conf/`; here is what they may be. `resolve` turns Hydra's config into a
`Config` and refuses what cannot work before anything runs. No torch here: printing or checking a
config must be quick.
"""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import ModuleType
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from wnrepro.arms import ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError, did_you_mean
from wnrepro.tasks import TASKS, TaskConfig, part_of

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16", "float64")
OPTIMISERS = {
    "sgd": (),
    "momentum": ("gamma",),
    "averaged_momentum": ("gamma",),
    "adadelta": ("gamma", "eps"),
    "adam": ("beta1", "beta1_late", "beta2", "eps"),
    "adamax": ("beta1", "beta1_late", "beta2", "eps"),
}
"""Each with its keys beside `name` and `lr`."""

LONGEST_NAME = 255
"""Bytes in the name of a folder; more than this no usual file system takes."""

COMPILED_FROM_STEPS = 20_000
"""Half a minute or more of a GPU, at one to two milliseconds per step, uncompiled."""


@dataclass
class DataConfig:
    name: str = MISSING
    """Data set: digits, mnist, fashion_mnist or cifar10."""
    whiten: bool = MISSING
    """ZCA-whiten the images, fitted on the training set (the paper's CIFAR-10 protocol)."""
    held_out: int = 0
    """Training images set aside to choose hyper-parameters on; the test set is then not used."""
    train_size: int | None = None
    """Train on the first so many images only; null for all."""
    evaluation_size: int | None = None
    """Evaluate on the first so many images only; null for all."""
    root: str | None = None
    """Folder of the raw files; null for $WNREPRO_DATA, else ./data."""


@dataclass
class ModelConfig:
    name: str = MISSING
    """mlp or convpool_cnn_c."""
    width: int = MISSING
    """Units of a hidden layer (mlp); feature maps of the first block (convpool_cnn_c: 96)."""
    depth: int | None = None
    """Hidden layers of an mlp; null for convpool_cnn_c, whose depth is fixed."""
    noise_std: float = 0.0
    """Standard deviation of the Gaussian noise on the input while training."""
    dropout: float = 0.0
    """Probability that a unit is dropped while training."""


@dataclass
class NormConfig:
    name: str = MISSING
    """The arm: what normalises the layers."""


@dataclass
class InitConfig:
    name: str = MISSING
    """none, data_dependent (eq. 5, 6), or auto: the latter where the arm takes it."""
    batch_size: int = 500
    """Images in the pass of the data-dependent init."""


@dataclass
class OptimConfig:
    """The keys of all optimisers; those that one has not (`OPTIMISERS`) are None."""

    name: str = MISSING
    """sgd, momentum, averaged_momentum, adadelta, adam (the paper's) or adamax."""
    lr: float = MISSING
    """Learning rate at the start."""
    beta1: float | None = None
    """Decay of the first moment before half time."""
    beta1_late: float | None = None
    """Decay of the first moment from half time."""
    beta2: float | None = None
    """Decay of the second moment; adamax: of the largest gradient."""
    gamma: float | None = None
    """Decay of momentum; adadelta: of the mean of squared gradients."""
    eps: float | None = None
    """ε, inside the root; adamax: beside the largest gradient."""


@dataclass
class ScheduleConfig:
    name: str = MISSING
    """half_time: constant, then linear to 0; the paper's. constant: as in its first half."""


@dataclass
class TrackerConfig:
    name: str = MISSING
    """wandb or none."""
    project: str | None = None
    """W&B project; null for $WANDB_PROJECT, else wnrepro."""
    entity: str | None = None
    """W&B user or team; null for the account's default."""


@dataclass
class ScaleConfig:
    name: str = MISSING
    """full, or smoke: any experiment made small enough for a minute on two cores."""
    max_epochs: int | None = None
    max_train_size: int | None = None
    max_evaluation_size: int | None = None
    max_width: int | None = None


@dataclass
class RunsConfig:
    root: str = MISSING
    """Folder of the run directories."""


@dataclass
class Config:
    task: TaskConfig = field(default_factory=TaskConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    norm: NormConfig = field(default_factory=NormConfig)
    init: InitConfig = field(default_factory=InitConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    runs: RunsConfig = field(default_factory=RunsConfig)
    epochs: int = MISSING
    """Passes over the training set."""
    batch_size: int = MISSING
    """Images per step."""
    seed: int = MISSING
    """Of all random streams; any integer of 64 bits, 0 is one too."""
    device: str = "auto"
    """auto (a GPU if there is one), cpu or cuda."""
    precision: str = "float32"
    """Of the forward and backward pass: float32, tf32, bf16 or float64."""
    compile: bool | None = None
    """Whether torch compiles the network, a minute at the start; null for where that pays."""
    threads: int | None = None
    """CPU threads; null for one where steps are too short to share (an mlp's), else torch's."""


@dataclass
class LocalLauncher:
    """How a sweep runs on this machine (conf/hydra/launcher/local.yaml)."""

    runs_at_once: int | None = None
    """Runs at a time; null: GPUs × runs_per_gpu where there are GPUs, else cores ÷ threads."""
    runs_per_gpu: int = 1
    """Runs that share one GPU; small networks leave a large GPU idle."""


def register_schema(experiments: Iterable[str] = ()) -> None:
    """Make known to Hydra what is in no file of conf/.

    The schema, as `schema`, the first entry of conf/config.yaml. Each of the `experiments`, names
    in conf/exp/, with each arm: `+exp=cifar_wn` is `+exp=cifar norm=wn`. And the resolver `entry`,
    for files that give a value to each choice: in
    `${entry:{momentum: {plain: 0.1, others: 0.3}},${optim.name},${norm.name}}` 0.3 for momentum
    and wn.
    """
    store = ConfigStore.instance()
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
    for choice in choices:
        if choice not in table and "others" not in table:
            raise ConfigError(f"no value for {choice}, only for {', '.join(map(str, table))}")
        table = table[choice if choice in table else "others"]
    return table


def resolve(cfg: DictConfig) -> Config:
    """The typed config of one run: shrunk to its scale, checked; raises ConfigError."""
    try:
        present = set(_keys(cfg))
        of_task = OmegaConf.get_type(cfg, "task") or TaskConfig
        known = set(schema_keys()) | set(schema_keys(of_task, "task."))
    except InterpolationResolutionError as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    for key in sorted(present - known):
        raise ConfigError(unknown_key(key))
    missing = sorted(OmegaConf.missing_keys(cfg) | (known - present))
    if missing:
        raise ConfigError(f"{missing[0]} has no value: set it, as {missing[0]}=…")
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    config.runs.root = os.path.expanduser(config.runs.root)
    _shrink(config)
    if config.init.name == "auto" and config.norm.name in ARMS:
        config.init.name = "data_dependent" if ARMS[config.norm.name].takes_init else "none"
    _check(config)
    return config


def schema_keys(node: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the schema, dotted; a group's own key too."""
    for each in fields(node):
        yield prefix + each.name
        if isinstance(each.type, type) and is_dataclass(each.type):
            yield from schema_keys(each.type, f"{prefix}{each.name}.")


def unknown_key(key: str) -> str:
    """One line about a key that the schema does not have."""
    if key.startswith("hydra."):
        return f"{key} is no key of Hydra's config"
    keys = list(schema_keys())
    parent = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == parent]
    there = siblings or [k for k in keys if "." not in k]
    return f"{key} is no key of the config{did_you_mean(key, keys)}; choose from {', '.join(there)}"


def _keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in cfg:
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(cfg, key) and isinstance(cfg[key], DictConfig):
            yield from _keys(cfg[key], f"{prefix}{key}.")


def as_dict(config: Config) -> dict[str, Any]:
    """The resolved config as nested dictionaries of plain values.

    Of an optimiser only the keys that it has: what another one has does not belong to the run, and
    a new optimiser leaves the identities of all runs as they are.
    """
    plain = asdict(config)
    kept = ("name", "lr", *OPTIMISERS[config.optim.name])
    plain["optim"] = {key: plain["optim"][key] for key in kept}
    return plain


def as_yaml(config: Config) -> str:
    """The resolved config as YAML, as it stands in a run's config.yaml."""
    return OmegaConf.to_yaml(OmegaConf.create(as_dict(config)))


def training_size(config: Config) -> int:
    """Images trained on: the training set, less what is held out, at most `data.train_size`."""
    available = CATALOGUE[config.data.name].n_train - config.data.held_out
    return available if config.data.train_size is None else config.data.train_size


def evaluation_size(config: Config) -> int:
    """Images evaluated on: those held out, else the test set, at most `data.evaluation_size`."""
    available = config.data.held_out or CATALOGUE[config.data.name].n_test
    return available if config.data.evaluation_size is None else config.data.evaluation_size


def check_sizes(config: Config) -> None:
    """Raise ConfigError where `data` asks for images that its data set does not have."""
    data, facts = config.data, CATALOGUE[config.data.name]
    in_range("data.held_out", data.held_out, 0, facts.n_train - 1)
    in_range("data.train_size", data.train_size, 1, facts.n_train - data.held_out)
    in_range("data.evaluation_size", data.evaluation_size, 1, data.held_out or facts.n_test)


def cpu_threads(config: Config) -> int | None:
    """Threads that a run computes with on a CPU; None for torch's choice."""
    return config.threads or (None if _checks(config).has_long_steps(config) else 1)


def compiles(config: Config, device: str) -> bool:
    """Whether a run on `device`, "cpu" or "cuda", has its network compiled.

    By default only what takes a GPU longer than compiling does: the convolutional network for
    `COMPILED_FROM_STEPS` steps or more. On a CPU it has not paid (results/benchmarks).
    """
    if config.compile is not None:
        return config.compile
    steps = config.epochs * (training_size(config) // config.batch_size)
    long = steps >= COMPILED_FROM_STEPS and _checks(config).has_long_steps(config)
    return device == "cuda" and long


def _at_most(value: int | None, limit: int | None) -> int | None:
    given = [x for x in (value, limit) if x is not None]
    return min(given) if given else None


def _shrink(config: Config) -> None:
    scale, data = config.scale, config.data
    config.epochs = _at_most(config.epochs, scale.max_epochs) or 0
    config.model.width = _at_most(config.model.width, scale.max_width) or 0
    if data.name not in CATALOGUE:
        return
    facts = CATALOGUE[data.name]
    n_train = facts.n_train - data.held_out
    n_evaluation = data.held_out or facts.n_test
    if scale.max_train_size is not None and scale.max_train_size < n_train:
        data.train_size = _at_most(data.train_size, scale.max_train_size)
    if scale.max_evaluation_size is not None and scale.max_evaluation_size < n_evaluation:
        data.evaluation_size = _at_most(data.evaluation_size, scale.max_evaluation_size)


def choice(key: str, got: str, allowed: Iterable[str]) -> None:
    """Raise ConfigError for a name that is not allowed."""
    if got not in (names := tuple(allowed)):
        close = did_you_mean(got, names)
        raise ConfigError(f"{key}={got} is unknown{close}; choose from {', '.join(names)}")


def in_range(key: str, got: float | None, low: float, high: float = math.inf) -> None:
    """Raise ConfigError for what is not in [low, high]; infinity and NaN are in no range."""
    if got is not None and not (low <= got <= high and got < math.inf):
        allowed = f"a number from {low} on" if math.isinf(high) else f"from {low} to {high}"
        raise ConfigError(f"{key}={got} is out of range: it must be {allowed}")


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
    in_range("epochs", config.epochs, 1, 1_000_000_000)
    in_range("threads", config.threads, 1, 1024)  # with many more, torch crashes
    _check_optim(config.optim)
    _check_init(config)
    _checks(config).check(config)


def _checks(config: Config) -> ModuleType:
    return part_of(config.task.name, "checks")


def _check_optim(optim: OptimConfig) -> None:
    choice("optim.name", optim.name, OPTIMISERS)
    if not (0 < optim.lr < math.inf):
        raise ConfigError(f"optim.lr={optim.lr} is out of range: it must be a number above 0")
    keys = OPTIMISERS[optim.name]
    for key in ("beta1", "beta1_late", "beta2", "gamma", "eps"):
        value = getattr(optim, key)
        if key not in keys and value is not None:
            allowed = ", ".join(f"optim.{each}" for each in ("lr", *keys))
            raise ConfigError(f"optim.{key} is no key of optim={optim.name}; choose from {allowed}")
        if key in keys and value is None:
            raise ConfigError(f"optim.{key} has no value: optim={optim.name} needs a number there")
        if key != "eps" and value is not None and not 0 <= value < 1:
            raise ConfigError(f"optim.{key}={value} is out of range: 0 ≤ … < 1")
    in_range("optim.eps", optim.eps, 0)


def _check_init(config: Config) -> None:
    if config.init.name == "data_dependent" and not ARMS[config.norm.name].takes_init:
        takers = ", ".join(arm.id for arm in ARMS.values() if arm.takes_init)
        raise ConfigError(
            f"norm={config.norm.name} has no data-dependent init: add init=none "
            f"(init=data_dependent is for {takers})"
        )
