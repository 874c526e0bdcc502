"""The paper's arguments, each tested on its own: a claim, a measurement, a figure, a verdict.

`python scripts/mechanisms.py` measures, judges and draws; the page is results/mechanisms/README.md,
and verdicts.csv and findings.csv beside it say the same to programs.

One module per experiment: `<name>.py` measures and judges, `<name>.md` says what the paper claims
and what was expected. What a module must have: `wnrepro.mechanisms.experiment`.
"""

from wnrepro import headless as headless  # before any module here imports matplotlib

# isort: split
from importlib import import_module

from wnrepro.mechanisms.experiment import Experiment

NAMES: tuple[str, ...] = (
    "norm_growth",
    "stability",
    "conditioning",
    "whitening",
    "init",
    "l2",
    "mean_noise",
)
"""The experiments in the order of the page; each is a module of this package with that name."""


def load(name: str) -> Experiment:
    """The experiment that the module `name` declares."""
    return import_module(f"{__name__}.{name}").EXPERIMENT
