"""What share of a training step is no convolution: eager steps, profiled one by one.

Of an operator counts the time spent in itself (on a GPU: in its kernels), not in those that it
calls; the note names the five that take most. Time between operators, Python's own, does not count.
The profiler slows small operators down; how long a step takes is said by `steps`. On a CPU with one
thread, in float32 and in bf16.
"""

import os
from collections.abc import Iterator

import pandas as pd
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import cifar, step_of
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import threads
from wnrepro.training import SupervisedTraining

AMX_GOAL = Goal(15)
"""Of weight norm in bf16, in percent, where the processor has matrix units."""


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
            convolutions = shares.filter(regex="(?i)conv").sum(axis=1)
            found = 100 - convolutions.to_numpy()
            assert found.max() < 100, "no convolution in the profile of a convolutional network"
            largest = shares.median().nlargest(5)
            note = ", ".join(f"{operator} {share:.0f} %" for operator, share in largest.items())
            judged = setting.matrix_units and (arm, precision) == ("wn", "bf16")
            yield Measurement(name, "%", found, goal=AMX_GOAL if judged else None, note=note)


def _shares(training: SupervisedTraining, repeats: int) -> pd.DataFrame:
    """The percentage of each operator, a row per repeat."""
    # Else the profiler writes two lines to the terminal for each step.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    step, on_gpu = step_of(training), training.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    for _ in range(2):
        step()
    found = []
    for _ in range(repeats):
        with profile(activities=activities, acc_events=True) as profiler:
            step()
            if on_gpu:
                torch.cuda.synchronize()
        found.append(
            {
                each.key: each.self_device_time_total if on_gpu else each.self_cpu_time_total
                for each in profiler.key_averages()
                if each.device_type == DeviceType.CPU  # a GPU's kernels count with their operators
            }
        )
    microseconds = pd.DataFrame(found).fillna(0.0)
    return 100 * microseconds.div(microseconds.sum(axis=1), axis=0)
