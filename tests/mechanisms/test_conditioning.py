"""Conditioning: C and D against autograd, the Hessians, and the verdict in all three ways."""

import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from wnrepro.mechanisms import hessian, load
from wnrepro.mechanisms.conditioning import covariance_of_v, covariances, eigenvalues_of, parts
from wnrepro.mechanisms.training import training, units

EXPERIMENT = load("conditioning")
PART = {**parts(True)[0], "width": 6, "depth": 2}


def small():
    run = training(PART)
    train = run.dataset.train
    return run.model.double(), train.images[:40].double(), train.labels[:40]


def test_c_and_d_are_the_covariances_of_the_gradients_of_single_images() -> None:
    model, images, labels = small()
    own = list(units(model).values())
    by_layer = {name: [] for name in units(model)}
    for image, label in zip(images, labels, strict=True):
        grads = torch.autograd.grad(
            cross_entropy(model(image[None]), label[None]), [u.v for u in own]
        )
        for name, gradient in zip(by_layer, grads, strict=True):
            by_layer[name].append(gradient)
    found = {name: rest for name, *rest in covariances(model, images, labels)}
    assert list(found) == list(by_layer)[1:]
    for name, (v, g, c) in found.items():
        samples = torch.stack(by_layer[name])  # (images, units, inputs)
        centred = samples - samples.mean(0)
        expected = torch.einsum("nui,nuj->uij", centred, centred) / len(samples)
        torch.testing.assert_close(covariance_of_v(v, g, c), expected, rtol=1e-8, atol=1e-12)


def test_of_D_the_direction_of_w_does_not_count() -> None:
    """C = diag(1, 2, 3, 12) and w along its last axis: D has 0, which is left out, and 1, 2, 3."""
    c = torch.tensor([1.0, 2.0, 3.0, 12.0], dtype=torch.float64).diag()[None]
    v = torch.tensor([[0.0, 0.0, 0.0, 2.0]], dtype=torch.float64)
    row, spectrum = eigenvalues_of(v, torch.tensor([2.0], dtype=torch.float64), c)
    assert row["cosine_median"] == pytest.approx(1)
    assert row["c_largest_over_mean_median"] == pytest.approx(12 / 4.5)
    assert row["d_largest_over_mean_median"] == pytest.approx(3 / 2)
    assert row["d_over_c_median"] == pytest.approx((3 / 2) / (12 / 4.5))
    assert row["c_condition_number_median"] == pytest.approx(12)
    assert row["d_condition_number_median"] == pytest.approx(3)
    shown = [(each["c_over_mean_median"], each["d_over_mean_median"]) for each in spectrum]
    expected = (12 / 4.5, 3 / 2), (3 / 4.5, 2 / 2), (2 / 4.5, 1 / 2)
    assert shown == [pytest.approx(pair) for pair in expected]


def test_hessians() -> None:
    model, images, labels = small()
    rows = pd.DataFrame(hessian.compare(model, images, labels)).groupby("written_in")
    errors, asymmetry = rows.product_error_relative.max(), rows.asymmetry_relative.max()
    assert errors["w"] < 1e-6
    assert errors["v_g"] < 1e-6
    assert errors["v_g_torch"] > 1e-2, "torch's weight norm has learnt its second derivatives?"
    assert asymmetry["w"] < 1e-12
    assert asymmetry["v_g"] < 1e-12


def test_the_product_with_the_hessian_of_a_quadratic_has_no_error() -> None:
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(5, 5, generator=draw, dtype=torch.float64)
    at = torch.randn(5, generator=draw, dtype=torch.float64)
    assert hessian.product_error(lambda x: x @ (a @ a.T) @ x / 2, at) < 1e-8


def made_up(cosine: float, ratio: float, seeds: int = 4) -> dict:
    rows = [
        {
            "seed": seed,
            "epoch": epoch,
            "layer": "dense",
            "cosine_median": cosine + 0.01 * seed,
            "cosine_of_chance": 0.1,
            "d_over_c_median": ratio + 0.01 * seed,
            "c_condition_number_median": 10.0,
            "d_condition_number_median": 9.0,
        }
        for seed in range(seeds)
        for epoch in (0, 5)
    ]
    columns = ["seed", "epoch", "written_in", "rank", "eigenvalue_abs", "eigenvalue_abs_mean"]
    columns += ["product_error_relative", "asymmetry_relative"]
    return {
        "conditioning": pd.DataFrame(rows),
        "conditioning_hessians": pd.DataFrame(columns=columns),
    }


@pytest.mark.parametrize(
    ("cosine", "ratio", "seeds", "outcome"),
    [
        (0.8, 0.5, 4, "reproduced"),
        (0.2, 0.5, 4, "not reproduced"),
        (0.8, 1.2, 4, "not reproduced"),
        (0.49, 0.5, 4, "inconclusive"),
        (0.8, 0.5, 2, "inconclusive"),
    ],
)
def test_the_verdict(cosine: float, ratio: float, seeds: int, outcome: str) -> None:
    assert EXPERIMENT.verdicts(made_up(cosine, ratio, seeds))[0].outcome == outcome
