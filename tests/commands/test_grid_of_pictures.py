"""The pictures that a run leaves: a grid whose pictures can be told apart."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from wnrepro.commands import pictures


@pytest.mark.parametrize("shade", [0.0, 0.5, 1.0])
def test_lines_between_pictures_are_seen_beside_any_of_them(shade: float, tmp_path: Path) -> None:
    """Black, as in games; grey, as DRAW's first glimpses; white."""
    drawn: Any = SimpleNamespace(pictures=lambda: {"game": torch.full((2, 3, 3, 4, 5), shade)})
    assert pictures.of_task(drawn, tmp_path) == {"game": tmp_path / "game.png"}
    image = imread(tmp_path / "game.png")
    assert image.shape == (2 * 5 + 1, 3 * 6 + 1, 3)
    for lines in (image[::5], image[:, ::6]):
        assert (np.abs(lines - shade) > 0.2).all()
    assert np.allclose(image[1:5, 1:6], shade, atol=1 / 255)
