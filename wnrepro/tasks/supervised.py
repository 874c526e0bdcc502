"""What the assemblies of all tasks with a loss share."""

import functools
import logging
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch

from wnrepro.config import Config, compiles
from wnrepro.optim import build as build_optimizer
from wnrepro.randomness import Streams
from wnrepro.training import Objective, SupervisedTraining

log = logging.getLogger("wnrepro.train")


def dtype_of(config: Config) -> torch.dtype:
    """Of parameters and data."""
    return torch.float64 if config.precision == "float64" else torch.float32


def assemble(
    config: Config, objective: Objective, streams: Streams, **options: Any
) -> SupervisedTraining:
    """The training of `objective` with the config's optimiser, schedule and precision.

    options: of `SupervisedTraining`.
    """
    device = objective.device
    autocast = nullcontext
    if config.precision == "bf16":
        autocast = functools.partial(torch.autocast, device.type, torch.bfloat16)
    optimizer, schedule = build_optimizer(
        params=objective.model.parameters(),
        epochs=config.epochs,
        constant=config.schedule.name == "constant",
        **asdict(config.optim),
    )
    compile = compiles(config, device.type)
    if compile:
        log.info("compiling the network: the first steps take up to a minute")
    return SupervisedTraining(
        *(objective, optimizer, schedule, streams, config.batch_size, autocast),
        compile=compile,
        **options,
    )
