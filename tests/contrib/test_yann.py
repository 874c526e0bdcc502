"""contrib/yann: its table; weight norm in Theano and in YANN beside `wnrepro.nn`, where they are.

The module needs $YANN_PYTHON, a Python with Theano; the network one with YANN's requirements (2.7),
and $YANN, a checkout. contrib/yann/README.md says how to make them.
"""

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

CONTRIB = Path(__file__).parents[2] / "contrib" / "yann"


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yann") / "values.npz"
    script = runpy.run_path(str(CONTRIB / "test" / "values.py"))
    script["main"](str(path))
    return path


def passes(test: str, folder: Path, **environment: object) -> None:
    """Run in that Python, without a C compiler: the networks are tiny, and compiling takes long."""
    python = os.environ.get("YANN_PYTHON")
    if not python:
        pytest.skip("no Python with Theano: $YANN_PYTHON is not set")
    flags = f"device=cpu,floatX=float64,cxx=,base_compiledir={folder / 'compiled'}"
    done = subprocess.run(
        [python, "-W", "ignore", str(CONTRIB / "test" / test)],
        env={**os.environ, "THEANO_FLAGS": flags, "MPLBACKEND": "agg"}
        | {key: str(value) for key, value in environment.items()},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "\nOK" in done.stderr


def test_the_values_are_those_of_the_equations(values: Path) -> None:
    found = np.load(values)
    v, g = found["dense.0.v"], found["dense.0.g"]
    w = g[:, None] * v / np.linalg.norm(v, axis=1, keepdims=True)
    np.testing.assert_allclose(found["dense.w"], w)
    w = found["dense.initialized.0.g"][:, None] * v / np.linalg.norm(v, axis=1, keepdims=True)
    y = found["dense.x"] @ w.T + found["dense.initialized.0.b"]
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(0), 1)


def test_the_module_is_wnrepros(values: Path, tmp_path: Path) -> None:
    passes("test_module.py", tmp_path, VALUES=values)


@pytest.mark.slow
def test_yanns_network_is_wnrepros(values: Path, tmp_path: Path) -> None:
    checkout = os.environ.get("YANN")
    if not checkout:
        pytest.skip("YANN is not here: $YANN is not set")
    yann = tmp_path / "yann"
    shutil.copytree(checkout, yann, ignore=shutil.ignore_patterns(".git"))
    subprocess.run(["sh", str(CONTRIB / "apply.sh"), str(yann)], check=True)
    passes("test_network.py", tmp_path, VALUES=values, YANN=yann)


def test_the_table_is_what_the_rows_give() -> None:
    runs = pd.read_csv(CONTRIB / "runs.csv")
    run = ["data", "network", "arm", "rate", "seed", "images", "epochs"]
    assert not runs.duplicated(run).any()
    script = runpy.run_path(str(CONTRIB / "table.py"))
    text = f"{script['BEGIN']}\n{script['table'](runs)}\n{script['END']}"
    assert text in (CONTRIB / "README.md").read_text(encoding="utf-8")
