"""An optimiser and its schedule by name: every setting arrives, or is refused."""

from typing import Any

import pytest
import torch

from wnrepro.optim import OPTIMISERS, build

PARAMS = [torch.nn.Parameter(torch.ones(1))]
BETAS = {"beta1": 0.8, "beta1_late": 0.3, "beta2": 0.9}


@pytest.mark.parametrize("name", ["adam", "adamax"])
def test_all_betas_or_none(name: str) -> None:
    optimizer, schedule = build(name, PARAMS, 10, 0.1, **BETAS)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    assert (schedule.beta1_at(4), schedule.beta1_at(5)) == (0.8, 0.3)
    optimizer, schedule = build(name, PARAMS, 10, 0.1)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert (schedule.beta1_at(4), schedule.beta1_at(5)) == (0.9, 0.5)


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("left_out", BETAS)
def test_a_part_of_the_betas_is_refused(name: str, left_out: str) -> None:
    some = {key: value for key, value in BETAS.items() if key != left_out}
    for betas in (some, {left_out: 0.7}):
        with pytest.raises(TypeError):
            build(name, PARAMS, 10, 0.1, **betas)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sgd", {"gamma": 0.9}),
        ("sgd", {"gamma": 0.0}),
        ("sgd", BETAS),
        ("momentum", BETAS),
        ("momentum", {"eps": 1e-8}),
        ("adadelta", BETAS),
        ("adam", {"gamma": 0.9}),
        ("adam", {"weight_decay": 0.1}),
    ],
)
def test_a_setting_that_an_optimiser_has_not_is_refused(
    name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        build(name, PARAMS, 10, 0.1, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"epochs": -3},
        {"lr": -0.1},
        {**BETAS, "beta1": 1.0},
        {**BETAS, "beta1_late": 1.5},
        {**BETAS, "beta1_late": float("nan")},
        {**BETAS, "beta2": -0.1},
    ],
)
def test_values_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        build("adam", PARAMS, **{"epochs": 10, "lr": 0.1, **settings})


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        build("lion", PARAMS, 10, 0.1)
