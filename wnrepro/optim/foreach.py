"""What all optimisers share: the walk over the parameters, their state, what is refused."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
"""Tensors, or groups of them as torch's optimisers take them, each with settings of its own."""


class ForeachOptimizer(torch.optim.Optimizer, ABC):
    """An optimiser that updates each tensor for itself, by a few calls over lists of tensors.

    A subclass names its state tensors in `state_names` and writes its equation in `_update`. The
    state of a parameter is made at its first gradient: `step`, the number of its updates, and the
    named tensors, of the parameter's shape and memory format, 0 at the start. Every setting in
    `param_groups` may change between steps.

    Parameters whose gradient is None are left alone, and their state with them.

    Raises ValueError for a learning rate or ε below 0 and for a decay outside [0, 1), RuntimeError
    for a sparse gradient.
    """

    state_names: ClassVar[tuple[str, ...]]

    def __init__(self, params: Parameters, **settings: Any) -> None:
        _check(settings)
        super().__init__(params, settings)

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  # torch declares overloads
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # Together only what has had as many updates: Adam's bias correction depends on it.
            by_step: dict[int, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_step.setdefault(self._next_step(p), []).append(p)
            for t, params in by_step.items():
                gradients = [p.grad for p in params if p.grad is not None]
                state = [[self.state[p][name] for p in params] for name in self.state_names]
                self._update(group, t, params, gradients, *state)
        return loss

    def _next_step(self, p: Tensor) -> int:
        """The number of the update that `p` is about to have, from 1; makes missing state."""
        if p.grad is not None and p.grad.is_sparse:
            raise RuntimeError(f"{type(self).__name__} takes dense gradients only")
        state = self.state[p]
        if not state:
            state["step"] = 0
            for name in self.state_names:
                state[name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        state["step"] += 1
        return state["step"]

    @abstractmethod
    def _update(
        self,
        group: Mapping[str, Any],
        t: int,
        params: list[Tensor],
        gradients: list[Tensor],
        *state: list[Tensor],
    ) -> None:
        """Update number t of `params`, in place, and of their state, in `state_names`' order."""


def _check(settings: Mapping[str, Any]) -> None:
    if not settings["lr"] >= 0:
        raise ValueError(f"the learning rate must be at least 0, not {settings['lr']}")
    if not 0 <= settings.get("gamma", 0) < 1:
        raise ValueError(f"gamma must lie in [0, 1), not {settings['gamma']}")
    if not all(0 <= beta < 1 for beta in settings.get("betas", ())):
        raise ValueError(f"each beta must lie in [0, 1), not {tuple(settings['betas'])}")
    if not settings.get("eps", 0) >= 0:
        raise ValueError(f"eps must be at least 0, not {settings['eps']}")
