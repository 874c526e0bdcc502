"""Mean-only batch normalization (paper section 2.3, eq. 7 and 8)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn.running_statistics import RunningStatistics
from wnrepro.nn.weight_norm import is_eager


class MeanOnlyBatchNorm(RunningStatistics):
    """What `MeanOnlyBatchNorm1d`, `2d` and `3d` share; see there."""

    ranks: ClassVar[tuple[int, ...]]
    shapes: ClassVar[str]
    running_var = None

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float = 0.1,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, momentum, device, dtype)
        self.bias = (
            nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype)) if bias else None
        )

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, t: Tensor
    ) -> Tensor:
        self._check(t)
        narrow = t.is_cpu and t.dtype == torch.bfloat16 and is_eager()
        if not self.takes_batch:
            return _shifted(t, self.running_mean, self.bias, narrow)
        if narrow:
            out, mean = _Centred.apply(t, self.bias)
        else:
            mean = _mean_per_channel(t)
            out = _shifted(t, mean, self.bias)
        self.follow(mean)
        return out

    def reset_parameters(self) -> None:
        """running_mean ← 0 and b ← 0."""
        self.reset_running_stats()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return f"{self.num_features}, momentum={self.momentum}, bias={self.bias is not None}"

    def _check(self, t: Tensor) -> None:
        if not t.is_floating_point():
            raise TypeError(f"{type(self).__name__} takes a floating-point input, got {t.dtype}")
        if t.ndim not in self.ranks or t.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} takes {self.shapes} with C = {self.num_features}, "
                f"got {tuple(t.shape)}"
            )
        if self.takes_batch and t.numel() <= self.num_features:
            raise ValueError(
                f"{type(self).__name__} needs more than one value per channel in training, "
                f"got an input of shape {tuple(t.shape)}"
            )


def _mean_per_channel(t: Tensor) -> Tensor:
    """μ[t], over the batch and the positions; float32 where t is narrower.

    A sum over the positions and then one over the batch is twice as fast on a CPU, channels-last,
    as one over both. A sum that is divided, and not a mean: the gradient of a sum is a view.
    """
    wide = torch.float32 if t.dtype in (torch.float16, torch.bfloat16) else t.dtype
    per_example = t.sum(tuple(range(2, t.ndim)), dtype=wide) if t.ndim > 2 else t
    return per_example.sum(0, dtype=wide) / (t.numel() // t.shape[1])


def _shifted(t: Tensor, mean: Tensor, bias: Tensor | None, narrow: bool = False) -> Tensor:
    """t − mean + b in one pass, forwards and backwards; its dtype is that of t.

    narrow: for a bfloat16 t on a CPU, by batch norm with the variance 1: a tenth of the time of
    converting t to float32, the type of its mean, and back.
    """
    if narrow:
        mean = mean.float()
        b = None if bias is None else bias.float()
        return F.batch_norm(t, mean, torch.ones_like(mean), None, b, eps=0.0)
    shift = -mean if bias is None else bias - mean
    out = t + shift.view(-1, *(1,) * (t.ndim - 2))
    return out if out.dtype == t.dtype else out.to(t.dtype)


class _Centred(torch.autograd.Function):
    """(t − μ[t] + b, μ[t]) of a bfloat16 t on a CPU, by the kernels of batch norm."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, t: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        # Running averages in float32 make the mean float32.
        average = torch.zeros(t.shape[1], device=t.device)
        mean = torch.batch_norm_update_stats(t, average, torch.ones_like(average), 0.0)[0]
        ctx.mark_non_differentiable(mean)
        ctx.bias_dtype = None if bias is None else bias.dtype
        return _shifted(t, mean, bias, narrow=True), mean

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, _: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Eq. 8: ∇_t = ∇ − μ[∇], ∇_b the sum of ∇."""
        if torch.is_grad_enabled():  # to be differentiated again
            mean = _mean_per_channel(grad)
            grad_t = _shifted(grad, mean, None)
        else:
            grad_t, mean = _Centred.apply(grad, None)
        if ctx.bias_dtype is None:
            return grad_t, None
        return grad_t, (mean * (grad.numel() // len(mean))).to(ctx.bias_dtype)


_DOC = """Mean-only batch normalization of {shapes} (paper section 2.3, eq. 7 and 8).

    In training t̃ = t − μ[t] + b, with μ[t] the mean per channel over the batch and the positions;
    the gradient flows through it: ∇_t L = ∇_t̃ L − μ[∇_t̃ L]. Then
    running_mean ← (1 − momentum)·running_mean + momentum·μ[t], from 0.
    In evaluation t̃ = t − running_mean + b.

    The output has the dtype and memory format of the input. The mean of a float16 or bfloat16
    input is taken in float32.

    Args:
        num_features: channels C.
        momentum: weight of the newest batch in the running mean. The authors' code has 0.1.
        bias: whether there is a trainable b, one per channel, from 0.
        device: of the bias and the running mean.
        dtype: likewise.

    All but num_features by name only: torch's batch norm has eps in second place. Torch's tools
    find it as a batch norm (see `RunningStatistics`).

    Raises:
        ValueError: momentum outside [0, 1]; when called, an input of another rank or channel
            count, or, in training, one with a single value per channel.
        TypeError: when called, an input that is not of a real floating-point type.
    """


class MeanOnlyBatchNorm1d(MeanOnlyBatchNorm):
    shapes = "(N, C) or (N, C, L)"
    ranks = (2, 3)
    __doc__ = _DOC.format(shapes=shapes)


class MeanOnlyBatchNorm2d(MeanOnlyBatchNorm):
    shapes = "(N, C, H, W)"
    ranks = (4,)
    __doc__ = _DOC.format(shapes=shapes)


class MeanOnlyBatchNorm3d(MeanOnlyBatchNorm):
    shapes = "(N, C, D, H, W)"
    ranks = (5,)
    __doc__ = _DOC.format(shapes=shapes)
