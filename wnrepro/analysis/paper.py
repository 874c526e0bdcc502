"""The numbers of others: the paper's, those of the RMSNorm authors, who ran its code again, and the
authors' released code, trained by us (contrib/authors_code)."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wnrepro.analysis.records import AGAIN, read_csv
from wnrepro.errors import RunError

ERRORS = ("train_error_percent", "test_error_percent")
FIGURE1_EDGE_PERCENT = 14.954
"""The first point of three arms' curves is this to the last digit, at two different epochs: taken
for where the top of the axis cuts their lines, and not for a training error."""


@dataclass(frozen=True)
class Paper:
    """What `results/paper/README.md` describes.

    figure1: columns arm, epoch, train_error_percent, read off the vector figure (± 0.03), without
    the points at its edge. Epochs are those of its axis, which ends at 199.
    table1: arm → test error in percent (Salimans & Kingma 2016, table 1).
    rerun: arm → test error in percent (Zhang & Sennrich 2019, table 10).
    authors_code: one row per run and epoch of the released code at width 24, with columns arm,
    seed, epoch, train_error_percent, test_error_percent.
    """

    figure1: pd.DataFrame
    table1: dict[str, float]
    rerun: dict[str, float]
    authors_code: pd.DataFrame

    def training_error(self, arm: str) -> dict[int, float]:
        """Epoch → training error in percent."""
        own = self.figure1[self.figure1["arm"] == arm]
        return dict(zip(own["epoch"], own["train_error_percent"], strict=True))


def load(folder: Path) -> Paper:
    """Read the tables in `folder`, which is results/paper; nothing where there is none.

    Raises RunError where one is damaged.
    """
    if not folder.exists():
        nothing = pd.DataFrame(columns=["arm", "epoch", "train_error_percent"])
        return Paper(nothing, {}, {}, _authors_code(folder.parent / "authors_code" / "runs.csv"))
    figure1 = _read(folder / "figure1_cifar10_train_error_percent.csv", "train_error_percent")
    return Paper(
        figure1[figure1["train_error_percent"] < FIGURE1_EDGE_PERCENT],
        _by_arm(folder / "table1_cifar10_test_error_percent.csv"),
        _by_arm(folder / "rmsnorm_2019_table10_cifar10.csv"),
        _authors_code(folder.parent / "authors_code" / "runs.csv"),
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
    table = _read(path, "test_error_percent").dropna(subset="arm")
    return dict(zip(table["arm"], table["test_error_percent"].astype(float), strict=True))


def _read(path: Path, column: str) -> pd.DataFrame:
    table = read_csv(path)
    if missing := {"arm", column} - set(table.columns):
        raise RunError(f"{path} has no column {', '.join(sorted(missing))}; {AGAIN}")
    return table
