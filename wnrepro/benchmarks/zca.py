"""Fitting the whitening of CIFAR-10: ours against the SVD of the covariance by numpy and SciPy.

The usual way is the class ZCA of the authors' code: centre, XᵀX/N, `scipy.linalg.svd`, the two
products. Once in float64, as ours is and where both must agree; once in float32, as theirs was,
which is another matrix: the note says by how much. Theirs starts from the scaled images in
float32, ours from the pixels that these are made of, both in memory, with `FIT_THREADS` threads.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import linalg
from threadpoolctl import threadpool_limits
from torch.testing import assert_close

from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import in_turn, once
from wnrepro.data import load
from wnrepro.data.zca import EPSILON, FIT_THREADS, ZCA

GOAL = Goal(1 / 3)


def zca(setting: Setting) -> Iterator[Measurement]:
    images = load("cifar10", root=setting.root, train_size=setting.pick(None, 2_000)).train.images
    if setting.smoke:
        images = images[:, :, ::4, ::4]  # an SVD of all 3,072 pixels takes a minute
    flat = images.flatten(1).numpy()
    offset, scale = 127.5, 128.0
    pixels = images.mul(scale).add(offset).to(torch.uint8)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = ZCA.fit(pixels, offset=offset, scale=scale).matrix.numpy()

    def usual(dtype: type) -> None:
        with threadpool_limits(FIT_THREADS):
            found[dtype.__name__] = _by_svd(flat.astype(dtype))

    ways = (ours, lambda: usual(np.float64), lambda: usual(np.float32))
    timed = [once(way, torch.device("cpu")) for way in ways]
    mine, double, single = in_turn(*timed, repeats=setting.pick(3, 2), warm_up=setting.pick(0, 1))
    largest = float(np.abs(found["ours"]).max())
    matrices = [torch.from_numpy(found[name]) for name in ("ours", "float64")]
    assert_close(*matrices, rtol=0.0, atol=1e-7 * largest)
    note = f"{len(images)} images of {flat.shape[1]} values, {FIT_THREADS} threads"
    name = "ZCA.fit ÷ SVD of the covariance"
    yield Measurement(f"{name}, float64", "s", mine, double, GOAL, note)
    off = float(np.abs(found["float32"] - found["ours"]).max()) / largest
    note += f"; ours in float64, the SVD's matrix is off by {100 * off:.2g} % of the largest entry"
    yield Measurement(f"{name}, float32", "s", mine, single, note=note)


def _by_svd(x: np.ndarray) -> np.ndarray:
    """The authors' `ZCA.fit` (nn.py) in numpy, in the type of x, which is centred in place."""
    x -= x.mean(0)
    u, s, _ = linalg.svd(x.T @ x / len(x))
    scaled = u @ np.diag(1 / np.sqrt(s + x.dtype.type(EPSILON)))
    return scaled @ u.T
