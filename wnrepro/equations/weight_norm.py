"""Weight normalization and its gradients: the paper's eq. 1 to 4, and what follows from them.

A layer is v of shape (units, inputs), a row per output unit, with g and b of shape (units). What
the paper says of one weight vector with a matrix (M_w, C, D) is here a function of one row.

v/‖v‖ has no limit at v = 0: every function that divides by ‖v‖ raises ValueError there, and where
the square of the norm leaves the range of float64. (`wnrepro.nn.weight_norm` chooses w = 0.) All
raise ValueError for tensors that are not float64 or of other shapes than their docstring says.

Source: Salimans & Kingma, *Weight Normalization* (NIPS 2016), section 2.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from wnrepro.equations.checks import check, check_alike, check_squares


def unit(x: Tensor, w: Tensor, b: Tensor, phi: Callable[[Tensor], Tensor]) -> Tensor:
    """y = φ(w·x + b).

    x: (batch, inputs). w: (units, inputs). b: (units). phi: φ, elementwise.
    Returns y, (batch, units).

    Source: paper eq. 1.
    """
    check(x=(x, "batch inputs"), w=(w, "units inputs"), b=(b, "units"))
    return phi(x @ w.T + b)


def weight(v: Tensor, g: Tensor) -> Tensor:
    """w = (g/‖v‖) v, so that ‖w‖ = |g| whatever v is.

    v: (units, inputs). g: (units); may be 0 or negative. Returns w, (units, inputs).

    Source: paper eq. 2.
    """
    check(v=(v, "units inputs"), g=(g, "units"))
    return (g / _norm(v, "v"))[:, None] * v


def gradient_g(v: Tensor, gradient_w: Tensor) -> Tensor:
    """∇_g L = ∇_w L · v/‖v‖.

    v, gradient_w: (units, inputs). Returns (units).

    Source: paper eq. 3, left.
    """
    check(v=(v, "units inputs"), gradient_w=(gradient_w, "units inputs"))
    return (gradient_w * v).sum(1) / _norm(v, "v")


def gradient_v(v: Tensor, g: Tensor, gradient_w: Tensor) -> Tensor:
    """∇_v L = (g/‖v‖) ∇_w L − (g ∇_g L/‖v‖²) v.

    v, gradient_w: (units, inputs). g: (units). Returns (units, inputs).

    Source: paper eq. 3, right.
    """
    check(v=(v, "units inputs"), g=(g, "units"), gradient_w=(gradient_w, "units inputs"))
    length = _norm(v, "v")
    scale = g / length
    # v/‖v‖ by itself, as 1/‖v‖² alone overflows where the whole term does not
    along = (scale * gradient_g(v, gradient_w))[:, None] * (v / length[:, None])
    return scale[:, None] * gradient_w - along


def projection(w: Tensor) -> Tensor:
    """M_w = I − w wᵀ/‖w‖²: the projection onto what is orthogonal to w.

    Symmetric, M_w M_w = M_w, M_w w = 0, and its trace is inputs − 1. It depends on the line that w
    spans alone, so M_w = M_v.

    w: (inputs). Returns (inputs, inputs).

    Source: paper eq. 4, right.
    """
    check(w=(w, "inputs"))
    length = _norm(w, "w")
    return torch.eye(len(w), dtype=w.dtype, device=w.device) - w[:, None] * w[None, :] / length**2


def gradient_v_projected(v: Tensor, g: Tensor, gradient_w: Tensor) -> Tensor:
    """∇_v L = (g/‖v‖) M_w ∇_w L, the same as `gradient_v`; orthogonal to v and to w.

    v, gradient_w: (units, inputs). g: (units). Returns (units, inputs).

    Source: paper eq. 4, left.
    """
    check(v=(v, "units inputs"), g=(g, "units"), gradient_w=(gradient_w, "units inputs"))
    length = _norm(v, "v")
    # M_v for M_w: they are equal, and w has no direction where g = 0.
    rows = [g[k] / length[k] * (projection(v[k]) @ gradient_w[k]) for k in range(len(v))]
    return torch.stack(rows) if rows else torch.zeros_like(v)


def norm_growth(v: Tensor, delta_v: Tensor) -> Tensor:
    """‖v′‖ = √(1 + c²) ‖v‖ with c = ‖Δv‖/‖v‖: the norm of v′ = v + Δv where Δv ⟂ v.

    A step of gradient descent is Δv = −η ∇_v L, orthogonal to v by eq. 4, so the law is exact and
    ‖v‖ never falls. With momentum or Adam Δv is not orthogonal, and this is not ‖v + Δv‖: the
    difference of squares is 2 v·Δv.

    v, delta_v: (units, inputs); orthogonality is not checked. Returns (units).

    Source: paper section 2.1.
    """
    check_alike(v=v, delta_v=delta_v)
    check(v=(v, "units inputs"))
    length = _norm(v, "v")
    check_squares(delta_v, 1, "delta_v")
    c = (delta_v**2).sum(1) ** 0.5 / length
    return torch.hypot(torch.ones_like(c), c) * length  # √(1 + c²), also where c² overflows


def gradient_covariance(v: Tensor, g: Tensor, c: Tensor) -> Tensor:
    """D = (g²/‖v‖²) M_w C M_w: the covariance of ∇_v L where that of ∇_w L is C.

    D w = 0. Where w is an eigenvector of C, D has the other eigenvalues of C times g²/‖v‖²: if it
    is the dominant one, D is closer to a multiple of the identity than C on the rest of the space.

    v: (inputs), one unit. g: its scale, (). c: C, (inputs, inputs). Returns (inputs, inputs).

    Source: paper section 2.1.
    """
    check(v=(v, "inputs"), g=(g, ""), c=(c, "inputs inputs"))
    m = projection(v)  # M_v = M_w; see `gradient_v_projected`
    return (g / _norm(v, "v")) ** 2 * (m @ c @ m)


def _norm(v: Tensor, name: str) -> Tensor:
    """‖v‖ over the last axis. ValueError, with the name, where v/‖v‖ cannot be had."""
    check_squares(v, -1, name)
    length = (v**2).sum(-1) ** 0.5
    zero = torch.atleast_1d(length == 0)
    if zero.any():
        vector = int(zero.nonzero()[0])
        raise ValueError(f"{name} has norm 0 and so no direction (vector {vector} of {len(zero)})")
    return length
