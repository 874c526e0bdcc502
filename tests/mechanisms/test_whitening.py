"""Whitened inputs: the theorem, and a verdict that can come out all ways."""

import pandas as pd
import pytest
import torch

from wnrepro.data import load as load_data
from wnrepro.mechanisms import load
from wnrepro.mechanisms.whitening import normalised, whitened
from wnrepro.nn import BatchNorm, WeightNormLinear

EXPERIMENT = load("whitening")


def test_whitened_images_have_mean_0_and_covariance_1() -> None:
    images = load_data("digits").train.images.flatten(1).double()
    x = whitened(images)
    assert x.shape == (1437, torch.linalg.matrix_rank(images - images.mean(0)))
    assert x.mean(0).abs().max() < 1e-12
    torch.testing.assert_close(
        x.T @ x / len(x), torch.eye(x.shape[1], dtype=x.dtype), rtol=0, atol=1e-10
    )


def test_the_two_layers_are_those_of_wnrepro_nn() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(50, 7, generator=draw, dtype=torch.float64)
    v = torch.randn(3, 7, generator=draw, dtype=torch.float64)
    g, b = torch.rand(2, 3, generator=draw, dtype=torch.float64) + 0.5
    wn, bn = WeightNormLinear(7, 3, dtype=torch.float64), BatchNorm(3, dtype=torch.float64)
    with torch.no_grad():
        wn.v.copy_(v), wn.g.copy_(g), wn.bias.copy_(b)
        bn.g.copy_(g), bn.bias.copy_(b)
    torch.testing.assert_close(normalised("wn", x, v, g, b, 0), wn(x))
    torch.testing.assert_close(normalised("bn", x, v, g, b, bn.eps), bn(x @ v.T))


def test_on_whitened_inputs_they_agree_and_otherwise_not() -> None:
    draw = torch.Generator().manual_seed(0)
    images = load_data("digits").train.images.flatten(1).double()
    white = whitened(images)
    for x, equal in ((white, True), (images, False), (white[:100], False)):
        v = torch.randn(4, x.shape[1], generator=draw, dtype=torch.float64)
        g, b = torch.rand(2, 4, generator=draw, dtype=torch.float64)
        one, two = (normalised(arm, x, v, g, b, 0) for arm in ("wn", "bn"))
        assert ((one - two).abs().max() < 1e-10) == equal


def made_up(white: float, raw: float, seeds: int = 3) -> dict:
    rows = [
        {
            "data": data,
            "batch": batch,
            "precision": precision,
            "eps": eps,
            "seed": seed,
            "steps_done": step,
            "output_difference_relative": (white if data == "whitened" else raw) * (1 + 0.1 * seed),
        }
        for data in ("whitened", "raw")
        for batch in ("all", "100")
        for precision, eps in (("float32", 0.0), ("float64", 0.0), ("float64", 1e-6))
        for seed in range(seeds)
        for step in (0, 1)
    ]
    return {"whitening": pd.DataFrame(rows)}


@pytest.mark.parametrize(
    ("white", "raw", "seeds", "outcome"),
    [
        (1e-7, 0.5, 3, "reproduced"),
        (1e-3, 0.5, 3, "not reproduced"),
        (1e-7, 1e-4, 3, "not reproduced"),
        (1e-7, 0.0095, 3, "inconclusive"),
        (1e-7, 0.5, 2, "inconclusive"),
    ],
)
def test_the_verdict(white: float, raw: float, seeds: int, outcome: str) -> None:
    assert EXPERIMENT.verdicts(made_up(white, raw, seeds))[0].outcome == outcome
