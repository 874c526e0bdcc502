"""What runs still take on this machine: from a few steps of each kind of work, not from records.

Records of other machines would say what those took, and a run that was never made has none.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wnrepro.commands.launchers.local import places
from wnrepro.config import Config

if TYPE_CHECKING:
    from wnrepro.cost import Cost


class Machine:
    """What runs take here, measured once for each kind of work."""

    def __init__(self) -> None:
        self._measured: dict[str, tuple[Cost, float]] = {}

    def rest(self, runs: Sequence[tuple[Config, int]]) -> "tuple[Cost, int]":
        """Of runs, each with the epochs that it has behind it; and how many go side by side.

        Raises RunError where this machine lacks the device that is asked for.
        """
        from wnrepro.cost import Cost  # imports torch

        at_once = min(len(runs), places([config for config, _ in runs]))
        flop = seconds = 0.0
        for config, epochs in runs:
            cost, share = self._cost(config), 1 - epochs / config.epochs
            flop, seconds = flop + share * cost.flop, seconds + share * cost.seconds
        return Cost(flop, seconds / at_once), at_once

    def _cost(self, config: Config) -> "Cost":
        """By the first arm that is asked for; arms differ less than machines do."""
        from wnrepro import cost

        work = (config.task, config.data.name, config.model, config.batch_size)
        kind = repr((*work, config.precision, config.device))
        if kind not in self._measured:
            here = replace(config, compile=False)
            self._measured[kind] = (cost.measure(here), cost.steps(here))
        measured, measured_steps = self._measured[kind]
        share = cost.steps(config) / measured_steps
        return cost.Cost(share * measured.flop, share * measured.seconds)
