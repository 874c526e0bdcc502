"""Pictures need no backend of the user's, and leave his choice as it is."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["wnrepro.drawing", "wnrepro.analysis.curves", "wnrepro.mechanisms.figures"]
)
def test_a_backend_that_is_not_here_is_in_nobodys_way(module: str) -> None:
    code = f"""
import os, {module}
assert os.environ["MPLBACKEND"] == "module://nowhere.backend"
import matplotlib.pyplot as plt
"""
    backend = {"MPLBACKEND": "module://nowhere.backend"}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | backend)


def test_a_backend_of_the_users_is_still_his() -> None:
    code = "import wnrepro.headless, matplotlib; assert matplotlib.get_backend() == 'pdf'"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"MPLBACKEND": "pdf"})


def test_a_home_that_cannot_be_written_is_no_news() -> None:
    code = "import wnrepro.headless, matplotlib; matplotlib.get_configdir()"
    home = {"HOME": "/proc/none", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    environment = {k: v for k, v in os.environ.items() if k != "MPLCONFIGDIR"} | home
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
