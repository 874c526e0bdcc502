"""Trained networks in files: v, g and b of each layer, and how they were trained.

    model = wnrepro.models.load("digits_wn")     # one of results/networks, or a file's path

The files are safetensors, which hold tensors and text and run no code. Their text is one JSON
object under the key `wnrepro`: `config`, the resolved config; `epoch`; `metrics`, the last row of
the run's metrics.csv; `manifest`, its commit, versions and hardware.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, nn

from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import RunError, did_you_mean
from wnrepro.models.networks import build
from wnrepro.replacement import make_folder, replace_file

FOLDER = Path(__file__).resolve().parents[2] / "results" / "networks"
"""The networks that come with the repository."""

SUFFIX = ".safetensors"
KEY = "wnrepro"


@dataclass(frozen=True)
class Trained:
    """What a file says of its network: see the module. state: its `state_dict`, on the CPU."""

    state: Mapping[str, Tensor]
    config: dict[str, Any]
    epoch: int
    metrics: dict[str, Any]
    manifest: dict[str, Any]

    def network(self) -> nn.Module:
        """In evaluation mode, of the dtype that it was trained in."""
        facts = CATALOGUE[self.config["data"]["name"]]
        network = build(
            arm=self.config["norm"]["name"],
            image_shape=facts.image_shape,
            n_classes=facts.n_classes,
            **self.config["model"],
        )
        network.to(next(iter(self.state.values())).dtype).load_state_dict(dict(self.state))
        return network.eval()


def load(name: str | Path) -> nn.Module:
    """The trained network `name` of results/networks, or of a file, in evaluation mode.

    It maps images (N, C, H, W) to logits (N, classes). The images are those of
    `wnrepro.data.load(config["data"]["name"], whiten=config["data"]["whiten"])`: scaled and, on
    CIFAR-10, whitened. `wnrepro.nn.fold` makes plain torch layers of its layers.
    Raises RunError: there is no such network, or the file is damaged.
    """
    return read(name).network()


def read(name: str | Path) -> Trained:
    """What the file of `load` holds; raises RunError as that does."""
    path = _path(name)
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {})[KEY])
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        trained = Trained(state, **said)
        trained.network()
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path} holds no network of wnrepro ({reason})") from error
    return trained


def save(path: Path, trained: Trained) -> None:
    """Write `trained` to `path`, at once and whole; raises RunError where that cannot be."""
    said = {key: value for key, value in vars(trained).items() if key != "state"}
    state = {key: value.detach().cpu().contiguous() for key, value in trained.state.items()}
    make_folder(path.parent)
    replace_file(path, serialised(state, {KEY: json.dumps(said, ensure_ascii=False)}))


def _path(name: str | Path) -> Path:
    if (path := Path(name)).suffix == SUFFIX:
        if path.is_file():
            return path
        raise RunError(f"there is no file {path}")
    known = {each.stem: each for each in sorted(FOLDER.glob(f"*{SUFFIX}"))}
    if (found := known.get(str(name))) is not None:
        return found
    there = ", ".join(known) or "none"
    raise RunError(
        f"{name} is no trained network{did_you_mean(str(name), list(known))}: in results/networks "
        f"there are {there}; else name a file that ends in {SUFFIX}"
    )
