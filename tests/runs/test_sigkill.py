"""Killed at any moment, a run leaves whole files and a checkpoint that loads."""

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from wnrepro.runs.checkpoint import CHECKPOINT_FILE, PREVIOUS_FILE, load_latest, save_generation
from wnrepro.runs.directory import RunDirectory
from wnrepro.runs.manifest import MANIFEST_FILE, read_manifest, write_manifest
from wnrepro.runs.rows import read_rows
from wnrepro.runs.status import read_status

CONFIG = {"data": {"name": "digits"}, "norm": {"name": "wn"}, "seed": 0}

# Each child starts from a server that has imported torch already and has no threads.
SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["wnrepro.runs.checkpoint", "wnrepro.runs.directory"])


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "model": {"v": torch.full((100, 1000), float(epoch))}}


def run_forever(path: Path, ready: Connection) -> None:
    directory = RunDirectory(path)

    def record(epoch: int) -> None:
        rows = [{"epoch": e, "loss": 1 / e} for e in range(1, epoch + 1)]
        directory.write_rows(rows, [{"epoch": row["epoch"]} for row in rows])
        directory.write_status("running", epoch, None)

    with directory.claim():
        latest = load_latest(path)
        epoch = latest["epoch"] if latest else 0
        write_manifest(path, CONFIG, ["train"], device="cpu", threads=1)
        record(epoch)
        ready.send(epoch)
        while True:
            epoch += 1
            save_generation(path, state(epoch))
            record(epoch)


def save_killed_at(path: Path, call: int, links: bool) -> None:
    """Save once, dying before the system call of number `call`; exit 0 if there were fewer."""
    calls = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return counted

    def no_link(*_: object) -> None:
        raise PermissionError

    link = os.link if links else no_link
    for name in ("open", "fsync", "replace", "unlink", "close"):
        setattr(os, name, dying(getattr(os, name)))
    write = os.write
    os.write = dying(lambda descriptor, data: write(descriptor, data[: len(data) // 2 + 1]))
    os.link = dying(link)
    save_generation(path, state(3))


def finished(process: Any) -> int:
    process.join(60)
    assert process.exitcode is not None
    code = process.exitcode
    process.close()
    return code


@pytest.mark.parametrize(
    ("before", "links"),
    [
        ("nothing", True),
        ("one", True),
        ("one", False),
        ("two", True),
        ("damaged", True),
        ("damaged", False),
    ],
)
def test_killed_at_every_system_call_of_a_save(tmp_path: Path, before: str, links: bool) -> None:
    call = 0
    while True:
        call += 1
        path = tmp_path / str(call)
        path.mkdir()
        newest = {"nothing": 0, "one": 1, "two": 2, "damaged": 1}[before]
        for epoch in range(1, 3 if before == "damaged" else newest + 1):
            save_generation(path, state(epoch))
        if before == "damaged":
            (path / CHECKPOINT_FILE).write_bytes(b"torn")
        process = SPAWN.Process(target=save_killed_at, args=(path, call, links))
        process.start()
        if finished(process) == 0:
            break
        latest = load_latest(path)
        if latest is None:
            assert before == "nothing"
        else:
            assert latest["epoch"] in (newest, 3)
            assert (latest["model"]["v"] == latest["epoch"]).all()
        save_generation(path, state(4))
        latest = load_latest(path)
        assert latest is not None
        assert latest["epoch"] == 4
    assert call > 8


def test_killed_at_random_moments(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "run"
    moments = random.Random(0)
    epoch = 0
    for _ in range(40):
        receiving, sending = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=run_forever, args=(path, sending))
        process.start()
        sending.close()
        assert receiving.poll(60)
        assert receiving.recv() == epoch
        receiving.close()
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        assert finished(process) == -signal.SIGKILL

        latest = load_latest(path)
        if latest is None:
            assert not (path / PREVIOUS_FILE).exists()
        else:
            assert latest["epoch"] >= epoch
            epoch = latest["epoch"]
            assert (latest["model"]["v"] == epoch).all()
        status = read_status(path)
        assert status is not None
        assert status.state == "running"
        assert epoch - 1 <= status.epoch <= epoch
        assert read_manifest(path) == json.loads((path / MANIFEST_FILE).read_bytes())
        for name in ("metrics.csv", "timing.csv"):
            rows = read_rows(path / name)
            assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
            assert epoch - 1 <= len(rows) <= epoch
        assert sum(name.name.endswith(".tmp") for name in path.iterdir()) <= 2
    assert epoch > 10
    assert not caplog.records
    with RunDirectory(path).claim():
        assert not [name for name in path.iterdir() if name.name.endswith(".tmp")]
