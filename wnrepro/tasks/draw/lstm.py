"""The LSTM of DRAW: Graves' cell with peepholes, its linear maps given from outside.

Source: the cell of the code that the paper used (Blocks' `LSTM`).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class State(NamedTuple):
    """h, c: (B, H), the output and the memory cell."""

    h: Tensor
    c: Tensor


class Peepholes(nn.Module):
    """The elementwise part of an LSTM of H units:

        i = σ(a_i + p_i∘c)    f = σ(a_f + p_f∘c)    c' = f∘c + i∘tanh(a_c)
        o = σ(a_o + p_o∘c')   h' = o∘tanh(c')

    a: (B, 4·H), what the input's and the recurrent linear map add up to, in the order i, f, c, o.
    The diagonal p are no weight vectors: weight norm leaves them as they are.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.p_i, self.p_f, self.p_o = (nn.Parameter(torch.empty(units)) for _ in range(3))

    def forward(self, a: Tensor, state: State) -> State:
        n = a.shape[1] // 4
        a_if, a_c, a_o = a.split((2 * n, n, n), 1)
        seen = torch.stack([self.p_i, self.p_f]) * state.c.unsqueeze(1)
        i, f = torch.sigmoid(a_if.unflatten(1, (2, n)) + seen).unbind(1)
        c = f * state.c + i * torch.tanh(a_c)
        return State(torch.sigmoid(torch.addcmul(a_o, self.p_o, c)) * torch.tanh(c), c)
