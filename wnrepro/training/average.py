"""An average of the parameters over the last steps, for evaluation."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ParameterAverage:
    """p̄ ← d·p̄ + (1 − d)·p after each step, from p̄ = p at the start (Polyak averaging).

    decay: d, in [0, 1); about the last 1/(1 − d) steps count.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay must lie in [0, 1), not {decay}")
        self.parameters: list[Tensor] = list(parameters)
        self.decay = decay
        self.restart()

    def restart(self) -> None:
        self.averages = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self.averages, self.parameters, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """In it, the parameters are the averages."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for p, average in zip(self.parameters, self.averages, strict=True):
            kept = p.clone()
            p.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> list[Tensor]:
        return [each.clone() for each in self.averages]

    def load_state_dict(self, state: list[Tensor]) -> None:
        for average, value in zip(self.averages, state, strict=True):
            average.copy_(value)
