"""What a new task takes: a folder with these three files, and no edit elsewhere."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError
from wnrepro.evaluate import evaluate
from wnrepro.runs.collection import collect
from wnrepro.runs.identity import identity
from wnrepro.runs.rows import read_rows
from wnrepro.runs.tables import read_tables
from wnrepro.tasks import TASKS
from wnrepro.train import Stopped, train
from wnrepro.training import SupervisedTraining

FILES = {
    "__init__.py": """
from wnrepro.tasks.facts import Metric, Task

TASK = Task("autoencoder", __name__, (Metric("distance", "distance", "pixels"),), "distance")
""",
    "checks.py": """
from wnrepro.config import in_range

def check(config):
    in_range("model.width", config.model.width, 1)

def has_long_steps(config):
    return False
""",
    "assembly.py": """
from dataclasses import dataclass
import torch
from torch import nn
from wnrepro.data import load
from wnrepro.nn import NormalizedLayer, data_dependent_init
from wnrepro.randomness import Streams
from wnrepro.tasks.supervised import assemble

@dataclass
class Autoencoder:
    model: nn.Module
    images: torch.Tensor
    summed = ()
    evaluation_name = "test"
    device = torch.device("cpu")

    @property
    def n_train(self):
        return len(self.images)

    def batch(self, chosen):
        return (self.images[chosen],)

    def loss(self, forward, batch):
        (images,) = batch
        return (forward(images) - images).square().mean(), ()

    def metrics(self, sums, n):
        return {"loss": sums["loss"] / n, "distance": (sums["loss"] / n) ** 0.5}

    def evaluate(self, forward):
        loss = self.loss(forward, (self.images,))[0].item()
        return self.metrics({"loss": loss}, 1)

    def initialise(self, chosen):
        return data_dependent_init(self.model, self.images[chosen])

def training(config, device):
    images = load(config.data.name, root=config.data.root).train.images.flatten(1)
    streams = Streams(config.seed)
    sizes = (images.shape[1], config.model.width, images.shape[1])
    model = nn.Sequential(*(
        NormalizedLayer(config.norm.name, nn.Linear(*pair), generator=streams["init"])
        for pair in zip(sizes, sizes[1:])
    ))
    return assemble(config, Autoencoder(model, images), streams)
""",
}


@pytest.fixture
def autoencoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "code" / "autoencoder"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setitem(TASKS, "autoencoder", importlib.import_module("autoencoder").TASK)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "autoencoder"]:
        del sys.modules[name]


@pytest.mark.usefixtures("autoencoder")
def test_it_is_trained_recorded_resumed_drawn_collected_and_evaluated_again(
    tmp_path: Path,
    compose: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def run(root: str) -> Config:
        fixed = ("task.name=autoencoder", "epochs=4", "model.width=16", "tracker=none")
        return compose(*fixed, f"runs.root={tmp_path}/{root}")

    assert train(run("whole")).state == "done"
    (whole,) = tmp_path.glob("whole/*/*")
    rows = read_rows(whole / "metrics.csv")
    assert list(rows[0])[:6] == [
        *("epoch", "learning_rate", "train_loss", "train_distance", "test_loss", "test_distance"),
    ]
    assert rows[-1]["test_distance"] < 0.8 * rows[0]["test_distance"]
    assert (whole / "curves.png").stat().st_size > 10_000

    step = SupervisedTraining.train_step

    def stops_in_epoch_3(self: SupervisedTraining, batch: tuple) -> None:
        if (self.epoch, self.step) == (2, 7):
            raise Stopped
        step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SupervisedTraining, "train_step", stops_in_epoch_3)
        assert train(run("stopped")).state == "interrupted"
    assert train(run("stopped")).state == "done"
    (stopped,) = tmp_path.glob("stopped/*/*")
    assert (stopped / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()

    collect([tmp_path / "whole"], tmp_path / "results")
    (collected,) = read_tables(tmp_path / "results").values()
    assert collected.rows()[-1]["test_distance"] == rows[-1]["test_distance"]

    capsys.readouterr()
    evaluate(str(whole))
    distance = f"{rows[-1]['test_distance']:.6g}"
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.split() == ["test", "distance", "(pixels)", distance, distance]


@pytest.mark.usefixtures("autoencoder")
def test_it_has_another_identity_and_refuses_what_it_must(compose: Callable[..., Config]) -> None:
    assert identity(as_dict(compose())) != identity(as_dict(compose("task.name=autoencoder")))
    with pytest.raises(ConfigError, match=r"model\.width=0 is out of range"):
        compose("task.name=autoencoder", "model.width=0")
    with pytest.raises(ConfigError, match=r"autoencode is unknown \(did you mean autoencoder\?\)"):
        compose("task.name=autoencode")
