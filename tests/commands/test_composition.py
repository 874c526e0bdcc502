"""What a command line means in a sweep is what it means to Hydra for each run alone."""

import itertools
import re
from functools import cache
from pathlib import Path

import hydra
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from wnrepro.commands.command_line import arguments
from wnrepro.commands.composition import CONF, compose_one, expand, experiments
from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError
from wnrepro.resolution import register_schema, resolve
from wnrepro.runs.identity import identity

FILES = {path.name: sorted(p.stem for p in path.glob("*.yaml")) for path in CONF.iterdir()}
GROUPS = [name for name, files in FILES.items() if files and name not in ("exp", "sweep")]
KEYS = {
    "optim": ["{lr:0.1}", "{lr:0.2,eps:1e-3}", "{gamma:0.5}"],
    "model": ["{width:8}", "{width:16,dropout:0.1}"],
    "data": ["{held_out:100}", "{train_size:200}"],
    "init": ["{batch_size:50}", "{name:none}"],
    "optim.lr": ["0.3", "0.4"],
    "++optim.lr": ["0.5", "0.6"],
    "model.width": ["4", "5"],
    "data.held_out": ["200", "10"],
    "epochs": ["2", "many", "${seed}"],
    "seed": ["1", "2"],
    "~optim.eps": [""],
    "+nosuch": ["1"],
}
"""Values, of which some lines have mistakes; a dict of a group sets keys of what is chosen."""


def _axis() -> st.SearchStrategy[tuple[str, list[str]]]:
    """A key of a command line and its values."""
    choices = {name: FILES[name] for name in GROUPS}
    choices["+exp"] = ["digits", "mnist_wn", "cifar_bn"]
    # One of two kinds for each group: which comes first is what a sweep once got wrong.
    kinds = [(key, values) for key, values in [*choices.items(), *KEYS.items()]]
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.tuples(
            st.just(kind[0]),
            st.lists(st.sampled_from(kind[1]), min_size=1, max_size=2, unique=True),
        )
    )


def _line(key: str, values: list[str]) -> str:
    return f"{key}={','.join(values)}" if values != [""] else key


@cache
def alone(*overrides: str) -> Config | None:
    """Hydra's own composition of one run; None where it is refused."""
    register_schema(experiments())
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            return resolve(hydra.compose("config", list(overrides)))
    except Exception:
        return None


def swept(*overrides: str) -> list[Config] | None:
    try:
        return expand(overrides).configs
    except ConfigError:
        return None


def check(axes: list[tuple[str, list[str]]]) -> None:
    loops = [[_line(key, [value]) for value in values] for key, values in axes]
    runs = [alone(*line) for line in itertools.product(*loops)]
    found = swept(*(_line(key, values) for key, values in axes))
    whole = [run for run in runs if run is not None]
    if found is None:  # a mistake in one of them, or two runs that are the same
        names = {identity(as_dict(run)) for run in whole}
        assert len(names) < len(runs), axes
    elif len({key for key, _ in axes}) == len(axes):
        assert found == runs
    else:  # of a key that is given twice the last counts, and not once for each value before
        assert all(run in runs for run in found)
        assert all(run in found for run in runs)


@settings(max_examples=15, phases=[Phase.explicit, Phase.generate])
@given(st.lists(_axis(), min_size=1, max_size=3))
def test_any_line_gives_what_hydra_composes(axes: list[tuple[str, list[str]]]) -> None:
    check(axes)


def test_what_is_done_to_a_config_does_not_show_in_the_next_composition() -> None:
    line = ["+exp=digits_wn", "seed=0,1"]
    (one, other) = expand(line).configs
    one.optim.lr = 9.0
    again = expand(line).configs
    assert again[1] == other
    assert again[0].optim.lr == other.optim.lr


@pytest.mark.parametrize("group", [name for name in GROUPS if name in KEYS])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_file_and_keys_of_it_in_both_orders(group: str, swapped: bool) -> None:
    files = [f for f in FILES[group] if f not in ("convpool_cnn_c", "auto")]
    axes = [(group, files[-1:]), (group, KEYS[group][:1])]
    check(axes[::-1] if swapped else axes)
    axes = [(group, files[:1]), (group, KEYS[group][:2]), ("seed", ["3", "4"])]
    check([axes[1], axes[0], axes[2]] if swapped else axes)


def test_a_single_run_is_a_sweep_of_one() -> None:
    for line in (["optim=sgd", "optim={lr:0.1}"], ["+exp=mnist_wn", "norm=bn", "seed=3"]):
        assert [compose_one(line)] == expand(line).configs == [alone(*line)]


def test_a_loop_of_a_file_that_is_replaced_is_said() -> None:
    sweep = expand(["+sweep=digits_arms", "+exp=digits_wn"])
    assert [(config.norm.name, config.seed) for config in sweep.configs] == [
        ("wn", seed) for seed in range(5)
    ]
    (said,) = sweep.replaced
    assert re.match(r"\+exp=digits_wn in place of the sweep's \+exp=digits_plain,", said)
    assert expand(["+sweep=digits_arms", "epochs=2"]).replaced == []


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    """Experiments, sweeps and launchers, for one run and for many; mistakes name the right file."""
    own = tmp_path / "it's mine"
    for name, text in {
        "exp/mine": "# @package _global_\ndefaults: [override /norm: bn]\nepochs: 3",
        "exp/cluster": "# @package _global_\ndefaults: [override /hydra/launcher: slurm]",
        "exp/wrong": "# @package _global_\nepocs: 3",
        "sweep/seeds": "# @package _global_\nhydra: {sweeper: {params: {+exp: mine, seed: '5,6'}}}",
        "sweep/far": (
            "# @package _global_\ndefaults: [override /hydra/launcher: slurm]\n"
            "hydra: {sweeper: {params: {seed: '5,6'}}, launcher: {partition: gpu}}"
        ),
        "hydra/launcher/two": "defaults: [local]\nruns_at_once: 2",
    }.items():
        path = own / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def given(line: str) -> list[str]:
        return arguments(["--config-dir", str(own), *line.split()]).overrides

    one = compose_one(given("+exp=mine"))
    assert (one.epochs, one.norm.name) == (3, "bn")
    assert compose_one(given("+exp=mine_wn")).norm.name == "wn"
    assert [c.seed for c in expand(given("+sweep=seeds")).configs] == [5, 6]
    assert {c.epochs for c in expand(given("+exp=glob(mine_*)")).configs} == {3}
    far = expand(given("+sweep=far"))
    assert (far.launcher, far.settings["partition"], len(far.configs)) == ("slurm", "gpu", 2)
    for line in ("+exp=cluster seed=1,2", "+exp=cluster,cluster_bn"):
        assert expand(given(line)).launcher == "slurm"
    assert expand(given("+exp=cluster hydra/launcher=two")).settings["runs_at_once"] == 2
    with pytest.raises(ConfigError, match="several launchers"):
        expand(given("+exp=cluster,mine"))
    with pytest.raises(ConfigError, match="add -m"):
        compose_one(given("+exp=cluster"))
    with pytest.raises(ConfigError, match=re.escape(f"{own / 'exp' / 'wrong.yaml'}: epocs")):
        compose_one(given("+exp=wrong"))


def test_what_refers_to_hydra_is_the_same_in_a_sweep() -> None:
    line = "runs.root=${hydra:runtime.cwd}/there"
    assert {c.runs.root for c in expand([line, "seed=0,1"]).configs} == {
        compose_one([line]).runs.root
    }


@pytest.mark.parametrize("place", [0, 1])
def test_a_choice_in_place_of_a_sweep_s_keeps_the_sweep_s_keys(place: int) -> None:
    line = ["+sweep=minatar_small"]
    line.insert(place, "+exp=minatar_breakout_wn")
    whole = set(expand(["+sweep=minatar_small"]).identities)
    sweep = expand(line)
    assert len(sweep.configs) == 10
    assert set(sweep.identities) < whole
    assert {config.optim.lr for config in expand([*line, "optim.lr=0.1"]).configs} == {0.1}
