"""Larochelle's files: of our own making, since the published ones are not at hand everywhere."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wnrepro.config import Config
from wnrepro.data import catalogue, larochelle
from wnrepro.errors import ConfigError, DataError
from wnrepro.tasks.generative import images

N = {"train": 30, "test": 20}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Random images in files as the published ones, 1,568 bytes a line, whose sums are known."""
    rng, found, known = np.random.default_rng(0), {}, {}
    (tmp_path / larochelle.FOLDER).mkdir()
    for part, published in catalogue.LAROCHELLE.items():
        found[part] = rng.integers(2, size=(N[part], 784))
        path = tmp_path / larochelle.FOLDER / f"binarized_mnist_{part}.amat"
        path.write_text("".join(" ".join(map(str, row)) + "\n" for row in found[part]))
        assert path.stat().st_size == N[part] * 1568
        known[part] = replace(published, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(catalogue, "LAROCHELLE", known)
    return found


def test_the_published_sizes_are_a_line_of_that_form_per_image() -> None:
    """Bytes as TensorFlow Datasets lists them."""
    for part, size in (("train", 78_400_000), ("test", 15_680_000)):
        assert size == catalogue.LAROCHELLE[part].n * 1568


def test_a_config_trains_on_the_bits_of_the_files(
    written: dict[str, np.ndarray], tmp_path: Path, compose: Callable[..., Config]
) -> None:
    sizes = (
        "data.train_size=25",
        "data.evaluation_size=20",
        "batch_size=5",
        f"data.root={tmp_path}",
    )
    config = compose("+exp=draw_wn", "task.binarised=larochelle", *sizes)
    found = images(config, torch.device("cpu"))
    for part, n in (("train", 25), ("evaluation", 20)):
        x = getattr(found, part)
        assert x.dtype == torch.float32
        expected = written["train" if part == "train" else "test"][:n]
        np.testing.assert_array_equal(x.flatten(1), expected)
        assert x.shape == (n, 1, 28, 28)


def test_a_missing_and_an_altered_file_are_named(
    written: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / larochelle.FOLDER / "binarized_mnist_test.amat"
    path.write_bytes(path.read_bytes().replace(b"1", b"0", 1))
    with pytest.raises(DataError, match=r"^corrupt data file .*binarized_mnist_test.amat: sha256"):
        larochelle.read("test", tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"put http.*_test.amat there, or use task.binarised=fixed"):
        larochelle.read("test", tmp_path)


@pytest.mark.parametrize(
    "change", ["data.train_size=50001", "data.train_size=null", "data.held_out=10"]
)
def test_more_images_than_there_are_are_refused(
    change: str, compose: Callable[..., Config]
) -> None:
    with pytest.raises(ConfigError, match=r"^task.binarised=larochelle has 50,000 training images"):
        compose("+exp=draw_wn", "task.binarised=larochelle", change)
