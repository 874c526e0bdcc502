"""Further processes start wherever they can; where they cannot, one line says why."""

import tempfile
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from wnrepro import processes
from wnrepro.errors import RunError


def test_a_folder_whose_name_is_too_long_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert processes.context().get_start_method() == "forkserver"
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    def not_to_be_started() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", not_to_be_started)
    processes.prepare([])
    assert processes.context().get_start_method() == "spawn"


@pytest.mark.parametrize("where", ["semaphores", "folder", "socket"])
def test_a_machine_that_refuses_them_says_so_in_one_line(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    if where == "semaphores":
        monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", full)
    elif where == "folder":
        monkeypatch.setattr(tempfile, "gettempdir", full)
    else:
        monkeypatch.setattr(tempfile, "tempdir", "/tmp")
        monkeypatch.setattr(forkserver, "ensure_running", full)
    with pytest.raises(RunError, match=r"No space left on device.* /dev/shm") as caught:
        processes.prepare([])
    assert "\n" not in str(caught.value)
