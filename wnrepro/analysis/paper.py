"""The numbers of others: the paper's, those of the RMSNorm authors, who ran its code again, and the
authors' released code, trained by us (contrib/authors_code)."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wnrepro.analysis.records import AGAIN, read_csv
from wnrepro.errors import RunError

ERRORS = ("train_error_percent", "test_error_percent")
FIGURE1_EDGE_PERCENT = 14.954
"""The first point of three arms' curves is this to the last digit, at two different epochs: taken
for where the top of the axis cuts their lines, and not for a training error."""


CURVES = {
    "figure3_mnist": ("figure3_vae_mnist_bound_nats", 0.0, -1),
    "figure3_cifar": ("figure3_vae_cifar10_bound_nats", 3072 * math.log(256), -1),
    "figure4": ("figure4_draw_mnist_bound_nats", 0.0, -1),
    "figure5": ("figure5_space_invaders_score", 0.0, 1),
}
"""Of the other figures: name → file, and a, b such that our headline metric is a + b · theirs.

They show the bound, we its negative. On CIFAR-10 theirs is taken for that of a density on [0, 1]
pixels: each of 3072 counts as 256 values here.
"""


@dataclass(frozen=True)
class Paper:
    """What `results/paper/README.md` describes.

    curves: by figure, columns arm, epoch, value: of figure1 the training error in percent, without
    the points at its edge (± 0.03; its axis ends at 199); of those in `CURVES` the headline metric
    of our task. table1: arm → test error in percent (Salimans & Kingma 2016, table 1).
    table2: game, as a config names it → largest score of plain, wn and mnih_2015 (its table 2).
    rerun: arm → test error in percent (Zhang & Sennrich 2019, table 10).
    authors_code: one row per run and epoch of the released code at width 24, with columns arm,
    seed, epoch, train_error_percent, test_error_percent.
    """

    curves: dict[str, pd.DataFrame]
    table1: dict[str, float]
    table2: dict[str, dict[str, float]]
    rerun: dict[str, float]
    authors_code: pd.DataFrame

    def curve(self, name: str, arm: str) -> dict[int, float]:
        """Epoch → value, of an arm's line in the figure `name`."""
        own = self.curves[name]
        own = own[own["arm"] == arm]
        return dict(zip(own["epoch"], own["value"], strict=True))

    def training_error(self, arm: str) -> dict[int, float]:
        """Epoch → training error in percent."""
        return self.curve("figure1", arm)


def load(folder: Path) -> Paper:
    """Read the tables in `folder`, which is results/paper; nothing where there is none.

    Raises RunError where one is damaged.
    """
    authors_code = _authors_code(folder.parent / "authors_code" / "runs.csv")
    if not folder.exists():
        nothing = pd.DataFrame(columns=["arm", "epoch", "value"])
        return Paper(dict.fromkeys(("figure1", *CURVES), nothing), {}, {}, {}, authors_code)
    figure1 = _read(folder / "figure1_cifar10_train_error_percent.csv", "arm", ERRORS[0])
    figure1 = figure1.rename(columns={ERRORS[0]: "value"})
    curves = {"figure1": figure1[figure1["value"] < FIGURE1_EDGE_PERCENT]}
    for name, (file, start, slope) in CURVES.items():
        column = "score" if file.endswith("score") else "bound_nats"
        table = _read(folder / f"{file}.csv", "arm", column)
        curves[name] = table.assign(value=start + slope * table[column])
    return Paper(
        curves,
        _by_arm(folder / "table1_cifar10_test_error_percent.csv"),
        _by_game(folder / "table2_dqn_max_score.csv"),
        _by_arm(folder / "rmsnorm_2019_table10_cifar10.csv"),
        authors_code,
    )


def _authors_code(path: Path) -> pd.DataFrame:
    """Runs with the code's own draws and whitening, noise and dropout on; none without the file."""
    if not path.exists():
        return pd.DataFrame(columns=["arm", "seed", "epoch", *ERRORS])
    table = read_csv(path)
    theirs = (table["code"] == "theirs") & (table["draws"] == "own")
    whole = (table["noise"] > 0) & (table["dropout"] > 0)
    return table[theirs & whole & (table["whitening"] == "float32")]


def _by_arm(path: Path) -> dict[str, float]:
    table = _read(path, "arm", "test_error_percent").dropna(subset="arm")
    return dict(zip(table["arm"], table["test_error_percent"].astype(float), strict=True))


def _by_game(path: Path) -> dict[str, dict[str, float]]:
    table = _read(path, *("game", "plain", "wn", "mnih_2015"))
    names = "atari_" + table.pop("game").str.lower().str.replace(" ", "_")
    return {str(game): scores.to_dict() for game, scores in table.set_index(names).iterrows()}


def _read(path: Path, *columns: str) -> pd.DataFrame:
    table = read_csv(path)
    if missing := set(columns) - set(table.columns):
        raise RunError(f"{path} has no column {', '.join(sorted(missing))}; {AGAIN}")
    return table
