"""ZCA whitening: equal to the authors' procedure, and what whitening means."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from wnrepro.data import ZCA, cache, load, zca


def _authors(images: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and matrix by the procedure of the authors' class ZCA."""
    x = images.reshape(len(images), -1).copy()
    mean = x.mean(axis=0)
    x -= mean
    u, s, _ = scipy.linalg.svd(x.T @ x / len(x))
    return mean, u @ np.diag(1 / np.sqrt(s + epsilon)) @ u.T


def _correlated(count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Images whose values are correlated and not centred; float64."""
    generator = torch.Generator().manual_seed(seed)
    size = int(np.prod(shape))
    mixing = torch.randn(size, size, generator=generator, dtype=torch.float64) / size**0.5
    noise = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return (noise @ mixing + 0.3).reshape(count, *shape)


@pytest.mark.parametrize("count", [7, 300])
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_equals_the_authors_procedure(count: int, epsilon: float):
    images, fresh = _correlated(count, (3, 4, 5)), _correlated(20, (3, 4, 5), seed=1)
    mean, matrix = _authors(images.numpy(), epsilon)
    fitted = ZCA.fit(images, epsilon)
    np.testing.assert_allclose(fitted.mean.numpy(), mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fitted.matrix.numpy(), matrix, rtol=0, atol=1e-9 * abs(matrix).max())
    for some in (images, fresh):
        flat = some.numpy().reshape(len(some), -1)
        whitened = fitted.apply(some)
        assert whitened.shape == some.shape
        expected = (flat - mean) @ matrix
        got = whitened.flatten(1).numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * abs(expected).max())


def test_in_float32_small_variances_are_rounded_as_the_authors_are():
    """Variances of 1e-5 beside one of 4,000: an SVD in float32 amplifies them less, as theirs does;
    the large ones it leaves alone.
    """
    images = _correlated(500, (1, 8, 8))
    basis = torch.linalg.qr(images[:64].flatten(1))[0]
    sizes = torch.cat([torch.tensor([60.0, 1.0]), torch.full((62,), 0.003)]).double()
    values = torch.randn(500, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    images = ((values * sizes) @ basis.T).view(500, 1, 8, 8)
    exact, rounded = ZCA.fit(images), ZCA.fit(images, dtype=torch.float32)
    _, authors = _authors(images.float().numpy(), 1e-5)
    assert rounded.matrix.dtype == torch.float64

    def gains(matrix: Tensor) -> Tensor:
        return (basis.T @ matrix @ basis).diagonal()

    ours, theirs = gains(rounded.matrix), gains(torch.from_numpy(authors).double())
    ratio = ours / gains(exact.matrix)
    assert ((ratio[:2] - 1).abs() < 1e-3).all()
    assert 0.2 < ratio[2:].mean() < 0.95
    assert ours[2:].mean().item() == pytest.approx(theirs[2:].mean().item(), rel=0.3)


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_blocks_and_panels_do_not_show(count: int, monkeypatch: pytest.MonkeyPatch):
    images = _correlated(count, (1, 6, 7))
    whole = ZCA.fit(images, 0.1)
    monkeypatch.setattr(zca, "BLOCK", 50)
    monkeypatch.setattr(zca, "PANEL", 10)
    pieces = ZCA.fit(images, 0.1)
    torch.testing.assert_close(pieces.matrix, whole.matrix, rtol=0, atol=1e-12)
    torch.testing.assert_close(pieces.apply(images), whole.apply(images), rtol=0, atol=1e-12)


@pytest.fixture(params=["with its instructions", "without"])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One as it is, and one that has none for products of 8 bits."""
    if request.param == "without":
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("count", [1, 30, 100, 101])
def test_pixels_are_summed_exactly(count: int, monkeypatch: pytest.MonkeyPatch):
    """Against integers of any size, in blocks and panels; half of the pixels are 0 or 255."""
    draw = np.random.default_rng(count)
    pixels = draw.integers(0, 256, (count, 2, 3, 4), dtype=np.uint8)
    pixels[draw.random(pixels.shape) < 0.5] = 255
    pixels[draw.random(pixels.shape) < 0.25] = 0
    rows = pixels.reshape(count, -1).astype(object)
    total, products = rows.sum(0), rows.T @ rows
    exact = (count * products - np.outer(total, total)) / count**2
    monkeypatch.setattr(zca, "PIXEL_BLOCK", 50)
    monkeypatch.setattr(zca, "PANEL", 10)
    mean, sigma = zca._moments_of_pixels(torch.from_numpy(pixels).flatten(1))
    np.testing.assert_allclose(mean.numpy(), (total / count).astype(float), rtol=1e-15)
    np.testing.assert_array_equal(sigma.numpy(), exact.astype(float))


@pytest.mark.usefixtures("processor")
def test_a_whole_block_of_the_largest_pixels_is_summed_exactly():
    pixels = torch.zeros(zca.PIXEL_BLOCK + 3, 2, dtype=torch.uint8)
    pixels[-1] = 255
    n = len(pixels)
    _, sigma = zca._moments_of_pixels(pixels)
    assert sigma[0, 1].item() == (n * 255**2 - 255**2) / n**2


def test_pixels_are_whitened_as_the_scaled_images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (200, 1, 5, 5), generator=generator, dtype=torch.uint8)
    scaled = (pixels.double() - 127.5) / 128
    fitted, reference = ZCA.fit(pixels, 0.01, offset=127.5, scale=128), ZCA.fit(scaled, 0.01)
    torch.testing.assert_close(fitted.mean, reference.mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(fitted.matrix, reference.matrix, rtol=0, atol=1e-12)
    also = ZCA.fit(pixels.double(), 0.01, offset=127.5, scale=128)
    torch.testing.assert_close(also.matrix, reference.matrix, rtol=0, atol=1e-12)


def test_whitened_training_data_have_mean_zero_and_variance_s_over_s_plus_epsilon():
    images, epsilon = _correlated(400, (2, 3, 4)), 0.05
    centred = images.flatten(1) - images.flatten(1).mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    whitened = ZCA.fit(images, epsilon).apply(images).flatten(1)
    assert whitened.mean(0).abs().max() < 1e-12
    covariance = whitened.T @ whitened / len(whitened)
    expected = torch.diag(values / (values + epsilon))
    torch.testing.assert_close(vectors.T @ covariance @ vectors, expected, rtol=0, atol=1e-12)


def test_the_matrix_is_symmetric_and_positive():
    matrix = ZCA.fit(_correlated(50, (1, 5, 5))).matrix
    assert torch.equal(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_a_constant_pixel_is_whitened_to_zero():
    images = _correlated(50, (1, 3, 3))
    images[:, 0, 1, 1] = -1.0
    assert ZCA.fit(images).apply(images)[:, 0, 1, 1].abs().max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_other_types_are_computed_in_float64_and_rounded_once(dtype: torch.dtype):
    images = _correlated(60, (1, 4, 4)).to(dtype)
    fitted, reference = ZCA.fit(images), ZCA.fit(images.double())
    assert torch.equal(fitted.matrix, reference.matrix)
    whitened = fitted.apply(images)
    assert whitened.dtype == dtype
    assert torch.equal(whitened, reference.apply(images.double()).to(dtype))


def test_the_callers_images_and_threads_are_left_alone():
    images = _correlated(60, (1, 4, 4))
    copy = images.clone()
    before = torch.get_num_threads()
    ZCA.fit(images).apply(images)
    assert torch.equal(images, copy)
    assert torch.get_num_threads() == before


def test_the_fit_has_the_same_bits_with_any_number_of_threads():
    images = _correlated(300, (3, 12, 12))
    before = torch.get_num_threads()
    try:
        fits = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            fits.append(ZCA.fit(images).matrix)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(fits[0], fits[1])
    assert torch.equal(fits[0], fits[2])


def test_bad_arguments_are_refused():
    images = _correlated(10, (1, 2, 2))
    with pytest.raises(ValueError, match="epsilon > 0, got 0"):
        ZCA.fit(images, 0.0)
    with pytest.raises(ValueError, match="needs images"):
        ZCA.fit(images[:0])
    with pytest.raises(ValueError, match="scale > 0, got 0"):
        ZCA.fit(images, scale=0)
    with pytest.raises(ValueError, match="4 values"):
        ZCA.fit(images).apply(_correlated(10, (1, 3, 3)))
    with pytest.raises(ValueError, match="4 values"):
        ZCA.fit(images).apply(images.flatten())
    with pytest.raises(ValueError, match=r"float type, not torch\.uint8"):
        ZCA.fit(images).apply(images.to(torch.uint8))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_images_of_other_types_are_refused(dtype: torch.dtype):
    with pytest.raises(ValueError, match=f"float type or uint8, not {dtype}"):
        ZCA.fit(torch.ones(10, 1, 2, 2, dtype=dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e200])
def test_values_that_are_not_finite_are_refused_and_not_cached(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = _correlated(10, (1, 2, 2))
    images[3, 0, 1, 1] = value
    with pytest.raises(ValueError, match="finite"):
        cache.fitted(images, checksum="a")
    assert list(tmp_path.rglob("*")) == []


def test_real_cifar10_images_equal_the_authors_procedure(data_root: Path):
    """On the middle of 3,000 real images, to 1e-9 of the largest value.

    Not tighter: the condition number of Σ + εI is 1e7, and the reference itself moves by 1e-10 of
    its largest value when the images are summed in another order.
    """
    train = load("cifar10", root=data_root, dtype=torch.float64, train_size=3_000).train.images
    train = train[:, :, 7:25, 7:25]  # 972 values: more than a panel; an SVD of 3,072 takes a minute
    mean, matrix = _authors(train.numpy(), 1e-5)
    fitted = ZCA.fit(train)
    np.testing.assert_allclose(fitted.mean.numpy(), mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fitted.matrix.numpy(), matrix, rtol=0, atol=1e-9 * abs(matrix).max())
    expected = (train.flatten(1).numpy() - mean) @ matrix
    got = fitted.apply(train)
    np.testing.assert_allclose(
        got.flatten(1).numpy(), expected, rtol=0, atol=1e-9 * abs(expected).max()
    )
    # 1/√(S + ε) leaves each direction a variance of S/(S + ε), a little below 1.
    assert 0.9 < got.std() < 1


def test_all_of_a_data_set_and_again_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scaled, first = load("digits"), load("digits", whiten=True)
    assert len(list(cache.directory().iterdir())) == 1
    whitening = ZCA.fit(scaled.train.images)
    monkeypatch.setattr(ZCA, "fit", None)  # a second fit would fail
    again = load("digits", whiten=True, train_size=300, evaluation_size=300)
    assert torch.equal(again.train.images, first.train.images[:300])
    assert torch.equal(again.evaluation.images, first.evaluation.images[:300])
    for part, raw in ((first.train, scaled.train), (first.evaluation, scaled.evaluation)):
        torch.testing.assert_close(part.images, whitening.apply(raw.images), rtol=0, atol=1e-4)


def test_autocast_and_gradients_change_nothing():
    pixels = torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8)
    expected = ZCA.fit(pixels, scale=128)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ZCA.fit(pixels, scale=128).matrix, expected.matrix)
    images = (pixels / 128).requires_grad_()
    assert torch.equal(expected.apply(images), expected.apply(images.detach()))
