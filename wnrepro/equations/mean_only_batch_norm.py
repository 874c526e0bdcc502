"""Mean-only batch normalization: the paper's eq. 7 and 8."""

from torch import Tensor

from wnrepro.equations.checks import check, check_batch


def mean_only_batch_norm(t: Tensor, b: Tensor, mu: Tensor | None = None) -> Tensor:
    """t̃ = t − μ[t] + b, with t = w·x and μ[t] the mean over the batch.

    t: (batch, units); of a convolution, every place of an image counts as an example. b: (units).
    mu: at test time, the running mean of μ[t], (units), to stand in for it: `running_average` with
    0.9 from 0 in the authors' code. Returns t̃, (batch, units). Of a batch of 1 it is b.

    Raises ValueError for tensors that are not float64, of other shapes, or an empty batch.

    Source: paper eq. 7.
    """
    check(t=(t, "batch units"), b=(b, "units"))
    check_batch(t=t)
    if mu is None:
        mu = t.mean(0)
    check(t=(t, "batch units"), mu=(mu, "units"))
    return t - mu + b


def mean_only_batch_norm_gradient(gradient: Tensor) -> Tensor:
    """∇_t L = ∇_t̃ L − μ[∇_t̃ L]: the gradient flows through μ[t], and loses its mean.

    gradient: ∇_t̃ L, (batch, units), summed and not averaged over the batch, as autograd has it.
    Returns ∇_t L, (batch, units). Of a batch of 1 it is 0. Raises ValueError as above.

    Source: paper eq. 8.
    """
    check(gradient=(gradient, "batch units"))
    check_batch(gradient=gradient)
    return gradient - gradient.mean(0)
