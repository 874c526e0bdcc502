"""contrib/authors_code: the published table, our side of the comparison, and theirs where it is.

The last needs the authors' nn.py (its folder in $AUTHORS_CODE) and a Python with Theano and
Lasagne ($AUTHORS_PYTHON); contrib/authors_code/README.md says how to make one.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

from wnrepro.models import build
from wnrepro.nn import NormalizedLayer, data_dependent_init

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "contrib" / "authors_code"
RESULTS = ROOT / "results" / "authors_code"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"authors_code_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_published_table_is_what_the_rows_give() -> None:
    table = script("table")
    text = table.tables(*(pd.read_csv(RESULTS / f"{name}.csv") for name in table.NAMES))
    readme = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert f"{table.BEGIN}\n{text}\n{table.END}" in readme


def test_each_run_has_each_epoch_once() -> None:
    runs = pd.read_csv(RESULTS / "runs.csv", keep_default_na=False)
    run = ["code", "arm", "seed", "whitening", "draws", "noise", "dropout"]
    assert not runs.duplicated([*run, "epoch"]).any()
    errors = runs[["train_error_percent", "test_error_percent"]]
    assert ((errors > 0) & (errors < 100)).all(axis=None)
    assert (runs.processor != "").all()
    assert (runs.version != "").all()


def test_welchs_interval() -> None:
    # Worked by hand: means 2 and 5, variances 1 and 4, n = 3 each: standard error √(5/3),
    # degrees of freedom (5/3)²/((1/3)² + (4/3)²)·2 = 50/17.
    a, b = pd.Series([1.0, 2.0, 3.0]), pd.Series([3.0, 5.0, 7.0])
    difference, low, high, p = script("table").welch(a, b)
    assert difference == -3
    t = 3.2188  # 97.5 % quantile of Student's t at 50/17
    half = t * (5 / 3) ** 0.5
    assert (low, high) == pytest.approx((-3 - half, -3 + half), abs=1e-3)
    assert 0.05 < p < 0.15


@pytest.fixture
def white(tmp_path: Path) -> Path:
    """600 training images and 100 test images of noise, where train.py keeps whitened ones."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "white" / "float64-float64"
    folder.mkdir(parents=True)
    for name, n in (("train", 600), ("test", 100)):
        np.save(folder / f"{name}-images.npy", rng.normal(size=(n, 3, 32, 32)))
        np.save(folder / f"{name}-labels.npy", rng.integers(10, size=n).astype(np.uint8))
    return folder


def compare(*arguments: object) -> str:
    command = [sys.executable, SCRIPTS / "compare.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ours_trains_on_what_a_record_says(tmp_path: Path, white: Path) -> None:
    """With a record of our own making: v, batches, noise and masks are used as they stand."""
    rng, width = np.random.default_rng(1), 2
    model = build("convpool_cnn_c", "wn_mean_only_bn", (3, 32, 32), 10, width=width).double()
    units = [each for each in model.modules() if isinstance(each, NormalizedLayer)]
    record = tmp_path / "record"
    record.mkdir()
    vs = {f"v{k}": 0.05 * rng.normal(size=unit.v.shape) for k, unit in enumerate(units)}
    np.savez(record / "start.npz", **vs)
    draws = {}
    for name, n in (("init", 20), ("00000", 10)):
        draws[name] = {
            "index": rng.choice(600, n, replace=False),
            "draw0": 0.15 * rng.normal(size=(n, 3, 32, 32)),
            "draw1": rng.random((n, width, 16, 16)) < 0.5,
            "draw2": rng.random((n, 2 * width, 8, 8)) < 0.5,
        }
        np.savez(record / f"{name}.npz", **draws[name])

    # By hand: the draws laid over the network's parts, one after another.
    def given(name: str, key: str) -> torch.Tensor:
        return torch.from_numpy(draws[name][key]).double()

    images = torch.from_numpy(np.load(white / "train-images.npy"))
    labels = torch.from_numpy(np.load(white / "train-labels.npy")).long()
    for k, unit in enumerate(units):
        unit.start_from_(torch.from_numpy(vs[f"v{k}"]))
    current = "init"
    model.get_submodule("noise").forward = lambda x: x + given(current, "draw0")
    model.get_submodule("dropout1").forward = lambda x: 2 * x * given(current, "draw1")
    model.get_submodule("dropout2").forward = lambda x: 2 * x * given(current, "draw2")
    model.train()
    data_dependent_init(model, images[draws["init"]["index"]])
    current = "00000"
    index = draws["00000"]["index"]
    loss = torch.nn.functional.cross_entropy(model(images[index]), labels[index]).item()

    np.savetxt(record / "losses.csv", [[loss, 0.5]], "%.17g", ",", header="loss,error")
    out = tmp_path / "steps.csv"
    shared = "--record", record, "--white", white, "--arm", "wn_mean_only_bn", "--width", width
    compare(*shared, "--out", out)
    row = pd.read_csv(out).iloc[0]
    assert row.ours == pytest.approx(loss, rel=1e-12)
    assert row.theirs == loss

    compare(*shared, "--own", "dropout", "--out", out)
    assert abs(pd.read_csv(out).ours.iloc[-1] - loss) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["wn", "wn_mean_only_bn", "bn", "plain_frozen_scale"])
def test_both_codes_take_the_same_steps(tmp_path: Path, white: Path, arm: str) -> None:
    """Width 2, float64, their noise and masks, four steps: equal losses and test errors."""
    code, python = os.environ.get("AUTHORS_CODE"), os.environ.get("AUTHORS_PYTHON")
    if not code or not python:
        pytest.skip("the authors' code is not here: $AUTHORS_CODE and $AUTHORS_PYTHON are not set")
    record, out = tmp_path / "record", tmp_path / "steps.csv"
    command = [python, str(SCRIPTS / "train.py"), "--code", code, "--data", str(tmp_path)]
    command += ["--white", str(white.parent), "--arm", arm, "--width", "2", "--steps", "4"]
    command += ["--dtype", "float64", "--whitening", "float64", "--record", str(record)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    compare("--record", record, "--white", white, "--arm", arm, "--width", 2, "--out", out)
    steps = pd.read_csv(out)
    assert len(steps) == 5
    np.testing.assert_allclose(steps.ours, steps.theirs, rtol=1e-11)
