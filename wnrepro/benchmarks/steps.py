"""What a training step of each arm costs: against another arm's, and the least time it can take.

The network has the paper's width on a CPU too: in a narrow one all that is not a convolution weighs
more. First with all of torch's threads against plain, in the precision of a run; on a GPU compiled
and captured, as in a run of 200 epochs. On a CPU then with one thread, in float32 and in bf16,
against weight norm: two runs of one thread side by side are the fastest way through the paper's
protocol on two cores. The least time: see `limit`.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.limit import flops, product
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import check_finite, check_same_loss, cifar, step_of
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import compare, threads

GOALS = {"wn": Goal(1.02), "wn_mean_only_bn": Goal(1.05)}
"""Against plain."""
AMX_GOALS = {"bn": Goal(1.25), "mean_only_bn": Goal(1.10), "wn_mean_only_bn": Goal(1.10)}
"""Against weight norm, where the processor has matrix units."""
AMX_LEAST = Goal(1.35)


def steps(setting: Setting) -> Iterator[Measurement]:
    yield from _rows(setting, "plain", GOALS, None, setting.precision)
    if setting.gpu:
        return
    for precision in ("float32", "bf16"):
        if precision == "bf16" and setting.no_bf16:
            yield Measurement("steps in bf16, one thread", note=setting.no_bf16)
            continue
        goals = AMX_GOALS if setting.matrix_units else {}
        least = AMX_LEAST if setting.matrix_units and precision == "bf16" else None
        said = f"{precision}, one thread, "
        yield from _rows(setting, "wn", goals, least, precision, 1, said)


def _rows(
    setting: Setting,
    base: str,
    goals: Mapping[str, Goal],
    least_goal: Goal | None,
    precision: str,
    count: int | None = None,
    said: str = "",
) -> Iterator[Measurement]:
    """Each arm ÷ `base`, and weight norm ÷ its least time. said: in the rows' names."""
    network = cifar(setting, 96)
    with threads(count):
        # All are built before the first runs: building compiled steps forgets what is compiled.
        trainings = {
            arm: network.on_one_batch(setting, arm, precision, count) for arm in PAPER_ARMS
        }
        # bf16, and TF32, in which a GPU convolves float32, have three digits.
        rtol = 1e-4 if precision == "float32" and not setting.gpu else 2e-2
        check_same_loss(trainings["plain"], trainings["wn"], rtol)
        check_same_loss(trainings["mean_only_bn"], trainings["wn_mean_only_bn"], rtol)
        work, large = flops(trainings["wn"]), product(setting, precision)
        functions = [step_of(training) for training in trainings.values()]
        *series, per_product = 1e3 * compare(setting, *functions, large.run, repeats=7)
    for training in trainings.values():
        check_finite(training)
    times = dict(zip(PAPER_ARMS, series, strict=True))
    for arm in PAPER_ARMS:
        if arm != base:
            name = f"step of {ARMS[arm].label} ÷ of {ARMS[base].label}, {said}{network.name}"
            yield Measurement(name, "ms", times[arm], times[base], goals.get(arm))
    least = work / large.flops * per_product
    share = 100 * np.median(least / times["wn"])
    yield Measurement(
        f"step ÷ least time, {ARMS['wn'].label}, {said}{network.name}",
        *("ms", times["wn"], least, least_goal),
        note=f"{work / 1e9:.3g} GFLOP; {share:.0f} % of the rate of {large.text}",
    )
