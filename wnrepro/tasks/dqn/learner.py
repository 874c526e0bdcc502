"""One update of the network, from a batch of the replay."""

import copy
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from wnrepro.nn import NormalizedLayer, fold
from wnrepro.tasks.dqn.network import QNetwork
from wnrepro.tasks.dqn.replay import Batch


class Learner:
    """The network, its target network and its optimiser.

        y = r + γ·(1 − terminal)·max_a Q⁻(s', a)
        L = Σ over the batch of huber(Q(s, a) − y), with δ = 1

    (Mnih et al. 2015, methods, "Training algorithm": the error clipped to ±1 is the gradient of
    Huber's loss; summed over the batch, as theirs and deep_q_rl's.) Q⁻, the target network, is
    set equal to Q at the start and after every `target_every` updates. Its weights are computed
    then, once, also where an arm has w = g·v/‖v‖.
    """

    def __init__(
        self,
        network: QNetwork,
        optimizer: torch.optim.Optimizer,
        *,
        discount: float,
        target_every: int,
    ) -> None:
        self.network, self.optimizer = network.eval(), optimizer
        self.discount, self.target_every = discount, target_every
        self.updates = 0
        self._layers = [each for each in network.children() if isinstance(each, NormalizedLayer)]
        self._has_modes = any(each.running_mean is not None for each in self._layers)
        self.synchronise()

    @property
    def device(self) -> torch.device:
        return self.network.q.v.device

    def synchronise(self) -> None:
        """Set Q⁻ equal to Q."""
        self.target: nn.Module = fold(copy.deepcopy(self.network)).requires_grad_(False)

    def update(self, batch: Batch) -> Tensor:
        """One step of the optimiser; the loss, of the network before it, is not waited for."""
        states, actions, rewards, next_states, terminal = (
            each.to(self.device, non_blocking=True) for each in batch
        )
        with torch.no_grad():
            best = self.target(next_states).amax(1)
            targets = rewards.to(best.dtype) + self.discount * (1 - terminal.to(best.dtype)) * best
        if self._has_modes:  # to set a mode takes as long as a small layer
            self.network.train()
        q = self.network(states).gather(1, actions.unsqueeze(1)).squeeze(1)
        loss = F.huber_loss(q, targets, reduction="sum")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if self._has_modes:
            self.network.eval()
        self.updates += 1
        if self.updates % self.target_every == 0:
            self.synchronise()
        return loss.detach()

    @torch.no_grad()
    def best(self, state: Tensor) -> int:
        """The action of the largest Q in this state, (C, H, W). Within `constant` it is quicker."""
        return int(self.network(state.unsqueeze(0).to(self.device)).argmax())

    @staticmethod
    def constant() -> AbstractContextManager[None]:
        """In it weights w = g·v/‖v‖ are computed once, as long as the network stays as it is."""
        return parametrize.cached()

    def weights(self) -> list[Tensor]:
        """w of each layer; asked for within `constant`, also those of an update that follows."""
        return [cast(Tensor, layer.linear.weight) for layer in self._layers]

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]
