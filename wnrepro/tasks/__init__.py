"""The kinds of experiment, found by name: a folder here is a task.

    __init__.py     `TASK`: its metrics, their units, which one to look at first, its keys, pictures
    checks.py       `check(config)` refuses what the task cannot do; `has_long_steps(config)`:
                    whether a step is worth several CPU threads, and a long run compiling
                    of a task whose examples are no data set's also `require(config)`, which raises
                    RunError where something is not installed; `epoch_steps(config)`: steps of an
                    epoch, and how many of them its evaluation is worth; `shrink(config)`, to
                    `config.scale`
    assembly.py     `training(config, device)` builds a `wnrepro.training.Training`;
                    `made_up(config, device, n)` the same on n made-up examples, to time a step

The first two import no torch. Nothing outside a task's folder knows its name.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from wnrepro.tasks.facts import PARTS, Metric, Task, TaskConfig

__all__ = ["COLUMNS", "PARTS", "TASKS", "Metric", "Task", "TaskConfig", "part_of", "task_of"]

FIRST = "classification"


def part_of(name: str, part: str) -> ModuleType:
    """The module `part`, `checks` or `assembly`, of the task `name`."""
    return import_module(f"{TASKS[name].package}.{part}")


def task_of(config: Mapping[str, Any]) -> Task:
    """Of a run's resolved config. Older runs, which had one task only, do not name it."""
    return TASKS[config["task"]["name"] if "task" in config else FIRST]


def _found() -> dict[str, Task]:
    names = sorted(each.name for each in pkgutil.iter_modules(__path__) if each.ispkg)
    return {name: import_module(f"{__name__}.{name}").TASK for name in names}


TASKS: dict[str, Task] = _found()

COLUMNS = tuple(dict.fromkeys(column for task in TASKS.values() for column in task.columns))
"""The metrics of all tasks, as columns of runs.csv."""
