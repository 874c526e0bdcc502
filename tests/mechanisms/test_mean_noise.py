"""The noise of batch statistics: what is measured, and a verdict that can come out all ways."""

import pandas as pd
import pytest
import torch
from scipy.stats import kurtosis

from wnrepro.mechanisms import load
from wnrepro.mechanisms.mean_noise import excess_kurtosis, noise, parts, pre_normaliser
from wnrepro.mechanisms.training import training

EXPERIMENT = load("mean_noise")


def test_excess_kurtosis_is_scipys() -> None:
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    torch.testing.assert_close(excess_kurtosis(x), torch.from_numpy(kurtosis(x.numpy())))


def test_that_of_a_gaussian_is_0_and_of_laplace_3() -> None:
    draw = torch.Generator().manual_seed(0)
    normal = torch.randn(400_000, generator=draw, dtype=torch.float64)
    assert abs(excess_kurtosis(normal)) < 0.05
    uniform = torch.rand(400_000, generator=draw, dtype=torch.float64) - 0.5
    laplace = uniform.sign() * torch.log1p(-2 * uniform.abs())
    assert abs(excess_kurtosis(laplace) - 3) < 0.3


@pytest.mark.parametrize("arm", ["mean_only_bn", "bn"])
def test_the_noise_is_the_units_own_output_with_the_batch_minus_that_with_all(arm: str) -> None:
    run = training({**parts(True)[0], "arm": arm, "width": 8})
    run.model.double()
    images = run.dataset.train.images.double()
    draw = torch.Generator().manual_seed(1)
    examples = torch.tensor([3, 700])
    batches = torch.stack([torch.randperm(len(images), generator=draw)[:99] for _ in range(5)])
    (_, unit, t), *_ = pre_normaliser(run.model, images)
    found = noise(unit, t, examples, batches)
    assert found.shape == (5, 2, 8)
    unit.train()
    with torch.no_grad():
        everything = unit.normaliser(t)
        for i, example in enumerate(examples):
            for k, batch in enumerate(batches):
                rows = torch.cat([example[None], batch])
                expected = unit.normaliser(t[rows])[0] - everything[example]
                torch.testing.assert_close(found[k, i], expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_layers_below_are_normalised_by_all_images() -> None:
    run = training({**parts(True)[0], "arm": "bn", "width": 8})
    run.model.double().train()
    images = run.dataset.train.images.double()
    last = list(pre_normaliser(run.model, images))[-1]
    name, unit, t = last
    assert name == "dense"
    torch.testing.assert_close(unit.normaliser(t), run.model(images), rtol=1e-9, atol=1e-9)


def made_up(mean_only: float, bn: float, seeds: int = 4, bn_over_examples: float = 2.0) -> dict:
    """Of one activation; over examples together mean-only batch norm has the same."""
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "epoch": epoch,
            "layer": "dense",
            "kurtosis_median": value + 0.01 * seed,
            "kurtosis_over_examples_median": over_examples,
        }
        for arm, value, over_examples in (
            ("mean_only_bn", mean_only, mean_only),
            ("bn", bn, bn_over_examples),
        )
        for seed in range(seeds)
        for epoch in (0, 5)
    ]
    return {"mean_noise": pd.DataFrame(rows)}


@pytest.mark.parametrize(
    ("mean_only", "bn", "seeds", "bn_over_examples", "outcome"),
    [
        (0.0, 2.0, 4, 2.0, "reproduced"),
        (0.0, 0.1, 4, 0.1, "not reproduced"),
        (1.0, 2.0, 4, 2.0, "not reproduced"),
        (0.0, 0.1, 4, 2.0, "inconclusive"),  # the two readings part
        (0.0, 2.0, 4, 0.1, "inconclusive"),
        (0.0, 0.49, 4, 0.1, "inconclusive"),
        (0.0, 2.0, 2, 2.0, "inconclusive"),
    ],
)
def test_the_verdict(
    mean_only: float, bn: float, seeds: int, bn_over_examples: float, outcome: str
) -> None:
    (found,) = EXPERIMENT.verdicts(made_up(mean_only, bn, seeds, bn_over_examples))
    assert found.outcome == outcome
