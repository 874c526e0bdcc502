"""ZCA whitening, exactly as in the paper's CIFAR-10 protocol."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-5
"""Added to every eigenvalue of the covariance (the authors' code, nn.py, class ZCA)."""

BLOCK = 2_500
"""Images per block: 60 MB in float64 for CIFAR-10, long enough for the matrix products."""

PANEL = 768
"""Columns per panel of the covariance, of which only the upper triangle is computed."""

PIXEL_BLOCK = 1024
"""Images per block of pixels: so many products of two numbers in −128 … 127 add up to at most 2²⁴,
up to where float32 holds every integer; where a processor has sums of such products, in int32."""

FIT_THREADS = 2
"""Threads that `ZCA.fit` computes with, so that its bits do not depend on the caller's choice."""


@dataclass(frozen=True)
class ZCA:
    """A whitening fitted on a training set.

    With X the N centred images as rows of D values, and Σ = XᵀX / N = U diag(S) Uᵀ:

        W = U diag(1/√(S + ε)) Uᵀ,    apply(x) = (x − mean) W.

    Source: Salimans & Kingma 2016, sec. 5.1 ("ZCA whitening"), and the class ZCA of the authors'
    code, which takes U and S from an SVD of Σ; for a symmetric Σ ≥ 0 that is its
    eigendecomposition. Theirs is in float32, whose rounding is of the size of ε.

    Attributes:
        mean: (D,) float64, the training mean.
        matrix: (D, D) float64, W; symmetric.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def fit(
        cls,
        images: Tensor,
        epsilon: float = EPSILON,
        *,
        offset: float = 0.0,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float64,
    ) -> "ZCA":
        """Fit mean and matrix on ``(images − offset)/scale``, in float64.

        The work is done on the CPU in blocks of images, so that beyond ``images`` it takes a few
        arrays of D × D.

        Args:
            images: (N, …), of any float type, or pixels in uint8. Those are summed in integers:
                without rounding, and in a fraction of the time.
            epsilon: ε, in units of the variance of ``(images − offset)/scale``.
            offset, scale: what the pixels are scaled by before they are whitened.
            dtype: float64, or float32 for an SVD in float32 as the authors' code has it, which
                rounds the directions of little variance (results/authors_code).

        Raises:
            ValueError: no images, of another type, or with values that are not finite; or ε or the
                scale is not positive.
        """
        if images.ndim < 2 or len(images) == 0:
            raise ValueError(f"ZCA needs images of shape (N, …), got {tuple(images.shape)}")
        if not (images.is_floating_point() or images.dtype == torch.uint8):
            raise ValueError(f"ZCA needs images of a float type or uint8, not {images.dtype}")
        if not epsilon > 0:
            raise ValueError(f"ZCA needs epsilon > 0, got {epsilon}")
        if not scale > 0:
            raise ValueError(f"ZCA needs scale > 0, got {scale}")
        # Autocast would round the products.
        with torch.no_grad(), torch.autocast("cpu", enabled=False), _threads(FIT_THREADS):
            flat = images.detach().flatten(1)
            mean, sigma = _moments_of_pixels(flat) if flat.dtype == torch.uint8 else _moments(flat)
            # One value that is not finite makes the variance of its column so.
            if not sigma.diagonal().isfinite().all():
                raise ValueError("ZCA needs images whose values, and their squares, are finite")
            sigma = (sigma / scale**2).to(dtype)
            if dtype == torch.float64:
                values, vectors = torch.linalg.eigh(sigma)
            else:
                vectors, values, _ = torch.linalg.svd(sigma)
            # Σ has no negative eigenvalue; rounding leaves some at about −1e-14.
            scales = torch.rsqrt(values.clamp(min=0.0) + epsilon)
            matrix = ((vectors * scales) @ vectors.T).double()
            # The product is symmetric up to rounding; this makes it so to the last bit.
            return cls((mean - offset) / scale, (matrix + matrix.T) / 2)

    @torch.no_grad()
    def apply(self, images: Tensor) -> Tensor:
        """Whiten ``images`` (N, …): same shape, type and device; computed in float64.

        Raises:
            ValueError: an image has not D values, or they are of no float type: what was fitted on
                pixels takes them scaled.
        """
        self._check(images)
        matrix, mean = self.matrix.to(images.device), self.mean.to(images.device)
        return _blockwise(images, lambda block: (block - mean) @ matrix)

    def _check(self, images: Tensor) -> None:
        if not images.is_floating_point():
            raise ValueError(f"this ZCA takes scaled images of a float type, not {images.dtype}")
        if images.shape[1:].numel() != len(self.mean) or images.ndim < 2:
            raise ValueError(
                f"this ZCA takes images of {len(self.mean)} values, got shape {tuple(images.shape)}"
            )


def _blockwise(images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function`` of the flattened rows in float64, block by block, in the type of ``images``."""
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for source, sink in zip(images.split(BLOCK), result.split(BLOCK), strict=True):
        sink.copy_(function(source.flatten(1).double()).view_as(sink))
    return result


def _moments(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance XᵀX / N (D, D) of the rows."""
    n, size = flat.shape
    mean = torch.zeros(size, dtype=torch.float64)
    for block in flat.split(BLOCK):
        mean += block.cpu().double().sum(0)
    mean /= n
    products = torch.zeros(size, size, dtype=torch.float64)
    for block in flat.split(BLOCK):
        _add_products(products, block.cpu().double() - mean)
    return mean, _symmetric(products) / n


def _moments_of_pixels(flat: Tensor) -> tuple[Tensor, Tensor]:
    """The same of rows in uint8: sums of integers, exact until they are divided."""
    n, size = flat.shape
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    # What processors without VNNI have for 8 bits may overflow.
    dtype = torch.int8 if torch.cpu._is_vnni_supported() else torch.float32
    for block in flat.split(PIXEL_BLOCK):
        shifted = (block.cpu().short() - 128).to(dtype)
        total += shifted.sum(0)
        _add_products(products, shifted)
    # Both terms are integers below 2⁵³ for up to 700,000 images.
    sigma = (n * _symmetric(products) - total.outer(total)) / n**2
    return total / n + 128, sigma


def _add_products(products: Tensor, rows: Tensor) -> None:
    """products += rowsᵀ rows, in its upper triangle and a little below; rows of int8 or float."""
    product = torch._int_mm if rows.dtype == torch.int8 else torch.mm
    for start in range(0, len(products), PANEL):
        panel = slice(start, start + PANEL)
        products[panel, start:] += product(rows[:, panel].T, rows[:, start:])


def _symmetric(upper: Tensor) -> Tensor:
    return upper.triu() + upper.triu(1).T


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
