"""From a config to the training of a classifier at its start."""

from dataclasses import asdict

import torch

from wnrepro.config import Config
from wnrepro.data import Dataset, Split, load
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.models import build
from wnrepro.randomness import Streams
from wnrepro.tasks.classification.objective import Classification
from wnrepro.tasks.supervised import assemble, dtype_of
from wnrepro.training import SupervisedTraining


def training(config: Config, device: torch.device) -> SupervisedTraining:
    """Data on the device → network of the arm → training, not initialised from data.

    Raises WnreproError: data that are missing or damaged.
    """
    data = config.data
    dataset = load(
        data.name,
        root=data.root,
        whiten=data.whiten,
        whitening_dtype=getattr(torch, data.whitening_dtype),
        held_out=data.held_out,
        train_size=data.train_size,
        evaluation_size=data.evaluation_size,
        device=device,
        dtype=dtype_of(config),
    )
    return _on(dataset, config, device)


def made_up(config: Config, device: torch.device, n: int) -> SupervisedTraining:
    """The same on n made-up images, to see how long a step takes."""
    facts = CATALOGUE[config.data.name]
    images = torch.randn(n, *facts.image_shape, dtype=dtype_of(config)).to(device)
    split = Split(images, torch.arange(n, device=device) % facts.n_classes)
    name = config.data.name
    return _on(Dataset(name, split, split, "test", facts.n_classes, ""), config, device)


def _on(dataset: Dataset, config: Config, device: torch.device) -> SupervisedTraining:
    streams = Streams(config.seed, device)
    network = build(
        arm=config.norm.name,
        image_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        streams=streams,
        **asdict(config.model),
    ).to(device, dtype_of(config))
    return assemble(config, Classification(network, dataset), streams)
