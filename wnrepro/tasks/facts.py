"""What is to be known of a task without building it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARTS = ("train", "test", "held_out")
"""What a metric may be of. The first part of its column: `test_error_percent`."""


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


@dataclass(frozen=True)
class Task:
    """name: in configs. package: where its modules are. metrics: what it measures on each part of
    the data, in the order of their columns. headline: the name of the one to look at first.
    smaller_is_better: whether that is good of it.
    """

    name: str
    package: str
    metrics: tuple[Metric, ...]
    headline: str
    smaller_is_better: bool = True
    averaged: bool = False
    config: type[TaskConfig] = TaskConfig

    @property
    def headline_metric(self) -> Metric:
        return next(each for each in self.metrics if each.name == self.headline)

    @property
    def columns(self) -> tuple[str, ...]:
        columns = []
        for part in PARTS:
            columns += [f"{part}_{metric.name}" for metric in self.metrics]
            if self.averaged and part != "train":
                columns += [f"{part}_averaged_{metric.name}" for metric in self.metrics]
        return tuple(columns)

    def headlines(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Part of the data → the headline metric of a row of metrics.csv, as people read it."""
        metric, found = self.headline_metric, {}
        for part in PARTS:
            value = row.get(f"{part}_{metric.name}")
            if value is not None:
                found[part.replace("_", "-")] = metric.said(value)
        return found
