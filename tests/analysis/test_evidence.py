"""A condition admits the runs of its sweep, and of all others only those that are the same."""

from functools import cache

import pytest
import yaml

from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.records import Records, load
from wnrepro.analysis.settings import MINATAR_RATES, OWN_RATES
from wnrepro.commands.composition import CONF, expand
from wnrepro.config import as_dict
from wnrepro.runs.identity import computed, identity

RESULTS = CONF.parent / "results"
OTHERS = [
    ["+sweep=mnist_optimizers_lr", "+exp=mnist_wn", "optim=adam"],
    ["+sweep=mnist_arms", "+exp=mnist_wn", "model.dropout=0.1"],
]


@cache
def configs(*overrides: str) -> tuple[dict, ...]:
    """As they stand in a record, of one seed: composing takes long, and seeds change nothing."""
    return tuple(computed(as_dict(config)) for config in expand([*overrides, "seed=0"]).configs)


@pytest.fixture(scope="module")
def every_config() -> list[dict]:
    asked = [*(each.overrides for each in EVIDENCE.values()), *OTHERS]
    return [config for overrides in asked for config in configs(*overrides)]


@pytest.fixture(scope="module")
def committed() -> Records:
    return load(RESULTS)


def test_the_command_is_that_of_the_sweep() -> None:
    for name, command in {
        "mnist_arms": "+sweep=mnist_arms",
        "cifar_table1_bf16": "+sweep=cifar_table1 precision=bf16",
        "cifar_frozen_scale": "+exp=cifar_plain norm=plain_frozen_scale seed=0,1,2",
    }.items():
        assert EVIDENCE[name].command == f"python -m wnrepro.train -m {command}"


@pytest.mark.parametrize("name", EVIDENCE)
def test_admits_exactly_its_sweep(name: str, every_config: list[dict]) -> None:
    evidence = EVIDENCE[name]
    own = set(map(identity, configs(*evidence.overrides)))
    seed = {"seed": evidence.seeds[0]}
    assert {identity(c) for c in every_config if evidence.admits(c | seed)} == own
    assert len(own) == len(evidence.settings)


@pytest.mark.parametrize("name", EVIDENCE)
def test_plans_the_seeds_of_its_sweep(name: str) -> None:
    given = dict(each.split("=", 1) for each in EVIDENCE[name].overrides)
    if "seed" not in given:
        sweep = yaml.safe_load((CONF / "sweep" / f"{given['+sweep']}.yaml").read_text())
        given |= sweep["hydra"]["sweeper"]["params"]
    assert [int(seed) for seed in str(given["seed"]).split(",")] == list(EVIDENCE[name].seeds)


@pytest.mark.parametrize("data", OWN_RATES)
def test_an_arms_own_rate_has_its_lowest_mean_error_on_held_out_images(
    data: str, committed: Records
) -> None:
    runs = select(committed, f"{data}_lr_selection").runs
    by_rate = runs.groupby(["arm", "learning_rate"])["held_out_error_percent"]
    assert (by_rate.count() == 3).all()
    best = by_rate.mean().unstack().idxmin(axis=1)  # of equals the first, the lowest rate
    assert best.to_dict() == OWN_RATES[data]


def test_a_rate_in_minatar_has_the_largest_mean_area_of_its_arm_and_game() -> None:
    """Until all have been tried, it is the paper's."""
    found = load(RESULTS)
    rates = select(found, "minatar_rates")
    chosen = {game: {"plain": 0.0001, "wn": 0.0003} for game in MINATAR_RATES}
    if len(rates.runs) == EVIDENCE["minatar_rates"].planned:
        area = rates.curves.groupby("identity")["test_score"].mean()
        means = area.groupby([rates.runs[key] for key in ("data", "arm", "learning_rate")]).mean()
        best = means.unstack().idxmax(axis=1)  # of equals the first, the lowest rate
        chosen = {game: best[f"minatar_{game}"].to_dict() for game in MINATAR_RATES}
    assert chosen == MINATAR_RATES


CHANGES = {
    "width": ("model", "width", 48),
    "held_out": ("data", "held_out", 5000),
    "whitening": ("data", "whitening_dtype", "float32"),
    "train_size": ("data", "train_size", 1000),
    "lr": ("optim", "lr", 0.002),
    "eps": ("optim", "eps", 1e-6),
    "whiten": ("data", "whiten", False),
    "dropout": ("model", "dropout", 0.0),
    "init": ("init", "name", "none"),
    "init_batch": ("init", "batch_size", 100),
    "extra": ("model", "new_key", 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_differs_anywhere_is_not_evidence(change: str) -> None:
    group, key, value = CHANGES[change]
    for config in configs("+sweep=cifar_table1"):
        if config["norm"]["name"] == "bn" and change == "init":
            continue  # bn has no init
        changed = {**config, group: {**config[group], key: value}}
        assert not EVIDENCE["cifar_table1"].admits(changed)
        assert EVIDENCE["cifar_table1"].admits(config)
    config = next(iter(configs("+sweep=cifar_table1")))
    for epochs, precision in ((100, "float32"), (200, "tf32"), (200, "bf16")):
        changed = {**config, "epochs": epochs, "precision": precision}
        assert not EVIDENCE["cifar_table1"].admits(changed)


def test_more_seeds_are_welcome_but_not_in_single_points_of_a_grid() -> None:
    (config, *_) = configs("+sweep=mnist_arms")
    further = {**config, "seed": 5}
    assert EVIDENCE["mnist_arms"].admits({**config, "seed": 17})
    assert EVIDENCE["mnist_lr_robustness"].admits({**config, "seed": 4})
    assert not EVIDENCE["mnist_lr_robustness"].admits(further)
    assert not EVIDENCE["mnist_optimizers"].admits(further)
