"""What is trained, put together as in a run: the CIFAR-10 network, the MNIST MLP, other tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch.testing import assert_close

from wnrepro import assembly
from wnrepro.benchmarks.setting import Setting
from wnrepro.config import (
    AdamConfig,
    Config,
    DataConfig,
    ModelConfig,
    NormConfig,
    OptimConfig,
    ScheduleConfig,
)
from wnrepro.tasks import TaskConfig, part_of
from wnrepro.tasks.classification.assembly import made_up
from wnrepro.training import SupervisedTraining

LEARNING_RATE = 0.0003
"""At which all arms learn. It stays, whatever is measured."""
ADAM = AdamConfig("adam", LEARNING_RATE, 0.9, 0.9, 0.999, eps=1e-8)
CPU_WIDTH = 24
"""Of the CIFAR-10 network on a CPU: a quarter of the paper's, a sixteenth of the work."""


@dataclass(frozen=True)
class Network:
    """name: in the table. data: the data set. model: as in a config. batch_size: of a step.

    threads: CPU threads of a run; None for torch's choice.
    """

    name: str
    data: str
    model: ModelConfig
    batch_size: int
    threads: int | None = None

    def training(
        self, setting: Setting, n_train: int | None, n_evaluation: int | None = 1
    ) -> SupervisedTraining:
        """A run's, with weight norm, on the first so many images (None: all), not whitened."""
        config = self._config(setting, "wn", setting.precision, self.threads, False)
        config.data.train_size, config.data.evaluation_size = n_train, n_evaluation
        return cast(SupervisedTraining, assembly.training(config, setting.device))

    def on_one_batch(
        self,
        setting: Setting,
        arm: str = "wn",
        precision: str = "float32",
        threads: int | None = None,
        *,
        eager: bool = False,
    ) -> SupervisedTraining:
        """On a batch of made-up images, the same for every arm: to time a step.

        eager: neither compiled nor captured on a GPU, as the CIFAR-10 network is for the paper's
        200 epochs.
        """
        config = self._config(setting, arm, precision, threads or self.threads, eager)
        assembly.prepare(config)
        torch.manual_seed(0)
        training = made_up(config, setting.device, self.batch_size)
        training.capture = False if eager else None
        return training

    def _config(
        self, setting: Setting, arm: str, precision: str, threads: int | None, eager: bool
    ) -> Config:
        """Seed 0. The smoke version compiles nothing."""
        return Config(
            data=DataConfig(self.data, False, root=setting.root),
            model=self.model,
            norm=NormConfig(arm),
            optim=ADAM,
            schedule=ScheduleConfig("constant"),
            epochs=10_000,
            batch_size=self.batch_size,
            seed=0,
            precision=precision,
            compile=setting.gpu and self.model.depth is None and not (eager or setting.smoke),
            threads=threads,
        )


class Sizes(NamedTuple):
    """Of the training of another task. model, data: names."""

    task: TaskConfig
    model: str
    data: str
    width: int
    batch_size: int


def of_task(setting: Setting, arm: str, sizes: Sizes, optim: OptimConfig = ADAM) -> Any:
    """The task's training on a batch of made-up examples, seed 0, one thread; as `made_up`."""
    config = Config(
        task=sizes.task,
        data=DataConfig(sizes.data, False),
        model=ModelConfig(sizes.model, sizes.width),
        norm=NormConfig(arm),
        optim=optim,
        schedule=ScheduleConfig("constant"),
        epochs=1,
        batch_size=setting.pick(sizes.batch_size, 4),
        seed=0,
        threads=1,
    )
    assembly.prepare(config)
    made_up = part_of(sizes.task.name, "assembly").made_up
    return made_up(config, setting.device, config.batch_size)


def cifar(setting: Setting, width: int | None = None) -> Network:
    full = width or setting.on_gpu_or_cpu(96, CPU_WIDTH)
    model = ModelConfig("convpool_cnn_c", setting.pick(full, 4), noise_std=0.15, dropout=0.5)
    return Network(f"CIFAR network of width {model.width}", "cifar10", model, setting.pick(100, 20))


def mnist(setting: Setting) -> Network:
    model = ModelConfig("mlp", 256, depth=2)
    return Network("MNIST MLP", "mnist", model, setting.pick(100, 50), threads=1)


def step_of(training: SupervisedTraining) -> Callable[[], None]:
    """A training step on the first batch of images, which lies on the device.

    Noise, forward, loss, backward, sums, the update; on a GPU captured, as in a run.
    """
    first = torch.arange(training.batch_size, device=training.device)
    batch = training.objective.batch(first)
    training.model.train()
    return lambda: training.train_step(batch)


@torch.no_grad()
def check_same_loss(one: SupervisedTraining, other: SupervisedTraining, rtol: float) -> None:
    """On all training images, in evaluation mode: without noise."""
    losses = []
    for training in (one, other):
        everything = torch.arange(training.objective.n_train, device=training.device)
        batch = training.objective.batch(everything)
        with training.autocast():
            losses.append(training.objective.loss(training.model.eval(), batch)[0])
        training.model.train()
    assert_close(*losses, rtol=rtol, atol=0.0)


def check_finite(training: SupervisedTraining) -> None:
    for parameter in training.model.parameters():
        assert parameter.isfinite().all(), "a training diverged"
