"""Training, as the runner sees it, and the loop that every task with a loss shares.

    protocol.py     what a runner needs of any training: epochs of metrics, a state, a clock
    supervised.py   batches, a loss, gradient steps: classification, and whatever has a loss
    step.py         one such step: eager, compiled, or replayed by a GPU
    average.py      the parameters' average over the last steps, for evaluation
    sums.py         what a step adds up, on the device
    clock.py        seconds of training, pauses left out
    record.py       norms by layer, memory: what any training records

Knows no disk, no W&B and no Hydra.
"""

from wnrepro.training.average import ParameterAverage
from wnrepro.training.protocol import AfterStep, Epoch, LargeState, Training
from wnrepro.training.step import Step, compiled
from wnrepro.training.sums import Sums
from wnrepro.training.supervised import Objective, SupervisedTraining

__all__ = [
    "AfterStep",
    "Epoch",
    "LargeState",
    "Objective",
    "ParameterAverage",
    "Step",
    "Sums",
    "SupervisedTraining",
    "Training",
    "compiled",
]
