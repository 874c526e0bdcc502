"""The command as a module, for its functions to be called."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "mechanisms.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("mechanisms_script", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
