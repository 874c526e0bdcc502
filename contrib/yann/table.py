"""The table of README.md, from runs.csv: `python contrib/yann/table.py --write`."""

import sys
from pathlib import Path

import pandas as pd

from wnrepro.intervals import t_interval

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- runs -->", "<!-- /runs -->"


def table(runs: pd.DataFrame) -> str:
    """Test error in %: mean [95 % t interval over seeds] (n); wn − plain is paired by seed."""
    keys = ["data", "network", "images", "epochs", "rate"]
    lines = [
        f"| {' | '.join(keys)} | `plain` | `wn` | `wn` − `plain` |",
        f"|{' --- |' * (len(keys) + 3)}",
    ]
    for key, group in runs.groupby(keys, sort=False):
        errors = group.pivot(index="seed", columns="arm", values="test_error_percent")
        errors = errors.reindex(columns=["plain", "wn"]).dropna()  # a seed counts with both arms
        if errors.empty:
            continue
        columns = errors.plain, errors.wn, errors.wn - errors.plain
        lines.append(f"| {' | '.join(f'{k}' for k in key)} | {' | '.join(map(_cell, columns))} |")
    return "\n".join(lines)


def _cell(values: pd.Series) -> str:
    found = t_interval(values)
    return f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}] ({found.n})".replace("-", "−")


if __name__ == "__main__":
    text = table(pd.read_csv(FOLDER / "runs.csv"))
    if "--write" in sys.argv:
        readme = FOLDER / "README.md"
        before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    else:
        print(text)
