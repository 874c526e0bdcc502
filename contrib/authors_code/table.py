"""The table of results/authors_code/README.md, computed from runs.csv beside it.

python contrib/authors_code/table.py            # prints it
python contrib/authors_code/table.py --write    # puts it into README.md
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from wnrepro.intervals import t_interval

RESULTS = Path(__file__).parents[2] / "results" / "authors_code"
BEGIN, END = "<!-- table.py: begin -->", "<!-- table.py: end -->"
COLUMNS = ("train", "test")
NAMES = ("runs", "steps", "trace")


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into README.md")
    written = parser.parse_args().write
    text = tables(*(pd.read_csv(RESULTS / f"{name}.csv") for name in NAMES))
    if written:
        readme = RESULTS / "README.md"
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    else:
        print(text)


def tables(runs: pd.DataFrame, steps: pd.DataFrame, trace: pd.DataFrame) -> str:
    full = runs[(runs.noise > 0) & (runs.dropout > 0)]
    parts = own_draws(full), alone(runs), within(trace), step_by_step(steps), their_draws(full)
    return "\n\n".join(filter(None, parts))


def own_draws(runs: pd.DataFrame) -> str:
    """Both codes with draws of their own: each arm and epoch, new seeds alone and all seeds."""
    runs = runs[(runs.draws == "own")]
    lines = _head("seeds | arm | epoch | error (%)", "theirs", "ours", "theirs − ours")
    for which, of_set in (("new", runs[runs.seeds == "new"]), ("all", runs)):
        for (arm, epoch), rows in of_set.groupby(["arm", "epoch"], sort=False):
            for column in COLUMNS:
                name = f"{column}_error_percent"
                theirs = rows.loc[rows.code == "theirs", name]
                ours = rows.loc[rows.code == "ours", name]
                if epoch in (1, 2, 10) and len(theirs) and len(ours):
                    cells = which, f"`{arm}`", epoch, column, *_compared(theirs, ours)
                    lines.append(_row(cells))
    return "\n".join(lines)


def alone(runs: pd.DataFrame) -> str:
    """Both codes with draws of their own and only one of noise and dropout."""
    lines = _head("with | arm | epoch | error (%)", "theirs", "ours", "theirs − ours")
    for name, other in (("noise", "dropout"), ("dropout", "noise")):
        of_one = runs[(runs[name] > 0) & (runs[other] == 0)]
        for (arm, epoch), rows in of_one.groupby(["arm", "epoch"], sort=False):
            for column in COLUMNS:
                errors = rows.groupby("code")[f"{column}_error_percent"]
                theirs, ours = (
                    errors.get_group(code) if code in errors.groups else pd.Series(dtype=float)
                    for code in ("theirs", "ours")
                )
                if len(theirs) and len(ours):
                    cells = f"{name} alone", f"`{arm}`", epoch, column, *_compared(theirs, ours)
                    lines.append(_row(cells))
    return "\n".join(lines) if len(lines) > 2 else ""


def within(trace: pd.DataFrame) -> str:
    """Test errors within epoch 2: a run counts by their mean, and by their standard deviation."""
    errors = trace.groupby(["code", "whitening", "seed"]).error
    lines = _head("of a run's test errors in epoch 2", "whitening", "first", "second", "difference")
    for name, of_run in (("mean", errors.mean()), ("standard deviation", errors.std())):
        theirs, ours, exact = (
            of_run[code, kind]
            for code, kind in (("theirs", "float32"), ("ours", "float32"), ("ours", "float64"))
        )
        cells = _compared(theirs, ours)
        lines.append(_row((f"{name}: theirs, ours", "float32", *cells)))
        paired = _interval(exact - ours)
        cells = _mean(exact), _mean(ours), f"{paired}, paired"
        lines.append(_row((f"{name}: ours, ours", "float64, float32", *cells)))
    return "\n".join(lines)


def step_by_step(steps: pd.DataFrame) -> str:
    """The largest relative difference of the losses up to chosen steps, in float64."""
    chosen = 1, 10, 50
    titles = (f"largest by step {step}" for step in chosen)
    lines = _head("arm", "noise, dropout", *titles, "test error (%) at the end, theirs", "ours")
    for (arm, noise), rows in steps.groupby(["arm", "noise"], sort=False):
        losses = rows[rows.measure == "loss"]
        gap = (losses.ours / losses.theirs - 1).abs()
        gaps = [f"{gap[losses.step <= step].max():.0e}" for step in chosen]
        test = rows[rows.measure != "loss"][["theirs", "ours"]].to_numpy().ravel()
        errors = [f"{each:.2f}" for each in test] or ["–", "–"]
        lines.append(_row((f"`{arm}`", "theirs" if noise else "none", *gaps, *errors)))
    return "\n".join(lines)


def their_draws(runs: pd.DataFrame) -> str:
    """Ours with what theirs drew: against theirs, the same seeds; against ours with own draws."""
    new = runs[runs.seeds == "new"]
    lines = _head(
        "arm | epoch | error (%)", "ours, their draws", "with", "first − second", "paired"
    )
    fed = new[(new.code == "ours") & (new.draws != "own")]
    for (draws, arm, epoch), rows in fed.groupby(["draws", "arm", "epoch"], sort=False):
        beside = new[(new.arm == arm) & (new.epoch == epoch) & (new.draws == "own")]
        for code in ("theirs", "ours"):
            for column in COLUMNS:
                name = f"{column}_error_percent"
                first = rows.set_index("seed")[name]
                second = beside[beside.code == code].set_index("seed")[name]
                if not len(second):
                    continue
                paired = "–"
                both = first.index.intersection(second.index)
                if code == "theirs" and len(both) > 1:
                    paired = f"{_interval(first[both] - second[both])} (n = {len(both)})"
                cells = _compared(first, second)
                cells = (cells[0], f"{code}: {cells[1]}", cells[2])
                lines.append(_row((f"`{arm}`", epoch, f"{column} ({draws})", *cells, paired)))
    return "\n".join(lines) if len(fed) else ""


def welch(a: pd.Series, b: pd.Series) -> tuple[float, float, float, float]:
    """Difference of the means, its 95 % interval, and the two-sided p."""
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return float(np.mean(a) - np.mean(b)), float(low), float(high), float(test.pvalue)


def _compared(a: pd.Series, b: pd.Series) -> tuple[str, str, str]:
    difference = "–"
    if min(len(a), len(b)) > 1:
        mean, low, high, p = welch(a, b)
        difference = f"{mean:.2f} [{low:.2f}, {high:.2f}], p {p:.2g}"
    return _mean(a), _mean(b), difference


def _mean(values: pd.Series) -> str:
    if len(values) == 1:
        return f"{values.iloc[0]:.2f} (n = 1)"
    return f"{_interval(values)} (n = {len(values)}, sd {values.std():.2f})"


def _interval(values: pd.Series) -> str:
    interval = t_interval(values)
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _head(*columns: str) -> list[str]:
    titles = _row(columns)
    return [titles, "|" + "---|" * (titles.count("|") - 1)]


def _row(cells) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
