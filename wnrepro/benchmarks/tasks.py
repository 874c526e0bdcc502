"""What is trained: the paper's CIFAR-10 network and the MNIST MLP, put together as a run's are."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from wnrepro.benchmarks.setting import Setting
from wnrepro.classification import Sums
from wnrepro.config import Config, DataConfig, ModelConfig, NormConfig, compiles, cpu_threads
from wnrepro.data import Dataset, load
from wnrepro.engine import Training
from wnrepro.models import build
from wnrepro.optim import Adam, Schedule
from wnrepro.randomness import Streams
from wnrepro.step import Step, compiled

LEARNING_RATE = 0.0003
"""At which all arms learn. A schedule of so many epochs stays at it, whatever is measured."""
EPOCHS = 10_000

CPU_WIDTH = 24
"""Of the CIFAR-10 network on a CPU: a quarter of the paper's, a sixteenth of the work."""


@dataclass(frozen=True)
class Task:
    """name: in the table. data, model: as in a config. width, batch_size: of this measurement."""

    name: str
    data: str
    model: str
    width: int
    batch_size: int

    @property
    def threads(self) -> int | None:
        """CPU threads of a run; None for torch's choice."""
        return cpu_threads(self._config)

    @property
    def _config(self) -> Config:
        return Config(
            data=DataConfig(self.data),
            model=ModelConfig(self.model, self.width),
            norm=NormConfig("wn"),
            epochs=200,
            batch_size=self.batch_size,
        )

    def dataset(self, setting: Setting, n_train: int | None, n_evaluation: int | None) -> Dataset:
        """The first so many images, not whitened, which does not change how long a step takes."""
        return load(
            self.data,
            root=setting.root,
            train_size=n_train,
            evaluation_size=n_evaluation,
            device=setting.device,
        )

    def training(
        self, setting: Setting, dataset: Dataset, arm: str = "wn", precision: str | None = None
    ) -> Training:
        """As `wnrepro.train` would put it together for the paper's 200 epochs, seed 0.

        precision: float32 or bf16; None for bf16 on a GPU and float32 on a CPU. The smoke version
        compiles nothing.
        """
        device = setting.device
        streams = Streams(0, device)
        noise = {} if self.model == "mlp" else {"noise_std": 0.15, "dropout": 0.5}
        model = build(
            *(self.model, arm, dataset.image_shape, dataset.n_classes),
            width=self.width,
            streams=streams,
            **noise,
        ).to(device)
        return Training(
            model,
            Adam(model.parameters(), LEARNING_RATE),
            dataset,
            Schedule(EPOCHS, LEARNING_RATE),
            streams,
            self.batch_size,
            autocast(setting, precision),
            compile=compiles(self._config, device.type) and not setting.smoke,
        )


def autocast(setting: Setting, precision: str | None) -> Callable[[], AbstractContextManager]:
    """The precision of forward passes; None for the one that a run has on this device."""
    if (precision or setting.on_gpu_or_cpu("bf16", "float32")) == "float32":
        return nullcontext
    return functools.partial(torch.autocast, setting.device.type, torch.bfloat16)


def cifar(setting: Setting, width: int | None = None) -> Task:
    full = width or setting.on_gpu_or_cpu(96, CPU_WIDTH)
    width = setting.pick(full, 4)
    name = f"CIFAR network of width {width}"
    return Task(name, "cifar10", "convpool_cnn_c", width, setting.pick(100, 20))


def mnist(setting: Setting) -> Task:
    return Task("MNIST MLP", "mnist", "mlp", 256, setting.pick(100, 50))


def bare_step(training: Training) -> tuple[Step, Sums]:
    """The step of `training` by itself, with sums of its own, captured where a GPU does that."""
    sums = Sums(training.device)
    on_gpu = training.device.type == "cuda"
    step = Step(
        compiled(training.model) if training.compile else training.model,
        training.optimizer,
        sums,
        training.autocast,
        [each for each in training.streams.values() if each.device.type == "cuda"],
        capture=on_gpu,
    )
    return step, sums
