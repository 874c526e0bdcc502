"""Layer normalisation (Ba, Kiros & Hinton 2016, eq. 3 and 4; not in the paper)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.Module):
    """y = g·(t − μ[t])/√(σ²[t] + ε) + b, with μ and σ² per example, g and b per unit.

    μ and σ² (biased) are over all units of the layer: for a t of shape (N, C) over C, as
    `torch.nn.LayerNorm(C)`; for a t of shape (N, C, …), of a convolution, over channels and
    positions, as `torch.nn.GroupNorm(1, C)`. Training and evaluation do the same, and no example
    depends on the others. ε is 1e-6, as that of `BatchNorm` here; torch's own is 1e-5.

    t: (N, C) or (N, C, …), with at least two values per example: of a single value nothing but b
    would be left. g, b: (C,). y has t's dtype.
    Raises ValueError for another shape, or a negative eps.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not eps >= 0:
            raise ValueError(f"eps must be at least 0, got {eps}")
        self.num_features = num_features
        self.eps = eps
        self.g = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))

    def forward(self, t: Tensor) -> Tensor:
        c = self.num_features
        if t.ndim < 2 or t.shape[1] != c:
            raise ValueError(f"expected (N, {c}) or (N, {c}, …), got {tuple(t.shape)}")
        if t.shape[1:].numel() < 2:
            raise ValueError(
                f"layer norm needs at least two values per example, got {tuple(t.shape)}"
            )
        if t.ndim == 2:
            y = F.layer_norm(t, (c,), self.g, self.bias, self.eps)
        else:
            y = F.group_norm(t, 1, self.g, self.bias, self.eps)
        return y if y.dtype == t.dtype else y.to(t.dtype)  # autocast computes it in float32

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"
