"""Gathers epochs of both codes into results/authors_code/runs.csv; a row given again is replaced.

    python contrib/authors_code/collect.py --processor "AMD EPYC" \\
        --theirs theirs.csv --fed fed.csv --runs runs
    python contrib/authors_code/collect.py --earlier authors_code_width24.csv --sweep

theirs.csv is what train.py wrote, fed.csv what compare.py wrote, runs a folder of the project's
own run directories. `--sweep` takes the seeds of the sweep cifar_small from results/.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parents[2] / "results"
KEY = ["code", "arm", "seed", "epoch", "whitening", "draws", "seeds", "noise", "dropout"]
COLUMNS = [*KEY[:4], "train_error_percent", "test_error_percent", *KEY[4:], "version", "processor"]
AUTHORS = "openai/weightnorm 3503e68"
NUMBERS = dict.fromkeys(["train_error_percent", "test_error_percent", "noise", "dropout"], float)
FULL = {"noise": 0.15, "dropout": 0.5}


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--processor", default="", help="of the new runs of theirs.csv and fed.csv")
    add("--version", default="", help="commit of ours that compare.py ran with")
    for name in ("theirs", "fed", "runs", "earlier"):
        add(f"--{name}", type=Path, nargs="*", default=[])
    add("--sweep", action="store_true")
    args = parser.parse_args()
    new = {"seeds": "new", "processor": args.processor}
    parts = []
    for path in args.theirs:
        rows = pd.read_csv(path)
        parts.append(rows.assign(code="theirs", draws="own", version=AUTHORS, **new))
    for path in args.fed:
        rows = pd.read_csv(path, keep_default_na=False)
        draws = rows.own.map(lambda own: f"theirs but {own}" if own else "theirs")
        kind = rows.white.str.split("-").str[1]
        fed = {"code": "ours", "draws": draws, "whitening": kind, "version": args.version}
        parts.append(rows.assign(**FULL, **fed, **new))
    for root in args.runs:
        parts.extend(map(_run, sorted(root.rglob("metrics.csv"))))
    for path in args.earlier:
        rows = pd.read_csv(path).assign(code="theirs", draws="own", whitening="float32")
        parts.append(rows.assign(seeds="earlier", version=AUTHORS, processor="a Xeon", **FULL))
    if args.sweep:
        parts.extend(_sweep())
    out = RESULTS / "authors_code" / "runs.csv"
    parts = [pd.read_csv(out), *parts] if out.exists() else parts
    rows = pd.concat([part.astype(NUMBERS)[COLUMNS] for part in parts])
    rows = rows.drop_duplicates(KEY, keep="last").sort_values(KEY, kind="stable")
    rows.to_csv(out, index=False, float_format="%.3f")
    print(f"{out}: {len(rows)} rows")


def _run(metrics: Path) -> pd.DataFrame:
    manifest = json.loads((metrics.parent / "manifest.json").read_text(encoding="utf-8"))
    config = manifest["config"]
    settings = config["model"]["width"], config["epochs"], config["optim"]["lr"]
    assert settings == (24, 10, 0.003), f"{metrics}: another protocol: {settings}"
    rows = pd.read_csv(metrics).assign(code="ours", draws="own", whitening="float64", seeds="new")
    model = {"noise": config["model"]["noise_std"], "dropout": config["model"]["dropout"]}
    facts = {"arm": config["norm"]["name"], "seed": config["seed"], **model}
    commit, cpu = _find(manifest, "commit"), _find(manifest, "cpu")
    assert commit, metrics
    return rows.assign(**facts, version=f"wnrepro {commit[:7]}", processor=cpu)


def _find(tree: object, key: str) -> str:
    """The first text under `key`, however deep."""
    if isinstance(tree, dict):
        if isinstance(tree.get(key), str):
            return tree[key]
        return next(filter(None, (_find(each, key) for each in tree.values())), "")
    return ""


def _sweep() -> Iterator[pd.DataFrame]:
    runs = pd.read_csv(RESULTS / "runs.csv")
    curves = pd.read_csv(RESULTS / "curves.csv.gz")
    chosen = runs[
        (runs.name == "main")
        & (runs.data == "cifar10")
        & (runs.width == 24)
        & (runs.epochs == 10)
        & (runs.learning_rate == 0.003)
        & runs.arm.isin(["wn", "bn", "wn_mean_only_bn"])
    ]
    for run in chosen.itertuples():
        rows = curves[curves.identity == run.identity]
        facts = {"code": "ours", "arm": run.arm, "seed": run.seed, "draws": "own"}
        facts |= {"whitening": "float64", "seeds": "earlier", "processor": run.cpu, **FULL}
        yield rows.assign(**facts, version=f"wnrepro {run.commit[:7]}")


if __name__ == "__main__":
    main()
