"""Every sweep file, expanded as the command does it: its grid is the one that it promises."""

import itertools
import re
from collections.abc import Iterable
from functools import cache
from typing import cast

import pytest

from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.commands.composition import CONF, expand
from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError
from wnrepro.runs.identity import identity
from wnrepro.tasks.vae import VAEConfig

SWEEPS = {
    "digits_arms": 25,
    "mnist_arms": 25,
    "mnist_init_ablation": 50,
    "mnist_lr_robustness": 325,
    "mnist_lr_selection": 18,
    "mnist_optimizers": 75,
    "mnist_optimizers_lr": 165,
    "fashion_mnist_arms": 25,
    "fashion_mnist_lr_selection": 18,
    "own_rates": 20,
    "cifar_table1": 15,
    "cifar_lr_selection": 20,
    "cifar_small": 25,
    "cifar_small_rates": 90,
    "draw_small": 20,
    "draw_medium": 12,
    "vae_mnist_small": 10,
    "vae_cifar_small": 6,
    "atari_small": 6,
    "minatar_rates": 48,
    "minatar_small": 60,
    "minatar_batch_norm": 24,
}
"""Each with its number of runs. A sweep that is added is added here and checked below."""
TRAINING_IMAGES = {"draw_small": 50_000, "draw_medium": 50_000, "vae_mnist_small": 10_000}
"""Where these are not all. The fixed binarisation has 50,000."""
INIT_OF = {arm: "data_dependent" if ARMS[arm].takes_init else "none" for arm in PAPER_ARMS}


@cache
def configs(name: str) -> tuple[Config, ...]:
    return tuple(expand([f"+sweep={name}"]).configs)


def identities(name: str) -> set[str]:
    return {identity(as_dict(config)) for config in configs(name)}


def grid(name: str, *keys: str) -> list[tuple]:
    """The values that the runs have at the dotted `keys`, sorted."""

    def value(config: Config, key: str) -> object:
        node: object = config
        for part in key.split("."):
            node = getattr(node, part)
        return node

    return sorted(tuple(value(config, key) for key in keys) for config in configs(name))


def product(*values: Iterable) -> list[tuple]:
    return sorted(itertools.product(*values))


def test_these_are_all_sweeps() -> None:
    assert {path.stem for path in (CONF / "sweep").glob("*.yaml")} == set(SWEEPS)


@pytest.mark.parametrize("name", SWEEPS)
def test_the_header_says_what_a_sweep_is(name: str) -> None:
    text = (CONF / "sweep" / f"{name}.yaml").read_text()
    header = re.match(r"(?:#.*\n)+", text)
    assert header is not None
    assert f"# python -m wnrepro.train -m +sweep={name}\n" in header[0]
    said = re.search(r"^# (\d+) runs: (.+)\.$", header[0], re.MULTILINE)
    assert said is not None
    factors = [int(number) for number in re.findall(r"(\d+) [a-z]", said[2])]
    n_runs = 1
    for factor in factors:
        n_runs *= factor
    assert int(said[1]) == n_runs == SWEEPS[name]
    for part in ("Shows", "Cost", "Expect"):
        assert re.search(rf"^# {part}\b.*: ", header[0], re.MULTILINE), part
    assert re.search(r"\b(measured|computed)\b", header[0])
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", SWEEPS)
def test_its_runs_are_all_different_and_as_many_as_it_says(name: str) -> None:
    assert len(configs(name)) == len(identities(name)) == SWEEPS[name]


@pytest.mark.parametrize("name", SWEEPS)
def test_it_is_the_whole_experiment(name: str) -> None:
    """Nothing that makes a run smaller or of lower precision has slipped in."""
    for config in configs(name):
        assert config.scale.name == "full"
        size = TRAINING_IMAGES.get(name)
        assert (config.data.train_size, config.data.evaluation_size) == (size, None)
        assert config.precision == "float32"


@pytest.mark.parametrize("name", SWEEPS)
def test_runs_are_packed_one_per_core(name: str) -> None:
    assert {config.threads for config in configs(name)} == {1}


@pytest.mark.parametrize("data", ["digits", "mnist", "fashion_mnist"])
def test_arms(data: str) -> None:
    assert grid(f"{data}_arms", "norm.name", "seed") == product(PAPER_ARMS, range(5))
    assert set(grid(f"{data}_arms", "data.name", "epochs", "optim.lr", "data.held_out")) == {
        (data, 30 if data == "digits" else 20, 0.003, 0)
    }
    assert set(grid(f"{data}_arms", "norm.name", "init.name")) == set(INIT_OF.items())


def test_init_ablation() -> None:
    takers = [arm.id for arm in ARMS.values() if arm.takes_init]
    assert "plain_frozen_scale" in takers
    assert grid("mnist_init_ablation", "norm.name", "init.name", "seed") == product(
        takers, ["data_dependent", "none"], range(5)
    )
    # What both have is trained once.
    assert len(identities("mnist_init_ablation") & identities("mnist_arms")) == 20


def test_lr_robustness() -> None:
    rates = sorted({lr for (lr,) in grid("mnist_lr_robustness", "optim.lr")})
    assert len(rates) >= 9
    assert rates[-1] / rates[0] >= 1e5 * (1 - 1e-12)
    ratios = [b / a for a, b in itertools.pairwise(rates)]
    assert all(3 * (1 - 1e-9) <= ratio <= 10 / 3 * (1 + 1e-9) for ratio in ratios), "even steps"
    assert grid("mnist_lr_robustness", "norm.name", "optim.lr", "seed") == product(
        PAPER_ARMS, rates, range(5)
    )
    assert set(grid("mnist_lr_robustness", "norm.name", "init.name")) == set(INIT_OF.items())
    assert len(identities("mnist_lr_robustness") & identities("mnist_arms")) == 25


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_lr_selection_does_not_see_the_test_set(data: str) -> None:
    sweep = f"{data}_lr_selection"
    assert grid(sweep, "norm.name", "optim.lr", "seed") == product(
        ("plain", "wn"), (0.001, 0.003, 0.01), range(3)
    )
    keys = ("data.name", "epochs", "data.held_out")
    assert set(grid(sweep, *keys)) == {(data, 20, 10000)}


OPTIMISERS = ["momentum", "averaged_momentum", "adadelta", "adam", "adamax"]
OPTIMISER_ARMS = ["plain", "wn", "bn"]


def test_optimizers_lr_does_not_see_the_test_set() -> None:
    rates = sorted({lr for (lr,) in grid("mnist_optimizers_lr", "optim.lr")})
    assert grid("mnist_optimizers_lr", "optim.name", "norm.name", "optim.lr", "seed") == product(
        OPTIMISERS, OPTIMISER_ARMS, rates, [0]
    )
    keys = ("data.name", "epochs", "data.held_out")
    assert set(grid("mnist_optimizers_lr", *keys)) == {("mnist", 5, 10000)}
    assert set(grid("mnist_optimizers_lr", "norm.name", "init.name")) == {
        (arm, INIT_OF[arm]) for arm in OPTIMISER_ARMS
    }


def test_optimizers_have_each_the_rate_that_was_chosen_for_the_arm() -> None:
    assert grid("mnist_optimizers", "optim.name", "norm.name", "seed") == product(
        OPTIMISERS, OPTIMISER_ARMS, range(5)
    )
    keys = ("data.name", "epochs", "data.held_out")
    assert set(grid("mnist_optimizers", *keys)) == {("mnist", 20, 0)}
    chosen = set(grid("mnist_optimizers", "optim.name", "norm.name", "optim.lr"))
    assert len(chosen) == len(OPTIMISERS) * len(OPTIMISER_ARMS)
    inside = sorted(set(grid("mnist_optimizers_lr", "optim.lr")))[1:-1]
    assert {(lr,) for _, _, lr in chosen} <= set(inside), "a best rate at the edge is not the best"
    assert {lr for name, arm, lr in chosen if (name, arm) == ("averaged_momentum", "bn")} == {3}
    assert len(identities("mnist_optimizers") & identities("mnist_lr_robustness")) == 15


def test_cifar_table1_is_the_papers_protocol() -> None:
    assert grid("cifar_table1", "norm.name", "seed") == product(PAPER_ARMS, range(3))
    keys = ("data.name", "model.width", "epochs", "batch_size", "data.held_out", "data.whiten")
    assert set(grid("cifar_table1", *keys)) == {("cifar10", 96, 200, 100, 0, True)}
    assert set(grid("cifar_table1", "norm.name", "optim.lr")) == {
        (arm, 0.0003 if arm == "plain" else 0.003) for arm in PAPER_ARMS
    }


def test_cifar_lr_selection_does_not_see_the_test_set() -> None:
    assert grid("cifar_lr_selection", "norm.name", "optim.lr", "seed") == product(
        PAPER_ARMS, [0.0003, 0.001, 0.003, 0.01], [0]
    )
    keys = ("data.name", "model.width", "epochs", "data.held_out")
    assert set(grid("cifar_lr_selection", *keys)) == {("cifar10", 96, 200, 5000)}


def test_cifar_small() -> None:
    assert grid("cifar_small", "norm.name", "seed") == product(PAPER_ARMS, range(5))
    keys = ("data.name", "model.width", "epochs", "data.held_out", "data.whiten")
    assert set(grid("cifar_small", *keys)) == {("cifar10", 24, 10, 0, True)}
    assert set(grid("cifar_small", "norm.name", "optim.lr")) == set(
        grid("cifar_table1", "norm.name", "optim.lr")
    )


def test_cifar_small_rates_does_not_see_the_test_set() -> None:
    assert grid("cifar_small_rates", "norm.name", "optim.lr", "seed") == product(
        PAPER_ARMS, [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1], range(3)
    )
    keys = ("data.name", "model.width", "epochs", "data.held_out", "data.whiten")
    assert set(grid("cifar_small_rates", *keys)) == {("cifar10", 24, 10, 5000, True)}


@pytest.mark.parametrize(
    ("name", "seeds", "glimpses", "width", "epochs"),
    [("draw_small", 5, 8, 128, 6), ("draw_medium", 3, 16, 256, 10)],
)
def test_draw(name: str, seeds: int, glimpses: int, width: int, epochs: int) -> None:
    assert grid(name, "norm.name", "task.start", "seed") == product(
        ("plain", "wn"), ("normal", "unit"), range(seeds)
    )
    keys = ("task.glimpses", "model.width", "epochs", "optim.lr", "init.name")
    assert set(grid(name, *keys)) == {(glimpses, width, epochs, 0.001, "none")}


@pytest.mark.parametrize(
    ("name", "seeds", "width", "epochs", "log_scale"),
    [("vae_mnist", 5, 8, 60, 0), ("vae_cifar", 3, 32, 4, -3)],
)
def test_vaes(name: str, seeds: int, width: int, epochs: int, log_scale: float) -> None:
    assert grid(f"{name}_small", "norm.name", "seed") == product(("plain", "wn"), range(seeds))
    keys = ("model.name", "model.width", "epochs", "task.log_scale", "optim.lr", "init.name")
    assert set(grid(f"{name}_small", *keys)) == {
        (name, width, epochs, log_scale, 0.002, "data_dependent")
    }


def test_atari_small_has_the_papers_network_and_rates_and_fewer_steps() -> None:
    assert grid("atari_small", "norm.name", "seed") == product(("plain", "wn"), range(3))
    assert set(grid("atari_small", "norm.name", "optim.lr", "init.name")) == {
        ("plain", 0.0001, "none"),
        ("wn", 0.0003, "data_dependent"),
    }
    keys = ("data.name", "model.name", "model.width", "batch_size", "epochs")
    assert set(grid("atari_small", *keys)) == {("atari_space_invaders", "nature_cnn", 512, 64, 10)}
    keys = ("task.epoch_steps", "task.replay_size", "task.frame_skip", "task.update_every")
    assert set(grid("atari_small", *keys)) == {(25_000, 100_000, 4, 4)}


@pytest.mark.parametrize(
    ("command", "images"),
    [("+exp=vae_mnist", 50_000), ("+exp=vae_cifar", 50_000), ("+sweep=vae_mnist_small", 10_000)],
)
def test_the_vaes_parameters_are_averaged_over_the_papers_ten_epochs(
    command: str, images: int
) -> None:
    for config in expand([command, "seed=0,1"]).configs:
        task = cast(VAEConfig, config.task)
        assert 1 / (1 - task.average) == pytest.approx(10 * images / config.batch_size)


def test_table1_is_trained_seed_by_seed_the_papers_headline_first() -> None:
    order = [(config.seed, config.norm.name) for config in configs("cifar_table1")]
    arms = ("wn_mean_only_bn", "wn", "bn", "plain", "mean_only_bn")
    assert order == [(seed, arm) for seed in range(3) for arm in arms]


def test_the_command_line_goes_before_the_file() -> None:
    smaller = expand(["+sweep=cifar_small", "seed=7", "model.width=12", "threads=2"]).configs
    assert [config.norm.name for config in smaller] == list(PAPER_ARMS)
    assert {(c.seed, c.model.width, c.epochs, c.threads) for c in smaller} == {(7, 12, 10, 2)}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("seed=range(0,0)", "the sweep has no runs"),
        ("seed=range(0,10,0)", "cannot read 'seed=range.0,10,0.'"),
        ("seed=range(0,1000000000)", "has more than 10000 values"),
        ("seed=range(0,200) optim.lr=range(1,200)", "more than 10000 runs"),
        ("seed=interval(0,1)", "a sweep takes lists and ranges"),
        ("hydra/launcher=3", "hydra/launcher takes a name; choose from local, slurm"),
        ("hydra/launcher=null", "hydra/launcher takes a name"),
        ("hydra/launcher=local,slurm", "all runs of a sweep share one hydra/launcher"),
        ("+hydra.launcher.nope=1", "write hydra.launcher.nope=…"),
        ("hydra.launcher.nope=1", "hydra.launcher.nope is no key of Hydra's config"),
        ("hydra.launcher.runs_per_gpu=two", "hydra.launcher.runs_per_gpu has the wrong type"),
        ("hydra.launcher=null", "write hydra/launcher=NAME"),
        ("+hydra.foo=1", "would change nothing"),
        ("hydra.run.dir=/dev/null/x", "would change nothing"),
        ("hydra.sweep.dir=x", "would change nothing"),
        ("hydra.mode=RUN", "would change nothing"),
        ("hydra.job.chdir=true", "would change nothing"),
        ("hydra/sweeper=basic", "would change nothing"),
        ("hydra.searchpath=[nosuch]", "nosuch: there is no such folder"),
        ("hydra.searchpath=3", "write a list of folders"),
        ("epochs=${epochs} seed=0,1", "epochs: "),
        ("runs.root=${hydra:no.such} seed=0,1", "runs.root: "),
        ("tracker=null,none", "tracker takes a name; choose from none, wandb"),
        ("norm=range(3)", "norm takes a name"),
        ("hydra.sweeper.params.seed=1,2", r"cannot read .*: write seed=1,2"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(overrides: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        expand(overrides.split())
    assert "\n" not in str(raised.value)


def test_minatar_rates_are_chosen_on_other_seeds() -> None:
    games = [f"minatar_{game}" for game in ("breakout", "seaquest", "space_invaders")]
    assert grid("minatar_rates", "data.name", "norm.name", "optim.lr", "seed") == product(
        games, ("plain", "wn"), (0.0001, 0.0003, 0.001, 0.003), (100, 101)
    )
    arms = set(grid("minatar_rates", "norm.name", "init.name"))
    assert arms == {("plain", "none"), ("wn", "data_dependent")}
    assert grid("minatar_small", "data.name", "norm.name", "init.name", "seed") == product(
        games, ("plain", "wn"), ("data_dependent", "none"), range(5)
    )
    for name in ("minatar_rates", "minatar_small"):
        keys = ("epochs", "task.epoch_steps", "batch_size", "optim.name", "optim.beta1")
        assert set(grid(name, *keys)) == {(20, 12_500, 64, "adamax", 0.5)}


def test_batch_norm_in_minatar_has_plain_beside_it_at_each_rate() -> None:
    name = "minatar_batch_norm"
    assert grid(name, "data.name", "norm.name", "optim.lr", "seed") == product(
        ["minatar_breakout"], ("plain", "bn"), (0.0001, 0.0003, 0.001, 0.003), range(3)
    )
    assert set(grid(name, "init.name", "batch_size")) == {("none", 64)}
    rates = {rate for (rate,) in grid("minatar_rates", "optim.lr")}
    assert rates == {rate for (rate,) in grid(name, "optim.lr")}
