"""The schema of a run: every key, its type and its meaning.

The values stand in `conf/`; here is what they may be. No torch here: printing or checking a config
must be quick.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from types import ModuleType
from typing import Any

from omegaconf import MISSING, OmegaConf

from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError, did_you_mean
from wnrepro.tasks import TASKS, TaskConfig, part_of

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16", "float64")
COMPILED_FROM_STEPS = 20_000
"""Half a minute or more of a GPU, at one to two milliseconds per step, uncompiled."""


@dataclass
class DataConfig:
    name: str = MISSING
    """Data set: digits, mnist, fashion_mnist or cifar10."""
    whiten: bool = MISSING
    """ZCA-whiten the images, fitted on the training set (the paper's CIFAR-10 protocol)."""
    whitening_dtype: str = "float64"
    """What the whitening is fitted in: float64, or float32 as in the authors' code."""
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
    """none, data_dependent (eq. 5, 6), or auto: the latter where the arm takes it and the task does
    not say otherwise."""
    batch_size: int = 500
    """Images in the pass of the data-dependent init."""


@dataclass
class OptimConfig:
    """The keys of every optimiser, and all those of sgd."""

    name: str = MISSING
    """Of OPTIMISERS; adam is the paper's."""
    lr: float = MISSING
    """Learning rate at the start."""


@dataclass
class MomentumConfig(OptimConfig):
    gamma: float = MISSING
    """Decay of momentum."""


@dataclass
class AdadeltaConfig(OptimConfig):
    gamma: float = MISSING
    """Decay of the mean of squared gradients."""
    eps: float = MISSING
    """ε, inside the root."""


@dataclass
class AdamConfig(OptimConfig):
    beta1: float = MISSING
    """Decay of the first moment before half time."""
    beta1_late: float = MISSING
    """Decay of the first moment from half time."""
    beta2: float = MISSING
    """Decay of the second moment; adamax: of the largest gradient."""
    eps: float = MISSING
    """ε, inside the root; adamax: beside the largest gradient."""


OPTIMISERS: Mapping[str, type[OptimConfig]] = {
    "sgd": OptimConfig,
    "momentum": MomentumConfig,
    "averaged_momentum": MomentumConfig,
    "adadelta": AdadeltaConfig,
    "adam": AdamConfig,
    "adamax": AdamConfig,
}

AnyOptim = make_dataclass(
    "AnyOptim",
    {
        each.name: (each.name, float | None, field(default=None))
        for kind in OPTIMISERS.values()
        for each in fields(kind)
        if each not in fields(OptimConfig)
    }.values(),
    bases=(OptimConfig,),
)
"""What Hydra composes, before the name is known: the keys of all, None where they are not given."""


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
    optim: OptimConfig = field(default_factory=AnyOptim)
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


def as_dict(config: Config) -> dict[str, Any]:
    """The resolved config as nested dictionaries of plain values."""
    return asdict(config)


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


def epoch_steps(config: Config) -> tuple[int, int]:
    """Steps of an epoch, and how many of them its evaluation is worth.

    An image of the evaluation is worth a third of one in training, which has two products more for
    each of its own. A task that averages its parameters evaluates twice.
    """
    if of_task := getattr(part_of(config.task.name, "checks"), "epoch_steps", None):
        return of_task(config)
    times = 2 if TASKS[config.task.name].averaged else 1
    evaluated = math.ceil(times * evaluation_size(config) / (3 * config.batch_size))
    return training_size(config) // config.batch_size, evaluated


def quick_steps(config: Config) -> int:
    """Steps at a run's start that take far less than its others; most tasks have none."""
    of_task = getattr(part_of(config.task.name, "checks"), "quick_steps", None)
    return of_task(config) if of_task else 0


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
    steps = config.epochs * epoch_steps(config)[0]
    long = steps >= COMPILED_FROM_STEPS and _checks(config).has_long_steps(config)
    return device == "cuda" and long


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


def _checks(config: Config) -> ModuleType:
    return part_of(config.task.name, "checks")
