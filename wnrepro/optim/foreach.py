"""What all optimisers share: the walk over the parameters, their state, what is refused."""

import inspect
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

    Raises ValueError for a learning rate or ε below 0, for a decay outside [0, 1) and for complex
    parameters, RuntimeError for a sparse gradient: a step that is refused changes nothing.
    """

    state_names: ClassVar[tuple[str, ...]]

    # torch wraps these, so that its compiler leaves them alone, and the wrapper imports the
    # compiler: two seconds at the start of every run.
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(self, params: Parameters, **settings: Any) -> None:
        _check(settings)
        super().__init__(params, settings)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's, with the settings checked; the constructor's groups come through here too."""
        _check({**self.defaults, **param_group})
        inspect.unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)
        if any(p.is_complex() for p in self.param_groups[-1]["params"]):
            self.param_groups.pop()
            # Their averages are of |∇|²; ∇² is another number.
            raise ValueError(f"{type(self).__name__} takes real parameters only, none complex")

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  # torch declares overloads
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Every gradient is looked at before the first parameter changes.
        gradients: list[list[tuple[Tensor, Tensor]]] = []
        for group in self.param_groups:
            gradients.append([(p, g) for p in group["params"] if (g := p.grad) is not None])
            for _, gradient in gradients[-1]:
                if gradient.is_sparse:
                    raise RuntimeError(f"{type(self).__name__} takes dense gradients only")
        for group, pairs in zip(self.param_groups, gradients, strict=True):
            # Together only what has had as many updates: Adam's bias correction depends on it.
            by_step: dict[int, list[tuple[Tensor, ...]]] = {}
            for p, gradient in pairs:
                state = self.state[p] or self._start(p)
                state["step"] += 1
                tensors = p, gradient, *[state[name] for name in self.state_names]
                by_step.setdefault(state["step"], []).append(tensors)
            for t, rows in by_step.items():
                self._update(group, t, *map(list, zip(*rows, strict=True)))
        return loss

    def _start(self, p: Tensor) -> dict[str, Any]:
        """Make the state of `p`, which has had no update."""
        state = self.state[p]
        state["step"] = 0
        for name in self.state_names:
            state[name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        return state

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
    betas = tuple(settings.get("betas", (0, 0)))
    if len(betas) != 2:
        raise ValueError(f"there must be two betas, not {betas}")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"each beta must lie in [0, 1), not {betas}")
    if not settings.get("eps", 0) >= 0:
        raise ValueError(f"eps must be at least 0, not {settings['eps']}")
