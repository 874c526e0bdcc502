"""Where the time of a training step goes: one eager step per arm, its operations by class.

Of an operation counts the time spent in itself (on a GPU: in its kernels), not in those that it
calls. What it belongs to is said by its name (convolutions, products, copies) or by the module it
was called from; the backward pass of an operation belongs where the operation does. Time between
operations, Python's own, is in no class. The profiler slows small operations down: shares are to
be compared, times are those of the other groups.
"""

import re
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, record_function

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.row import Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import cifar
from wnrepro.classification import Sums
from wnrepro.nn import (
    BatchNorm,
    Dropout,
    GaussianNoise,
    MeanOnlyBatchNorm1d,
    MeanOnlyBatchNorm2d,
)
from wnrepro.nn.layers import WeightNormLayer
from wnrepro.step import Step

_BY_NAME = {
    "convolution": re.compile(r"conv", re.IGNORECASE),
    "matrix product": re.compile(r"aten::(addmm|mm|bmm|baddbmm|mkldnn_linear)"),
    "copies": re.compile(r"aten::copy_"),
}
_BY_MODULE = {
    "weight norm": WeightNormLayer,  # but for its convolution or product, which has its name
    "normalisation": (BatchNorm, MeanOnlyBatchNorm1d, MeanOnlyBatchNorm2d),
    "nonlinearity": nn.LeakyReLU,
    "pooling": (nn.MaxPool2d, nn.AdaptiveAvgPool2d),
    "noise": (Dropout, GaussianNoise),
}
_RANGE = "class: "
_BACKWARD = "autograd::engine::evaluate_function"

CLASSES = (
    *("convolution", "matrix product", "weight norm", "normalisation", "nonlinearity", "pooling"),
    *("noise", "loss", "optimiser", "copies", "other"),
)


def profile(setting: Setting) -> Iterator[Row]:
    task = cifar(setting, 96)
    dataset = task.dataset(setting, task.batch_size, 1)
    images, labels = dataset.train.images, dataset.train.labels
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setting.gpu else [])]
    for arm in PAPER_ARMS:
        training = task.training(setting, dataset, arm)
        step = Step(training.model, training.optimizer, Sums(setting.device), training.autocast)
        for _ in range(setting.pick(3, 1)):
            step(images, labels)
        _name_modules(training.model)
        count = setting.pick(5, 1)
        with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
            for _ in range(count):
                step(images, labels)
            if setting.gpu:
                torch.cuda.synchronize()
        parts = by_class(profiler.events() or [], setting.gpu)
        parts = {name: milliseconds / count for name, milliseconds in parts.items()}
        total = sum(parts.values())
        assert parts["convolution"] > 0, "no convolution in the profile of a convolutional network"
        largest = sorted(parts, key=lambda name: -parts[name])[:4]
        shares = ", ".join(f"{name} {100 * parts[name] / total:.0f} %" for name in largest)
        yield Row(
            f"time in operations, eager, {ARMS[arm].label}, {task.name}",
            *("ms", [total]),
            note=shares,
            parts=parts,
        )


def by_class(events: Sequence[FunctionEvent], on_gpu: bool) -> dict[str, float]:
    """Milliseconds per class, all of CLASSES."""
    ordered = sorted(
        (each for each in events if each.device_type == torch.autograd.DeviceType.CPU),
        key=lambda each: each.time_range.start,
    )
    # The operation that made a node of the graph is the last forward one with its number.
    forward: dict[int, str] = {}
    for event in ordered:
        if event.sequence_nr >= 0 and not _in_backward(event):
            forward[event.sequence_nr] = _class(event, {})
    totals = dict.fromkeys(CLASSES, 0.0)
    for event in ordered:
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        totals[_class(event, forward)] += microseconds / 1e3
    return totals


def _class(event: FunctionEvent, forward: dict[int, str]) -> str:
    for name, pattern in _BY_NAME.items():
        if pattern.search(event.name) and not event.name.startswith(_BACKWARD):
            return name
    for each in _with_ancestors(event):
        if each.name.startswith(_RANGE):
            return each.name.removeprefix(_RANGE)
        if each.name.startswith("Optimizer."):
            return "optimiser"
        if each.name.startswith(_BACKWARD):
            return forward.get(each.sequence_nr, "other")
    return "loss"  # what is in no module and no update: loss, errors, sums


def _in_backward(event: FunctionEvent) -> bool:
    return any(each.name.startswith(_BACKWARD) for each in _with_ancestors(event))


def _with_ancestors(event: FunctionEvent) -> Iterator[FunctionEvent]:
    each: FunctionEvent | None = event
    while each is not None:
        yield each
        each = each.cpu_parent


def _name_modules(model: nn.Module) -> None:
    """Make what is called from a module of a class a range of the profile."""
    for module in model.modules():
        for name, types in _BY_MODULE.items():
            if isinstance(module, types):
                _put_in_range(module, _RANGE + name)


def _put_in_range(module: nn.Module, name: str) -> None:
    inner = module.forward

    def forward(*inputs: torch.Tensor) -> torch.Tensor:
        with record_function(name):
            return inner(*inputs)

    module.forward = forward
