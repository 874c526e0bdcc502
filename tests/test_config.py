"""What is refused before anything runs, and what a config resolves to."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from wnrepro.arms import ARMS
from wnrepro.commands import composition
from wnrepro.commands.composition import CONF
from wnrepro.config import Config, as_dict, as_yaml
from wnrepro.errors import ConfigError
from wnrepro.resolution import schema_keys
from wnrepro.runs.identity import identity
from wnrepro.train import main

Compose = Callable[..., Config]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`python -m wnrepro.train` in this process, in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


Command = Callable[..., tuple[int, str, str]]

MISTAKES = {
    "epocs=3": "epocs is no key of the config (did you mean epochs?)",
    "model.widht=3": "model.widht is no key of the config (did you mean model.width?)",
    "+foo=3": "foo is no key of the config",
    "+model.foo=3": "model.foo is no key of the config",
    "~epochs": "epochs has no value",
    "epochs=abc": "epochs has the wrong type: value 'abc'",
    "epochs=2.5": "epochs has the wrong type: value '2.5'",
    "seed=null": "seed has the wrong type",
    "norm=xyz": "norm=xyz is unknown; choose from bn, ",
    "norm.name=plian": "norm.name=plian is unknown (did you mean plain?)",
    "+exp=cifar_nw": "exp=cifar_nw is unknown (did you mean cifar_wn?); choose from cifar, ",
    "exp=cifar_wn": "write +exp=… instead of exp=…",
    "+sweep=digits_arms": "add -m",
    "norm=wn,bn": "add -m",
    "tracker=null": "tracker=null: tracker takes a name; choose from none, wandb",
    "norm=3": "norm=3: norm takes a name; choose from bn, ",
    "+exp=null": "+exp=null: exp takes a name; choose from cifar, ",
    "norm=": "norm=: norm takes a name",
    "=3": "cannot read '=3': write overrides as key=value",
    "hydra/launcher=slurm": "hydra/launcher=slurm is for a sweep of many runs: add -m",
    "hydra.launcher.partition=gpu": "is for a sweep of many runs: add -m",
    "hydra.sweeper.params.seed=1": "cannot read 'hydra.sweeper.params.seed=1': write seed=1",
    "runs.root=~/x": """cannot read 'runs.root=~/x': quote its value, as 'runs.root="~/x"'\n""",
    "data.root=/ä": """quote its value, as 'data.root="/ä"'\n""",
    "model.noise_std=inf": "model.noise_std=inf is out of range: it must be a number from 0 on",
    "threads=100000": "threads=100000 is out of range: it must be from 1 to 1024",
    "tracker=\n": r"cannot read 'tracker=\n': write overrides as key=value",
    f"epochs={10**20}": "is out of range: it must be from 1 to 1000000000",
    "epochs==3": "cannot read 'epochs==3': write overrides as key=value",
    "batch_size=0": "batch_size=0 is out of range: it must be from 1 to 1437",
    "batch_size=1438": "batch_size=1438 is out of range: it must be from 1 to 1437",
    "optim.lr=-0.1": "optim.lr=-0.1 is out of range",
    "optim=momentun": "optim=momentun is unknown (did you mean momentum?); choose from adadelta",
    "optim.lr=${lr}": "optim.lr: Interpolation key 'lr' not found",
    "device=gpu": "device=gpu is unknown (did you mean cpu?); choose from auto, cpu, cuda",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_on_the_command_line_is_one_line_and_nothing_is_left(
    override: str, command: Command, tmp_path: Path
) -> None:
    code, out, said = command(override)
    assert (code, out) == (2, "")
    assert MISTAKES[override] in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


OPTIONS = {
    "--epochs=3": "--epochs=3 is no option: write epochs=3",
    "--optim.lr 3": "--optim.lr is no option: write optim.lr=…",
    "--epoch=3": "--epoch=3 is no option (did you mean epochs?)",
    "-x": "-x is no option: there are -m, --cfg job",
    "--shell-completion install=bash": "--shell-completion is no option",
    "--experimental-rerun FILE": "--experimental-rerun is no option",
    "--info": "--info is no option",
    "--hydra-help": "--hydra-help is no option",
    "--package optim --cfg job": "--package is no option",
    "--cfg": "expected one argument",
    "--cfg hydra": "invalid choice: 'hydra'",
    "--cfg=job -m": "--cfg does not go with -m",
    "--resolve": "--resolve goes with --cfg job",
    "--config-dir nosuch": "nosuch: there is no such folder",
    "-c job epochs=-1": "epochs=-1 is out of range",
    "--cfg=job optim.lr=-1": "optim.lr=-1.0 is out of range",
    "-c=job nope=1": "nope is no key",
}


@pytest.mark.parametrize("line", OPTIONS)
def test_a_wrong_option_is_one_line_too(line: str, command: Command, tmp_path: Path) -> None:
    code, out, said = command(*line.split())
    assert (code, out) == (2, "")
    assert said.startswith("error: ")
    assert OPTIONS[line] in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["-c job", "--cfg=job", "-c=job", "--resolve --cfg job"])
def test_the_config_is_printed_however_it_is_asked_for(option: str, command: Command) -> None:
    asked = ("+exp=cifar_wn", "scale=smoke")
    code, out, _ = command(asked[0], *option.split(), asked[1])
    assert (code, out) == command(*asked, "--cfg", "job")[:2]
    assert (code, yaml.safe_load(out)["epochs"]) == (0, 2)


def test_the_help_names_the_groups_and_their_files(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    assert "  norm=bn, layer_norm, " in out
    assert "  +exp=cifar, digits, " in out


def test_what_is_no_text_or_too_long_is_not_repeated_whole(command: Command) -> None:
    code, _, said = command("runs.root=\udcff")
    assert (code, said.count("\n")) == (2, 1)
    assert r"cannot read 'runs.root=\udcff'" in said
    _, _, said = command("norm.name=" + 10_000 * "a")
    assert len(said) < 1000
    assert said.startswith("error: norm.name=aaa")
    assert "choose from plain, " in said


MISTAKES_IN_A_FILE = {
    "epocs: 3": "conf/exp/mine.yaml: epocs is no key of the config (did you mean epochs?)",
    "model: {widht: 3}": "conf/exp/mine.yaml: model.widht is no key of the config",
    "epochs: many": "conf/exp/mine.yaml: epochs has the wrong type: value 'many'",
    "epochs: [3": "exp/mine.yaml, line 3: no valid YAML",
    "defaults: [override /norm: nw]": "norm=nw is unknown",
}


@pytest.mark.parametrize("line", MISTAKES_IN_A_FILE)
def test_a_mistake_in_a_file_is_one_line_too(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "exp" / "mine.yaml").write_text(f"# @package _global_\n{line}\n")
    monkeypatch.setattr(composition, "CONF", conf)
    code, _, said = command("+exp=mine")
    assert (code, said.count("\n")) == (2, 1)
    assert MISTAKES_IN_A_FILE[line] in said


IMPOSSIBLE = {
    "epochs=0": "epochs=0",
    "optim.lr=0": "optim.lr=0",
    "optim.lr=nan": "optim.lr=nan",
    "optim.lr=inf": "optim.lr=inf",
    "optim.beta1=1": "optim.beta1=1",
    "optim.eps=-1e-8": "optim.eps=-1e-08",
    "optim.name=adm": r"optim.name=adm is unknown \(did you mean adam\?\)",
    "optim.gamma=0.9": "optim.gamma is no key of optim=adam; choose from optim.lr, optim.beta1",
    "optim.beta2=null": "optim.beta2 has no value: optim=adam needs a number",
    "model.width=0": "model.width=0",
    "model.depth=-1": "model.depth=-1",
    "model.depth=null": "needs a number of hidden layers",
    "model.dropout=1": "model.dropout=1",
    "model.noise_std=-1": "model.noise_std=-1",
    "optim.eps=inf": "optim.eps=inf",
    "model.width=100000000000000": "model.width=100000000000000",
    "threads=0": "threads=0",
    "precision=fp8": "precision=fp8 is unknown",
    "init.batch_size=1": "init.batch_size=1",
    "init.batch_size=1438": "init.batch_size=1438",
    "data.held_out=1437": "data.held_out=1437",
    "data.train_size=0": "data.train_size=0",
    "data.train_size=1438": "data.train_size=1438",
    "data.evaluation_size=361": "data.evaluation_size=361",
    "data.name=imagenet": "data.name=imagenet is unknown",
    "runs.root=": "runs.root is empty",
    "runs.root=" + 300 * "y": "has a name that no file system takes",
    f"seed={2**63}": "seed=9223372036854775808 is out of range",
    "model=convpool_cnn_c": "needs images of 12×12",
}


@pytest.mark.parametrize("override", IMPOSSIBLE)
def test_impossible_values_are_refused(override: str, compose: Compose) -> None:
    with pytest.raises(ConfigError, match=IMPOSSIBLE[override].replace("+", r"\+")):
        compose(override)


def test_impossible_combinations_are_refused(compose: Compose) -> None:
    with pytest.raises(ConfigError, match="the depth of convpool_cnn_c is fixed"):
        compose("+exp=cifar_wn", "model.depth=2")
    with pytest.raises(ConfigError, match=r"batch_size=101 .* from 1 to 100"):
        compose("data.train_size=100", "batch_size=101", "init=none")
    with pytest.raises(ConfigError, match=r"batch_size=1 .* from 2"):
        compose("norm=mean_only_bn", "batch_size=1")
    with pytest.raises(ConfigError, match=r"data.evaluation_size=51 .* from 1 to 50"):
        compose("data.held_out=50", "data.evaluation_size=51")
    with pytest.raises(ConfigError, match=r"precision=tf32 is a GPU's"):
        compose("precision=tf32", "device=cpu")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            "optim=momentum optim.beta2=0.9",
            "optim.beta2 is no key of optim=momentum; .* optim.lr, ",
        ),
        ("optim=sgd optim.gamma=0.9", "optim.gamma is no key of optim=sgd; choose from optim.lr$"),
        (
            "optim.name=adadelta",
            "optim.beta1 is no key of optim=adadelta; .* optim.lr, optim.gamma",
        ),
        ("optim=momentum optim.gamma=1", "optim.gamma=1.0 is out of range"),
        ("optim=adamax optim.eps=-1", "optim.eps=-1.0 is out of range"),
    ],
)
def test_an_optimiser_has_its_own_keys_only(overrides: str, said: str, compose: Compose) -> None:
    with pytest.raises(ConfigError, match=said):
        compose(*overrides.split())


def test_an_arm_gets_the_init_that_it_takes(compose: Compose) -> None:
    for arm in ARMS:
        wanted = "data_dependent" if ARMS[arm].takes_init else "none"
        assert compose(f"norm={arm}").init.name == wanted
        assert compose(f"norm={arm}", "init=none").init.name == "none"
    with pytest.raises(ConfigError, match="norm=bn has no data-dependent init: add init=none"):
        compose("norm=bn", "init=data_dependent")


def test_other_optimisers_leave_no_trace_in_a_run(compose: Compose) -> None:
    """Neither in its record nor in its identity, which recorded runs have."""
    config = compose("+exp=mnist_wn")
    assert list(as_dict(config)["optim"]) == ["name", "lr", "beta1", "beta1_late", "beta2", "eps"]
    assert identity(as_dict(config)) == "684ed71205"
    momentum = compose("optim=momentum")
    assert as_dict(momentum)["optim"] == {"name": "momentum", "lr": 0.01, "gamma": 0.9}
    assert yaml.safe_load(as_yaml(momentum)) == as_dict(momentum)


def test_a_file_may_give_a_value_to_each_pair_of_choices(compose: Compose) -> None:
    table = "{adam: {wn: 0.1, bn: 0.2}, sgd: {wn: 0.3}}"
    lr = "optim.lr='${entry:" + table + ",${optim.name},${norm.name}}'"
    assert compose(lr).optim.lr == 0.1
    assert compose(lr, "norm=bn", "init=none").optim.lr == 0.2
    assert compose(lr, "optim=sgd").optim.lr == 0.3
    with pytest.raises(
        ConfigError, match=r"optim\.lr: .*no value for momentum, only for adam, sgd"
    ):
        compose(lr, "optim=momentum")


@pytest.mark.parametrize("key", ["task.glimpse=3", "+task.glimpse=3"])
def test_an_unknown_key_of_a_task_is_told_that_tasks_keys(key: str, command: Command) -> None:
    code, _, said = command("+exp=draw_wn", key)
    assert code == 2
    assert "task.glimpse is no key of the config (did you mean task.glimpses?)" in said
    assert "choose from task.name, task.latent, " in said


def test_the_seed_is_any_integer_and_zero_is_one(compose: Compose) -> None:
    assert compose("seed=0").seed == 0
    assert compose("seed=-3").seed == -3


def test_printing_a_config_imports_nothing_heavy(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "wnrepro.train", "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "torchvision", "wandb", "pandas", "matplotlib", "sklearn"}
    assert "name: wn" in result.stdout


def test_the_config_that_is_printed_is_the_one_that_would_run(
    command: Command, tmp_path: Path
) -> None:
    code, shown, said = command("+exp=cifar_wn", "scale=smoke", "--cfg", "job")
    assert (code, said) == (0, "")
    config = yaml.safe_load(shown)
    assert (config["epochs"], config["model"]["width"], config["optim"]["lr"]) == (2, 16, 0.003)
    assert command("optim.lr=nan", "--cfg", "job")[:2] == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_the_home_directory_may_be_written_as_a_tilde(compose: Compose) -> None:
    assert compose('runs.root="~/x"').runs.root == str(Path.home() / "x")


def test_smoke_scale_shrinks_and_never_grows(compose: Compose) -> None:
    config = compose("+exp=cifar_wn", "scale=smoke")
    assert (config.epochs, config.model.width) == (2, 16)
    assert (config.data.train_size, config.data.evaluation_size) == (1000, 500)
    small = compose("scale=smoke", "epochs=1", "model.width=3", "data.train_size=600")
    assert (small.epochs, small.model.width, small.data.train_size) == (1, 3, 600)


def test_the_identity_is_what_is_computed(compose: Compose) -> None:
    def of(*overrides: str) -> str:
        return identity(as_dict(compose(*overrides)))

    same = of()
    for override in (
        "tracker=none",
        "tracker.project=p",
        "runs.root=elsewhere",
        "data.root=elsewhere",
        "device=cpu",
        "threads=1",
        "scale.name=other",
        "epochs=30",
        "optim.lr=0.0030",
    ):
        assert of(override) == same, override
    others = [of(o) for o in ("seed=1", "norm=plain", "optim.lr=0.0031", "precision=float64")]
    assert len({same, *others}) == 5
    assert of("+exp=digits_wn") == same


def test_every_key_says_what_it_means() -> None:
    """Each leaf of the schema stands with a docstring under it, or speaks for itself."""
    source = Path(__file__).parents[1] / "wnrepro" / "config.py"
    lines = source.read_text().splitlines()
    silent = {"scale.max_epochs", "scale.max_train_size", "scale.max_evaluation_size"}
    silent |= {"scale.max_width"}
    keys = set(schema_keys())
    leaves = {k for k in keys if not any(other.startswith(f"{k}.") for other in keys)}
    for key in leaves - silent:
        name = key.rpartition(".")[2]
        places = [k for k, line in enumerate(lines) if line.startswith(f"    {name}: ")]
        assert any('"""' in lines[k + 1] for k in places), key


def test_every_experiment_names_its_command() -> None:
    for path in sorted((CONF / "exp").glob("*.yaml")):
        first, second = path.read_text().splitlines()[:2]
        assert first == "# @package _global_"
        assert second.startswith(f"# python -m wnrepro.train +exp={path.stem} norm=wn ")
        assert second.endswith(f"(in one word: +exp={path.stem}_wn)")
