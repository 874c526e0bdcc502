"""What is to be known of a task without building it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

PARTS = {"train": "training", "test": "test", "held_out": "held-out"}
"""What a metric may be of, the first part of its column (`test_error_percent`) → as people say it.
"""


@dataclass
class TaskConfig:
    """The group `task` of a config. A task with keys of its own has a subclass."""

    name: str = "classification"
    """What is learnt: a folder of wnrepro/tasks."""


@dataclass(frozen=True)
class Metric:
    """name: of its column, after the part. label, unit: as people read them; unit may be ""."""

    name: str
    label: str
    unit: str

    def said(self, value: float) -> str:
        """`12.34 %`"""
        return f"{value:.2f} {self.unit}".rstrip()


class Picture(NamedTuple):
    """What a trained model drew. name: of its file. label, says: as people read them."""

    name: str
    label: str
    says: str


@dataclass(frozen=True)
class Task:
    """name: in configs. package: where its modules are. metrics: what it measures on each part of
    the data, in the order of their columns. headline: the name of the one to look at first.
    smaller_is_better: whether that is good of it. averaged: whether evaluation is repeated with the
    parameters' average. initialised: the arms that init=auto initialises from data; None for all
    that can be. pictures: what a run leaves of them. dimensions: numbers of an example, of a
    config whose headline is usually stated in bits for each of them; else None. experiment: a
    config's name in conf/exp, without the arm.
    """

    name: str
    package: str
    metrics: tuple[Metric, ...]
    headline: str
    smaller_is_better: bool = True
    averaged: bool = False
    config: type[TaskConfig] = TaskConfig
    initialised: tuple[str, ...] | None = None
    pictures: tuple[Picture, ...] = ()
    dimensions: Callable[[Mapping[str, Any]], int | None] = lambda config: None
    experiment: Callable[[Any], str] = lambda config: config.model.name

    @property
    def headline_metric(self) -> Metric:
        return next(each for each in self.metrics if each.name == self.headline)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.labels)

    @property
    def labels(self) -> dict[str, str]:
        """Column of a metric → as people read it, as "test error (%)"."""
        labels = {}
        for part, words in PARTS.items():
            kinds = {"": words}
            if self.averaged and part != "train":
                kinds["averaged_"] = f"{words}, averaged:"
            for kind, said in kinds.items():
                for metric in self.metrics:
                    unit = f" ({metric.unit})" if metric.unit else ""
                    labels[f"{part}_{kind}{metric.name}"] = f"{said} {metric.label}{unit}"
        return labels

    def bits_per_dimension(self, config: Mapping[str, Any], nats: float) -> float | None:
        """The headline in bits for each of `dimensions`: nats/(n·log 2)."""
        n = self.dimensions(config)
        return nats / (n * math.log(2)) if n else None

    def headlines(
        self, row: Mapping[str, Any], config: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Part of the data → the headline metric of a row of metrics.csv, as people read it.

        With the run's config in bits per dimension too, where that is usual.
        """
        metric, found = self.headline_metric, {}
        for part in PARTS:
            value = row.get(f"{part}_{metric.name}")
            if value is not None:
                bits = None if config is None else self.bits_per_dimension(config, value)
                also = "" if bits is None else f", {bits:.3f} bits per dimension"
                found[part.replace("_", "-")] = metric.said(value) + also
        return found
