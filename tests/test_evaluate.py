"""Trained networks: evaluated again, kept in files, loaded."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as parsed
from safetensors.torch import save as serialised

from wnrepro import models
from wnrepro.config import Config
from wnrepro.data import load
from wnrepro.errors import ConfigError, RunError
from wnrepro.evaluate import evaluate
from wnrepro.models.trained import FOLDER
from wnrepro.nn import fold
from wnrepro.runs.rows import read_rows
from wnrepro.train import _Run, train

Compose = Callable[..., Config]

SMALL = {
    "digits": ("epochs=3", "model.width=32", "norm=wn_mean_only_bn"),
    "held out": ("epochs=2", "model.width=32", "norm=bn", "data.held_out=100", "precision=float64"),
    "vae": (
        *("+exp=vae_mnist_wn", "scale=smoke", "epochs=2", "data.train_size=40", "batch_size=20"),
        *("data.evaluation_size=20", "init.batch_size=20", "task.importance_samples=2"),
    ),
    "dqn": (
        *("+exp=minatar_breakout_wn", "model.width=8", "init.batch_size=50", "batch_size=8"),
        *("epochs=2", "task.epoch_steps=80", "task.evaluation_steps=30", "task.replay_size=60"),
        *("task.learning_starts=40", "task.target_every=10", "task.init_every=1"),
    ),
}


def trained(compose: Compose, root: Path, kind: str = "digits", *overrides: str) -> Path:
    """The directory of a run."""
    given = (f"runs.root={root}", "tracker=none", "threads=1", *overrides)
    train(compose(*SMALL[kind], *given))
    (directory,) = root.glob("*/*")
    return directory


def table(said: str) -> list[list[str]]:
    """The cells of the rows of numbers: words, now, recorded."""
    rows = [re.split(r"  +", line.strip()) for line in said.splitlines()]
    return [row for row in rows if len(row) == 3]


@pytest.mark.parametrize("kind", SMALL)
def test_a_run_is_what_it_recorded(
    kind: str, compose: Compose, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture
) -> None:
    directory = trained(compose, tmp_path, kind, f"data.root={data_root}")
    assert evaluate(str(directory)) == 0
    said = capsys.readouterr().out
    last = read_rows(directory / "metrics.csv")[-1]
    part = "held_out" if kind == "held out" else "test"
    recorded = [f"{each:.6g}" for key, each in last.items() if key.startswith(part)]
    assert [cells[1:] for cells in table(said)] == [[each, each] for each in recorded]
    assert re.search(r"after epoch (\d) of \1\n", said)


def test_the_network_of_a_run_that_stopped_within_an_epoch(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(100))
    monkeypatch.setattr(_Run, "_must_save", property(lambda _: next(steps) == 10))

    def kill(_: _Run) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(_Run, "keep", kill)
    with pytest.raises(RuntimeError, match="killed"):
        trained(compose, tmp_path, "digits", "epochs=40")
    (directory,) = tmp_path.glob("*/*")
    evaluate(str(directory))
    said = capsys.readouterr().out
    assert "after epoch 0 of 40 and 11 steps\n" in said
    assert re.search(r"test error \(%\)   +\S+\n", said)  # nothing is recorded of half an epoch
    with pytest.raises(RunError, match="within an epoch"):
        evaluate(str(directory), tmp_path / "a.safetensors")


def test_a_file_holds_the_network_and_no_path_of_this_machine(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    directory = trained(compose, tmp_path / "runs")
    path = tmp_path / "new folder" / "mine.safetensors"
    evaluate(str(directory), path)
    of_run = capsys.readouterr().out
    network = models.load(path)
    assert not network.training
    state = torch.load(directory / "checkpoint.pt", weights_only=True)["training"]["model"]
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    images = load("digits").evaluation.images
    torch.testing.assert_close(fold(models.load(path))(images), network(images))
    evaluate(str(path))
    assert capsys.readouterr().out == of_run.replace(f"written to {path}\n", "")
    kept = models.read(path)
    assert kept.epoch == 3
    assert [f"{kept.metrics['test_error_percent']:.6g}"] * 2 == table(of_run)[1][1:]
    assert str(tmp_path).encode() not in path.read_bytes()


def test_what_is_no_network_is_one_line(compose: Compose, tmp_path: Path) -> None:
    good = (FOLDER / "digits_wn.safetensors").read_bytes()
    state = parsed(good)
    other = tmp_path / "other.safetensors"
    for content, words in {
        good[:-1]: "no network",
        good[:100]: "no network",
        b"": "no network",
        serialised(state): "no network of wnrepro",
        serialised(state, {"wnrepro": "{}"}): "no network of wnrepro",
        serialised(dict(list(state.items())[1:]), {"wnrepro": said(good)}): "Missing key",
    }.items():
        other.write_bytes(content)
        with pytest.raises(RunError, match=words) as error:
            models.load(other)
        assert "\n" not in str(error.value)
    torch.save(state, other)
    with pytest.raises(RunError, match="no network"):
        models.load(other)
    with pytest.raises(RunError, match=r"did you mean digits_wn\?.*there are digits_wn"):
        models.load("digit_wn")
    with pytest.raises(RunError, match="no run's directory"):
        evaluate(str(tmp_path))
    with pytest.raises(ConfigError, match="safetensors"):
        evaluate("digits_wn", tmp_path / "a.pt")


def said(content: bytes) -> str:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header["__metadata__"]["wnrepro"]


def test_other_tasks_are_not_kept_in_files(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    directory = trained(compose, tmp_path, "dqn")
    with pytest.raises(ConfigError, match="task=classification; this is one of dqn"):
        evaluate(str(directory), tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", [each.stem for each in sorted(FOLDER.glob("*"))])
def test_a_committed_network_is_what_its_file_says(
    name: str, data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """On other hardware than that which trained it: to rounding."""
    monkeypatch.setenv("WNREPRO_DATA", str(data_root))
    evaluate(name)
    for words, now, recorded in table(capsys.readouterr().out)[1:]:
        assert float(now) == pytest.approx(float(recorded), rel=1e-4), words
