"""What share of a training step is no convolution: eager steps, profiled one by one.

Of an operation counts the time spent in itself (on a GPU: in its kernels), not in those that it
calls. What it belongs to is said by its name (convolutions, products, copies) or by the module it
was called from; the backward pass of an operation belongs where the operation does. Time between
operations, Python's own, is in no class. The profiler slows small operations down; how long a step
takes is said by `steps`. On a CPU with one thread, in float32 and in bf16.
"""

import re
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, record_function

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import cifar, step_of
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import threads
from wnrepro.nn import BatchNorm, Dropout, GaussianNoise, MeanOnlyBatchNorm1d, MeanOnlyBatchNorm2d
from wnrepro.nn.layers import WeightNormLayer
from wnrepro.training import SupervisedTraining

AMX_GOAL = Goal(15)
"""Of weight norm in bf16, in percent, where the processor has matrix units."""
CONVOLUTION = "convolution"
_BY_NAME = {
    CONVOLUTION: re.compile(r"conv", re.IGNORECASE),
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
CLASSES = (*_BY_NAME, *_BY_MODULE, "loss", "optimiser", "other")
_RANGE = "class: "
_BACKWARD = "autograd::engine::evaluate_function"


def step_shares(setting: Setting) -> Iterator[Measurement]:
    network = cifar(setting, 96)
    count = setting.on_gpu_or_cpu(None, 1)
    for precision in setting.on_gpu_or_cpu(("bf16",), ("float32", "bf16")):
        said = precision if setting.gpu else f"{precision}, one thread"
        for arm in PAPER_ARMS:
            name = f"no convolution, share of a step, {ARMS[arm].label}, {said}, {network.name}"
            if precision == "bf16" and setting.no_bf16:
                yield Measurement(name, note=setting.no_bf16)
                continue
            with threads(count):
                training = network.on_one_batch(setting, arm, precision, count, eager=True)
                shares = _shares(training, setting.pick(7, 2))
            found = 100 - shares[CONVOLUTION].to_numpy()
            assert found.max() < 100, "no convolution in the profile of a convolutional network"
            largest = shares.median().nlargest(5)
            note = ", ".join(f"{name} {share:.0f} %" for name, share in largest.items())
            judged = setting.matrix_units and (arm, precision) == ("wn", "bf16")
            yield Measurement(name, "%", found, goal=AMX_GOAL if judged else None, note=note)


def _shares(training: SupervisedTraining, repeats: int) -> pd.DataFrame:
    """The percentage of each class, a row per repeat."""
    step, on_gpu = step_of(training), training.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    for _ in range(2):
        step()
    _name_modules(training.model)
    found = []
    for _ in range(repeats):
        with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
            step()
            if on_gpu:
                torch.cuda.synchronize()
        found.append(by_class(profiler.events() or [], on_gpu))
    microseconds = pd.DataFrame(found)
    return 100 * microseconds.div(microseconds.sum(axis=1), axis=0)


def by_class(events: Sequence[FunctionEvent], on_gpu: bool) -> dict[str, float]:
    """Microseconds per class, all of CLASSES."""
    ordered = sorted(
        (each for each in events if each.device_type == torch.autograd.DeviceType.CPU),
        key=lambda each: each.time_range.start,
    )
    # The operation that made a node of the graph is the last forward one with its number.
    forward: dict[int, str] = {}
    for event in ordered:
        in_backward = any(each.name.startswith(_BACKWARD) for each in _with_ancestors(event))
        if event.sequence_nr >= 0 and not in_backward:
            forward[event.sequence_nr] = _class(event, {})
    totals = dict.fromkeys(CLASSES, 0.0)
    for event in ordered:
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        totals[_class(event, forward)] += microseconds
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
