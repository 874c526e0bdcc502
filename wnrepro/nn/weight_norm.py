"""Weight normalization as a function of two tensors: w = g·v/‖v‖ (paper eq. 2).

Source: Salimans & Kingma, *Weight Normalization* (NIPS 2016), section 2.
"""

import operator
from collections.abc import Sequence
from threading import get_ident
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

Dim = int | Sequence[int] | None
"""The kept axis or axes of a weight: g ranges over them, the norm sums over all the others."""

_BACKWARD = torch.ops.aten._weight_norm_interface_backward.default
HALF = (torch.float16, torch.bfloat16)
FLOATING = (*HALF, torch.float32, torch.float64)
"""The dtypes that a v may have: torch computes in no float8."""


def weight_norm(v: Tensor, g: Tensor, dim: Dim = 0) -> Tensor:
    """w = g·v/‖v‖ (paper eq. 2).

    Its gradients are the paper's eq. 3 and 4:
    ∇_g = ∇_w·v/‖v‖ and ∇_v = (g/‖v‖) M_w ∇_w with M_w = I − wwᵀ/‖w‖².

    Args:
        v: direction, of any shape. A slice of norm 0 counts as one of norm 1: its weight is 0
            and its gradients stay finite, ∇_g = 0 and ∇_v = g ∇_w. The squares of v must fit the
            dtype: in float32 the norm loses digits where the entries are below 1e-20 (w is off by
            some 0.1 % at 3e-22, 10 % at 3e-23), a slice of entries below 2e-23 counts as one of
            zeros, and where the squares overflow (1e19) w is 0. `split` avoids the last two.
        g: length. Either as many axes as v with the summed ones of size 1, or the kept axes
            alone in the order they have in v: `(out,)` for `dim=0`, `()` for `dim=None`.
        dim: the axis or axes that are *kept*, as in torch: an int, a tuple of ints, or None for
            one norm of the whole tensor. Negative axes count from the end.

    Returns:
        w, with the shape, dtype and memory format of v. For float16 and bfloat16, w and its
        gradients are computed in float32 and rounded once.

    Raises:
        TypeError: dim is neither an int, a sequence of ints nor None, g is no tensor, or v is not
            of a real floating-point type that torch computes in (float16 to float64).
        IndexError: dim names an axis that v does not have.
        ValueError: dim names an axis twice, or g has neither of the two shapes.
    """
    if not isinstance(g, Tensor):
        raise TypeError(f"g must be a tensor, not {type(g).__name__}")
    shape = tuple(v.shape)
    if dim == 0 and shape and g.shape in (shape[:1], shape[:1] + (1,) * (len(shape) - 1)):
        return scale_to_norm(v, g, tuple(range(1, len(shape))))  # nothing to work out
    kept = kept_axes(len(shape), dim)
    short = tuple([shape[axis] for axis in kept])
    long = tuple([size if axis in kept else 1 for axis, size in enumerate(shape)])
    if g.shape != long:
        if g.shape != short:
            raise ValueError(
                f"g must have shape {short} or {long} for v of shape {shape} and dim={dim}, "
                f"got {tuple(g.shape)}"
            )
        g = g.view(long)
    return scale_to_norm(v, g, _others(len(shape), kept))


def norm(v: Tensor, dim: Dim = 0) -> Tensor:
    """‖v‖ over all axes but the kept ones `dim`; its shape is that of the kept axes.

    float16 and bfloat16 are summed in float32 and rounded to the dtype of v. Errors as in
    `weight_norm`.
    """
    kept = kept_axes(v.ndim, dim)
    return norm_over(v, _others(v.ndim, kept)).reshape([v.shape[axis] for axis in kept]).to(v.dtype)


@torch.no_grad()
def split(w: Tensor, dim: Dim = 0) -> tuple[Tensor, Tensor]:
    """(v, g) with `weight_norm(v, g, dim)` equal to w bit for bit: v = w, g = ‖w‖.

    (On the same device and in the same memory format: they set the order of the sum.)

    Two kinds of slice cannot have v = w. One of zeros has no direction, and gets that of
    (1, …, 1)/√n with g = 0, so that it can still learn. One whose squares underflow or overflow
    gets v = w·2^k, g = ‖w‖. A norm that the dtype cannot hold gives g = inf: in float16 that is
    a norm above 65,504.

    Args:
        w: a weight of any shape.
        dim: as in `weight_norm`, and with its errors.

    Returns:
        v, with the shape, dtype and memory format of w, and g, with the shape of the kept axes.
        Both are new tensors outside the autograd graph.
    """
    kept = kept_axes(w.ndim, dim)
    short = [w.shape[axis] for axis in kept]
    axes = _others(w.ndim, kept)
    if w.numel() == 0:
        return w.clone(), w.new_zeros(short)
    length = norm_over(w, axes)
    largest = w.abs().amax(axes, keepdim=True) if axes else w.abs()
    unusable = ~((length > 0) & length.isfinite()) & (largest > 0)
    # Brings the squares of every number the dtype has back into its range.
    far = 2.0**700 if w.dtype == torch.float64 else 2.0**100
    factor = torch.ones_like(length)
    factor = factor.masked_fill(unusable & (largest < 1), far)
    factor = factor.masked_fill(unusable & (largest > 1), 1 / far)
    v = (w * factor).to(w.dtype)
    g = (norm_over(v, axes) / factor).to(w.dtype)
    v = torch.where(largest == 0, (w.numel() / largest.numel()) ** -0.5, v)
    return v, g.reshape(short)


def scale_to_norm(v: Tensor, g: Tensor, axes: tuple[int, ...]) -> Tensor:
    """`weight_norm` without its checks, over `axes`.

    g has size 1 on them, or, where units lie along axis 0, the shape (out,).
    """
    if _has_fused(v, axes) and g.dtype == v.dtype and g.device == v.device and is_eager():
        w = _by_kernel(v, g) if v.is_cpu else None
        return _Fused.apply(v, g) if w is None else w
    wide = v.float() if v.dtype in HALF else v  # once, so that its gradients are summed in float32
    length, _ = _norm_or_one(wide, axes)
    column = _as_column(g, v.ndim)
    w = wide * (column / length)
    if wide is not v:
        w = w + (w * _excess(column, length, v.dtype)).detach()
    return w if w.dtype == v.dtype else w.to(v.dtype)


@torch.no_grad()
def _excess(g: Tensor, length: Tensor, dtype: torch.dtype) -> Tensor:
    """‖v‖/‖v‖′ − 1, with ‖v‖′ rounded to dtype, where g is ‖v‖′ or that times a power of 2; else 0.

    So w is v there, bit for bit (`split`), and nowhere further from g·v/‖v‖ than by one rounding.
    """
    rounded = length.to(dtype).float()
    is_norm = torch.frexp(g / rounded).mantissa.abs() == 0.5
    return torch.where(is_norm, length / rounded - 1, 0)


def _as_column(g: Tensor, ndim: int) -> Tensor:
    """(out,) → (out, 1, …); what has all axes already stays as it is."""
    return g if g.ndim == ndim else g.view(-1, *(1,) * (ndim - 1))


def norm_over(v: Tensor, axes: tuple[int, ...]) -> Tensor:
    """‖v‖ summed over `axes`, which stay with size 1. Unchecked. float32 where v is narrower."""
    if not (torch.is_grad_enabled() and v.requires_grad) and _has_fused(v, axes) and is_eager():
        return _norm_of_rows(_rows(v))
    length, zero = _norm_or_one(v, axes)
    return length.masked_fill(zero, 0)


def _norm_or_one(v: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """‖v‖ with 1 in the place of 0, and where that is. The derivatives there are 0, of any order.

    torch.linalg.vector_norm is one pass over v where this is two, but its second derivative at 0
    is NaN.
    """
    if v.dtype not in FLOATING:
        raise TypeError(f"v must be of a real floating-point type (float16 to 64), not {v.dtype}")
    wide = v.float() if v.dtype in HALF else v
    if not axes:  # to torch an empty tuple means every axis
        length = wide.abs()
        zero = length == 0
        return length.masked_fill(zero, 1), zero
    squares = wide.square().sum(axes, True)
    zero = squares == 0
    return squares.masked_fill(zero, 1).sqrt(), zero


def _by_kernel(v: Tensor, g: Tensor) -> Tensor | None:
    """`scale_to_norm` with one unit per entry of axis 0, on a CPU; None where a ‖v‖ is 0 or NaN.

    Torch's kernel, and its derivative too, by a node in C++: one of Python's costs as much as the
    kernels do for the weight of a small layer.
    """
    rows = _rows(v)
    column = _as_column(g, v.ndim).contiguous()
    w, length = torch._weight_norm_interface(rows, column, 0)
    if not length.detach().min().item() > 0:
        return None
    node = w.grad_fn
    if node is not None:
        hooks = _Hooks(rows, column)
        node.register_prehook(hooks.before)
        node.register_hook(hooks.after)
    return w if rows is v else w.movedim(-1, 1)


class _Hooks:
    """Around torch's derivative of its kernel: ours instead, where theirs is wrong or missing.

    Its second derivative is wrong: it takes ‖v‖ for a constant. Transformations do not know it.
    """

    def __init__(self, rows: Tensor, column: Tensor) -> None:
        self.rows, self.column = rows, column
        # by thread, since several may take derivatives of one graph at once
        self.upstream: dict[int, Tensor] = {}

    def before(self, upstream: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Take the gradient of w away from theirs, if ours is wanted."""
        if not torch.is_grad_enabled() and is_eager():
            self.upstream.pop(get_ident(), None)  # of a backward pass that failed
            return None
        self.upstream[get_ident()] = upstream[0]
        return torch.zeros_like(self.rows), *upstream[1:]

    def after(
        self, gradients: Sequence[Tensor | None], upstream: Sequence[Tensor]
    ) -> tuple[Tensor | None, ...] | None:
        grad_w = self.upstream.pop(get_ident(), None)
        if grad_w is None:
            return None
        ours = _gradients(self.rows, self.column, grad_w)
        return tuple(a if b is not None else None for a, b in zip(ours, gradients, strict=True))


class _Fused(torch.autograd.Function):
    """`scale_to_norm` with one unit per entry of axis 0, any ‖v‖, any device; g: any shape.

    A GPU's kernel multiplies by 1/‖v‖, which for g = ‖v‖ is not exactly 1; and looking for a 0
    would wait for the GPU. Backwards torch's kernel serves again. Both ways of computing the
    gradient are eq. 3.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, v: Tensor, g: Tensor
    ) -> Tensor:
        rows = _rows(v)
        length = _norm_of_rows(rows)
        length = length.masked_fill(length == 0, 1)
        # g's shape is changed in here, where that is no step of its own backwards.
        w = v * (_as_column(g, v.ndim) / length)  # no view of it: w may be changed in place
        ctx.save_for_backward(v, g, length)
        return w

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_w: Tensor
    ) -> tuple[Tensor, Tensor]:
        v, g, length = ctx.saved_tensors
        if torch.is_grad_enabled() or not is_eager():
            return _gradients(v, g, grad_w)
        rows = _rows(v)
        upstream = (grad_w if rows is v else grad_w.movedim(1, -1)).contiguous()
        column = _as_column(g, v.ndim).contiguous()
        grad_v, grad_g = _BACKWARD(upstream, rows, column, length, 0)
        return (grad_v if rows is v else grad_v.movedim(-1, 1)), grad_g.view(g.shape)


def _gradients(v: Tensor, g: Tensor, grad_w: Tensor) -> tuple[Tensor, Tensor]:
    """(∇_v, ∇_g) of `_Fused` by eq. 3, differentiable as often as one likes."""
    axes = tuple(range(1, v.ndim))
    length, zero = _norm_or_one(v, axes)
    grad_g = (grad_w * v).sum(axes, True) / length
    along_v = grad_g.masked_fill(zero, 0) / length  # there ‖v‖ is the constant 1
    grad_v = (g.view(length.shape) / length) * (grad_w - along_v * v)
    return grad_v, grad_g.view(g.shape)


def _norm_of_rows(rows: Tensor) -> Tensor:
    """‖v‖ over all axes but the first, to the last bit as `_Fused` divides by it."""
    axes = tuple(range(1, rows.ndim))
    if rows.is_cpu:
        ones = rows.new_ones(len(rows), *(1,) * len(axes))
        return torch._weight_norm_interface(rows, ones, 0)[1]
    return torch.linalg.vector_norm(rows, dim=axes, keepdim=True)


def _has_fused(v: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether there is a fused kernel for such a v: a plain tensor, and units along axis 0."""
    return (
        len(axes) == v.ndim - 1 > 0
        and axes[0] == 1
        and (v.is_cpu or v.is_cuda)
        and v.dtype in (torch.float32, torch.float64)
        and type(v) in (Tensor, torch.nn.Parameter)
        and _rows(v).is_contiguous()
        and v.numel() > 0
    )


def is_eager() -> bool:
    """Whether nobody looks on who cannot look into a kernel: no transformation, no compiler."""
    return not (
        torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch.jit.is_tracing()
    )


def _rows(v: Tensor) -> Tensor:
    """v such that each entry of axis 0 lies in one piece: a view where v is channels-last.

    By its strides: with one input channel or a 1 × 1 kernel torch calls either order contiguous,
    and a w in the other one than v's would turn a convolution's output with it.
    """
    if v.ndim < 4 or v.stride(1) != 1 or (v.stride(-1) == 1 and v.shape[1] > 1):
        return v
    return v.movedim(1, -1)


def kept_axes(ndim: int, dim: Dim) -> tuple[int, ...]:
    """The axes that `dim` keeps, counted from the front, in order. Errors as in `weight_norm`."""
    if dim is None:
        return ()
    try:
        given = [operator.index(axis) for axis in (dim if isinstance(dim, Sequence) else (dim,))]
    except TypeError:
        raise TypeError(f"dim must be an int, a tuple of ints or None, got {dim!r}") from None
    for axis in given:
        if not -ndim <= axis < ndim:
            raise IndexError(f"dim={dim} names axis {axis} of a tensor with {ndim} axes")
    kept = sorted(axis % ndim for axis in given)
    if len(set(kept)) < len(kept):
        raise ValueError(f"dim={dim} names an axis twice, for a tensor with {ndim} axes")
    return tuple(kept)


def _others(ndim: int, kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([axis for axis in range(ndim) if axis not in kept])
