"""The numbers of others: the paper's, and those of the RMSNorm authors' re-run of its code."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wnrepro.errors import RunError

_FIGURE1 = "figure1_cifar10_train_error_percent.csv"
_TABLE1 = "table1_cifar10_test_error_percent.csv"
_RERUN = "rmsnorm_2019_table10_cifar10.csv"
_COLUMNS = {
    _FIGURE1: ("arm", "epoch", "train_error_percent"),
    _TABLE1: ("model", "test_error_percent", "arm"),
    _RERUN: ("arm", "test_error_percent", "epoch_time_sec"),
}


FIGURE1_EDGE_PERCENT = 14.954
"""The first point of three arms' curves is this to the last digit, at two different epochs: taken
for where the top of the axis cuts their lines, and not for a training error."""


@dataclass(frozen=True)
class Paper:
    """What `results/paper/README.md` describes.

    figure1: columns arm, epoch, train_error_percent, read off the vector figure (± 0.03), without
    the points at its edge. Epochs are those of its axis, which ends at 199.
    table1: arm → test error in percent (Salimans & Kingma 2016, table 1). rerun: arm → test error
    in percent, rerun_sec: arm → seconds per epoch (Zhang & Sennrich 2019, table 10).
    """

    figure1: pd.DataFrame
    table1: dict[str, float]
    rerun: dict[str, float]
    rerun_sec: dict[str, float]


def load(folder: Path) -> Paper:
    """Read the tables in `folder`, which is results/paper. Raises RunError where one is damaged."""
    figure1, table1, rerun = (_read(folder / name) for name in (_FIGURE1, _TABLE1, _RERUN))
    figure1 = figure1[figure1["train_error_percent"] < FIGURE1_EDGE_PERCENT]
    ours = table1.dropna(subset="arm")
    return Paper(
        figure1,
        dict(zip(ours["arm"], ours["test_error_percent"].astype(float), strict=True)),
        dict(zip(rerun["arm"], rerun["test_error_percent"].astype(float), strict=True)),
        dict(zip(rerun["arm"], rerun["epoch_time_sec"].astype(float), strict=True)),
    )


def _read(path: Path) -> pd.DataFrame:
    mend = "take it from version control again"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"cannot read {path}: {reason}; {mend}") from None
    if missing := set(_COLUMNS[path.name]) - set(table.columns):
        raise RunError(f"{path} has no column {', '.join(sorted(missing))}; {mend}")
    return table
