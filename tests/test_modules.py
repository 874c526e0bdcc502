"""Names of modules: `python wnrepro/train.py` puts the package's own folder on the path first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("folder", ["wnrepro", "scripts", "contrib"])
def test_no_module_hides_one_of_the_standard_library(folder: str) -> None:
    paths = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")]
    assert paths
    hiding = {path for path in paths if set(path.with_suffix("").parts) & sys.stdlib_module_names}
    assert not hiding


def test_the_file_of_a_command_can_be_run_too(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "wnrepro" / "train.py", "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert "name: digits" in result.stdout
