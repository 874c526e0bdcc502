"""What is to be known of a task without building it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARTS = ("train", "test", "held_out")
"""What a metric may be of. The first part of its column: `test_error_percent`."""


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

    @property
    def headline_metric(self) -> Metric:
        return next(each for each in self.metrics if each.name == self.headline)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{part}_{metric.name}" for part in PARTS for metric in self.metrics)

    def headlines(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Part of the data → the headline metric of a row of metrics.csv, as people read it."""
        metric, found = self.headline_metric, {}
        for part in PARTS:
            value = row.get(f"{part}_{metric.name}")
            if value is not None:
                found[part.replace("_", "-")] = metric.said(value)
        return found
