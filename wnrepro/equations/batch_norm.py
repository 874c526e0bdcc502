"""Batch norm forwards and backwards by the chain rule, as the course notes write it.

    μ = mean(Z)    σ = √mean((Z − μ)²)    Z̄ = (Z − μ)/(σ + ε)    Y = G Z̄ + B

Z is (batch, channels); the means are over the batch, so that channels do not meet. ε is added to
σ, in units of Z. (torch and `wnrepro.nn.BatchNorm` divide by √(σ² + ε).)

**The notes leave ε out of their backward formulas; here it is kept**, and `eps=0` is what the
notes say. What they leave out: with r the part of ∂L/∂Y orthogonal to both 1 and Z − μ, and a the
coefficient of (Z − μ)/σ in it, the gradient is

    exact:  ∂L/∂Z = G [r/(σ + ε) + a (Z − μ)/σ · ε/(σ + ε)²]        notes:  ∂L/∂Z = G r/σ

so the notes' r is too large by the factor 1 + ε/σ and the pull along Z − μ is missing whole.

σ has a corner where a channel is constant over the batch. ∂σ/∂Z is 0 there by convention; Z̄ and Y
are smooth for ε > 0 and their derivatives are right with it, also for a batch of 1, whose Z̄ is
always 0. With ε = 0 such a channel is 0/0, and a ValueError.

All raise ValueError for tensors that are not float64 or of other shapes than their docstring says,
for an empty batch and for ε < 0.

Source: course notes.
"""

import torch
from torch import Tensor

from wnrepro.equations.checks import check, check_batch, check_not_negative, check_squares
from wnrepro.equations.weight_norm import weight


def moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """μ = mean(Z) and σ = √mean((Z − μ)²) over the batch: the biased σ, without ε.

    z: (batch, channels). Returns μ and σ, (channels) each.
    """
    check(z=(z, "batch channels"))
    check_batch(z=z)
    # Relative to the first row, so that the σ of a constant channel is 0 and no rounding error.
    mu = z[0] + (z - z[0]).mean(0)
    check_squares(z - mu, 0, "z − μ")
    return mu, ((z - mu) ** 2).mean(0) ** 0.5


def standardised(z: Tensor, *, eps: float) -> Tensor:
    """Z̄ = (Z − μ)/(σ + ε). z: (batch, channels), and so the result."""
    mu, denominator = _mu_denominator(z, eps)
    return (z - mu) / denominator


def batch_norm(z: Tensor, g: Tensor, b: Tensor, *, eps: float) -> Tensor:
    """Y = G Z̄ + B. z: (batch, channels). g, b: (channels). Returns (batch, channels)."""
    check(z=(z, "batch channels"), g=(g, "channels"), b=(b, "channels"))
    return g * standardised(z, eps=eps) + b


def dmu_dz(z: Tensor) -> Tensor:
    """∂μ_c/∂Z_nk = δ_ck/N. Returns [c, n, k], (channels, batch, channels)."""
    check(z=(z, "batch channels"))
    check_batch(z=z)
    same = _identity(z.shape[1], z)
    return torch.ones_like(z)[None] / len(z) * same[:, None, :]


def dsigma_dz(z: Tensor) -> Tensor:
    """∂σ_c/∂Z_nk = δ_ck (Z_nc − μ_c)/(N σ_c), and 0 where σ_c = 0.

    The way through μ adds nothing: ∂σ/∂μ = −Σ(Z − μ)/(N σ) = 0.

    Returns [c, n, k], (channels, batch, channels).
    """
    check(z=(z, "batch channels"))
    same = _identity(z.shape[1], z)
    return (_direction(z) / len(z))[None] * same[:, None, :]


def dstandardised_dz(z: Tensor, *, eps: float) -> Tensor:
    """∂Z̄_nc/∂Z_mk = δ_ck [(δ_nm − 1/N)/(σ_c + ε) − (Z_nc − μ_c)(Z_mc − μ_c)/(N σ_c (σ_c + ε)²)].

    By the chain rule ∂Z̄/∂Z + ∂Z̄/∂μ ∂μ/∂Z + ∂Z̄/∂σ ∂σ/∂Z, with ∂Z̄/∂μ = −1/(σ + ε) and
    ∂Z̄/∂σ = −(Z − μ)/(σ + ε)².

    Returns [n, c, m, k], (batch, channels, batch, channels).
    """
    mu, denominator = _mu_denominator(z, eps)
    n, channels = z.shape
    one = _identity(n, z)[:, None, :, None] * _identity(channels, z)[None, :, None, :]
    through_mu = -dmu_dz(z)[None] / denominator[None, :, None, None]
    through_sigma = -((z - mu) / denominator**2)[:, :, None, None] * dsigma_dz(z)[None]
    return one / denominator[None, :, None, None] + through_mu + through_sigma


def batch_norm_gradient_b(gradient: Tensor) -> Tensor:
    """∂L/∂B = Σ_n ∂L/∂Y_n. gradient: ∂L/∂Y, (batch, channels). Returns (channels)."""
    check(gradient=(gradient, "batch channels"))
    check_batch(gradient=gradient)
    return gradient.sum(0)


def batch_norm_gradient_g(z: Tensor, gradient: Tensor, *, eps: float) -> Tensor:
    """∂L/∂G = Σ_n ∂L/∂Y_n Z̄_n. z, gradient: (batch, channels). Returns (channels)."""
    check(z=(z, "batch channels"), gradient=(gradient, "batch channels"))
    return (gradient * standardised(z, eps=eps)).sum(0)


def batch_norm_gradient_z(z: Tensor, g: Tensor, gradient: Tensor, *, eps: float) -> Tensor:
    """∂L/∂Z = ∂L/∂Z̄/(σ + ε) + ∂L/∂μ ∂μ/∂Z + ∂L/∂σ ∂σ/∂Z, with

        ∂L/∂Z̄ = G ∂L/∂Y
        ∂L/∂μ = −Σ_n ∂L/∂Z̄_n/(σ + ε)
        ∂L/∂σ = −Σ_n ∂L/∂Z̄_n (Z_n − μ)/(σ + ε)²
        ∂μ/∂Z = 1/N    ∂σ/∂Z = (Z − μ)/(N σ)

    z, gradient = ∂L/∂Y: (batch, channels). g: G, (channels). Returns (batch, channels).
    """
    check(z=(z, "batch channels"), g=(g, "channels"), gradient=(gradient, "batch channels"))
    mu, denominator = _mu_denominator(z, eps)
    by_z_bar = g * gradient
    by_mu = -(by_z_bar / denominator).sum(0)
    by_sigma = -(by_z_bar * (z - mu) / denominator**2).sum(0)
    return by_z_bar / denominator + by_mu / len(z) + by_sigma * _direction(z) / len(z)


def batch_norm_and_weight_norm(x: Tensor, v: Tensor, g: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(G (t − μ[t])/σ[t] + B with t = v·x, w·x + b with w = (g/‖v‖) v): both layers, without φ.

    Equal where the inputs are whitened on this batch, mean 0 and xᵀx/N = I, as then μ[t] = 0 and
    σ[t] = ‖v‖. That needs more examples than inputs.

    x: (batch, inputs). v: (units, inputs). g, b: (units). Returns two of (batch, units).
    Raises ValueError also for a v = 0 and a t constant over the batch.

    Source: paper section 2.2.
    """
    check(x=(x, "batch inputs"), v=(v, "units inputs"), g=(g, "units"), b=(b, "units"))
    return batch_norm(x @ v.T, g, b, eps=0.0), x @ weight(v, g).T + b


def _mu_denominator(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    check_not_negative(eps=eps)
    mu, sigma = moments(z)
    if eps == 0 and (sigma == 0).any():
        raise ValueError(
            f"channel {int((sigma == 0).nonzero()[0])} of z is constant over the batch: "
            "σ = 0, and with eps=0 its Z̄ is 0/0"
        )
    return mu, sigma + eps


def _direction(z: Tensor) -> Tensor:
    """(Z − μ)/σ, and 0 where σ = 0."""
    mu, sigma = moments(z)
    return (z - mu) / sigma.masked_fill(sigma == 0, 1)


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
