"""W&B mirrors a run, each epoch once, and whatever goes wrong with it the training goes on.

wandb is the real one throughout; online it talks to tests/wandb_server.py, on loopback.
"""

import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2
from wandb_server import KEY, Server, environment, serving

from wnrepro.config import Config, as_dict
from wnrepro.runs.rows import read_rows
from wnrepro.tracking import service

Record = vars(wandb_internal_pb2)["Record"]  # which type checkers do not see

LONG = ["-m", "wnrepro.train", "epochs=40", "model.width=32", "threads=1"]

DRIVER = """
import json, logging, os, signal, sys, time
from pathlib import Path
from threading import Thread
from wnrepro import tracking
from wnrepro.tracking import live

logging.basicConfig(format="%(message)s")
logging.getLogger("wnrepro").setLevel(logging.INFO)
config = json.loads(os.environ.pop("CONFIG"))
rows = [{"epoch": n, "train_loss": 1 / n, "missing": None} for n in range(1, 6001)]

def start(name="seed0-abc"):
    directory = Path("runs/digits_wn") / name
    directory.mkdir(parents=True, exist_ok=True)
    return tracking.start(config, directory, name.split("-")[1])

def service():
    from wandb.sdk import wandb_setup
    while wandb_setup._singleton is None or wandb_setup._singleton._connection is None:
        time.sleep(0.05)  # it starts in its own time
    return wandb_setup._singleton._connection._proc._process.pid
"""
"""What a training does with its tracker, without the training: rows instead of epochs."""


@pytest.fixture
def drive(tmp_path: Path, compose: Callable[..., Config]) -> Callable[..., list[str]]:
    """Run code after DRIVER's; it must exit with 0 and print nothing to stdout. Its stderr."""
    config = json.dumps(as_dict(compose()))

    def driven(code: str, **variables: str) -> list[str]:
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", DRIVER + code],
            cwd=tmp_path,
            env=environment(tmp_path, CONFIG=config, **variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        return result.stderr.splitlines()

    return driven


def records(path: Path) -> list[Any]:
    """A .wandb file: a header of 7 bytes, then LevelDB's log format with one Record each."""
    content, position, found, parts = path.read_bytes(), 7, [], b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        if kind == 0:
            break
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, or the last part
            found.append(Record.FromString(parts))
            parts = b""
    return found


@dataclass
class Shown:
    """What an offline run would show once it is uploaded."""

    run: Any = None
    epochs: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None


def only_offline_run(cwd: Path, name: str = "*") -> Path:
    (folder,) = cwd.glob(f"runs/*/{name}/wandb/*run-*[0-9]-*")
    assert folder.name.startswith("offline-run-")
    return folder


def shown(folder: Path) -> Shown:
    (path,) = folder.glob("*.wandb")
    result = Shown()
    for record in records(path):
        match record.WhichOneof("record_type"):
            case "run":
                result.run = result.run or record.run
            case "history":
                row = {
                    i.key or "/".join(i.nested_key): json.loads(i.value_json)
                    for i in record.history.item
                }
                result.epochs.append(row["epoch"])
                result.steps.append(row["_step"])
                result.keys |= row.keys()
            case "summary":
                for item in record.summary.update:
                    key = item.key or "/".join(item.nested_key)
                    result.summary[key] = json.loads(item.value_json)
            case "metric":
                metric = record.metric
                result.axes[metric.name or metric.glob_name] = metric.step_metric
            case "exit":
                result.exit_code = record.exit.exit_code
    return result


def start_run(cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """LONG, in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, *LONG],
        cwd=cwd,
        env=environment(cwd, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def stop_at(epoch: int, process: subprocess.Popen[str], cwd: Path, number: signal.Signals) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(cwd.glob("runs/*/*/status.json"))
        if found and json.loads(found[0].read_text())["epoch"] >= epoch:
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, number)
    stderr = process.communicate(timeout=60)[1]
    expected = -number if number == signal.SIGKILL else 128 + number
    assert process.returncode == expected, stderr
    return stderr


BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "wandb": raise ImportError("blocked " + name)
sys.meta_path.insert(0, Blocker())
"""


def test_without_tracker_wandb_need_not_be_installed(tmp_path: Path) -> None:
    code = BLOCKER + "from wnrepro.train import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "tracker=none", "epochs=2", "model.width=32"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert list(tmp_path.glob("runs/*/*/status.json"))
    assert not list(tmp_path.glob("runs/*/*/wandb"))


def test_a_missing_wandb_is_reported(drive: Callable[..., list[str]]) -> None:
    (line,) = drive(BLOCKER + WHOLE_RUN)
    assert line.startswith("W&B failed (blocked wandb): the training goes on")


WHOLE_RUN = "t = start(); t.mirror(rows[:2]); t.mirror(rows[:3]); t.finish('done', None)\n"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "W&B: not logged in, so offline; to upload later: python -m wandb login && python"),
        ({"WANDB_MODE": "", "WANDB_API_KEY": ""}, "W&B: not logged in, so offline"),
        ({"WANDB_MODE": "online"}, "W&B: not logged in, so offline"),
        (
            KEY | {"WANDB_MODE": "offline"},
            "W&B: offline, as $WANDB_MODE=offline says; to upload later: py",
        ),
        ({"WANDB_MODE": "disabled"}, "W&B: off, as $WANDB_MODE=disabled says"),
        ({"WANDB_DISABLED": "true"}, "W&B: off, as $WANDB_DISABLED=true says"),
        ({"WANDB_DISABLED": "false"}, "W&B: not logged in, so offline"),
        (
            {"WANDB_API_KEY": "abc"},
            "W&B: not logged in, so offline (WANDB_API_KEY invalid: API key must have 40+ charac",
        ),
        ({"HOME": "/proc/none"}, "W&B: not logged in, so offline"),
        (
            {"WANDB_SWEEP_ID": "abc", "WANDB_RESUME": "must", "WANDB_RUN_ID": "mine"},
            "W&B: not logged in, so offline",
        ),
        ({"WANDB_MODE": "of"}, "W&B failed ($WANDB_MODE is 'of': choose from online, offline, di"),
    ],
)
def test_one_line_says_where_the_curves_go(
    tmp_path: Path, drive: Callable[..., list[str]], variables: dict[str, str], expected: str
) -> None:
    (line,) = drive(WHOLE_RUN, **variables)
    assert line.startswith(expected)
    if "to upload later" not in line:
        assert not list(tmp_path.glob("runs/*/*/wandb"))
        return
    now = shown(only_offline_run(tmp_path))
    assert (now.epochs, now.run.run_id) == ([1, 2, 3], "wnrepro-abc-digits_wn")
    command = shlex.split(line.rpartition("&& " if "&& " in line else "later: ")[2])
    assert command[:4] == ["python", "-m", "wandb", "sync"]
    would = subprocess.run(
        [sys.executable, *command[1:], "--dry-run"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Would sync 1 run" in would.stderr


@pytest.mark.parametrize(
    ("variable", "key", "expected"),
    [("theirs", None, "theirs"), ("theirs", "named", "named"), ("", None, "wnrepro")],
)
def test_the_project_is_the_named_one_or_that_of_the_environment(
    variable: str, key: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", variable)
    assert service.project(key) == expected


def test_a_key_that_the_server_does_not_know_leaves_the_run_offline(
    tmp_path: Path, server: Server, drive: Callable[..., list[str]]
) -> None:
    server.stranger = True
    *_, line = drive(WHOLE_RUN, **server.variables, WANDB_PROJECT="theirs")
    assert "offline; to upload later" in line
    now = shown(only_offline_run(tmp_path))
    assert (now.epochs, now.run.project) == ([1, 2, 3], "theirs")


def test_a_run_killed_and_stopped_shows_each_epoch_once(tmp_path: Path) -> None:
    ids = set()
    for epoch, number in ((5, signal.SIGKILL), (12, signal.SIGINT)):
        stderr = stop_at(epoch, start_run(tmp_path), tmp_path, number)
        assert "failed" not in stderr
        assert stderr.count("offline") == 2  # in one line: what it is, and its path
        folder = only_offline_run(tmp_path)
        if number != signal.SIGKILL:
            now = shown(folder)
            ids.add(now.run.run_id)
            assert now.epochs == list(range(1, now.epochs[-1] + 1))
            assert now.summary["status"] == "interrupted"
            assert now.exit_code == 1
    process = start_run(tmp_path)
    assert (process.communicate()[1].count("\n"), process.returncode) == (2, 0)
    (directory,) = tmp_path.glob("runs/*/*")
    final = shown(only_offline_run(tmp_path))
    assert final.epochs == final.steps == list(range(1, 41))
    assert final.axes == {"epoch": "", "*": "epoch"}
    assert final.keys > read_rows(directory / "metrics.csv")[0].keys() | {"curves/_type"}
    assert final.summary["status"] == "done"
    assert list(only_offline_run(tmp_path).glob("files/media/images/curves_40_*.png"))
    assert final.exit_code == 0
    run = final.run
    assert ids == {run.run_id}
    assert directory.name.partition("-")[2] in run.run_id
    assert (run.project, run.run_group, run.job_type) == ("wnrepro", "digits_wn", "train")
    assert run.display_name == f"digits_wn/{directory.name}"
    assert set(run.tags) == {"digits", "mlp", "wn", "data_dependent", "full", "float32"}
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    manifest = json.loads((directory / "manifest.json").read_text())["config"]
    assert {k: v for k, v in config.items() if k != "_wandb"} == {
        k: v for k, v in manifest.items() if k not in ("tracker", "runs")
    }


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


def test_online_a_resumed_run_sends_no_epoch_twice(tmp_path: Path, server: Server) -> None:
    for epoch, number in ((8, signal.SIGKILL), (20, signal.SIGTERM)):
        stop_at(epoch, start_run(tmp_path, **server.variables), tmp_path, number)
    process = start_run(tmp_path, **server.variables)
    stderr = process.communicate()[1]
    assert process.returncode == 0, stderr
    assert "W&B: http" in stderr
    assert server.epochs() == list(range(1, 41))
    assert server.resent == []
    assert any("curves_40" in path for path in server.uploaded)
    assert server.exit_codes[-2:] == [1, 0]


def test_an_offline_run_uploads_as_the_line_says(
    tmp_path: Path, server: Server, drive: Callable[..., list[str]]
) -> None:
    for last in (3, 5):  # after an upload, a resumed run writes what is new
        (line,) = drive(f"t = start(); t.mirror(rows[:{last}]); t.finish('interrupted', None)")
        subprocess.run(
            [sys.executable, *shlex.split(line.rpartition("&& ")[2])[1:]],
            cwd=tmp_path,
            env=environment(tmp_path, **server.variables),
            capture_output=True,
            check=True,
        )
        assert server.epochs() == list(range(1, last + 1))
    assert server.resent == []


@pytest.mark.parametrize("how", ["nobody listens", "it answers 500", "it never answers"])
def test_a_server_that_does_not_work_leaves_the_run_offline(
    tmp_path: Path, server: Server, drive: Callable[..., list[str]], how: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if how == "nobody listens":
            silent.close()
        server.broken = True
        variables = server.variables | {"WANDB_INIT_TIMEOUT": "2"}
        if how != "it answers 500":
            variables["WANDB_BASE_URL"] = f"http://127.0.0.1:{port}"
        code = """
live.START_WAIT_SEC, live.FINISH_TIMEOUT_SEC = 0.5, 30.0
t0 = time.monotonic(); t = start(); assert time.monotonic() - t0 < 1.5
t.mirror(rows[:3]); t.finish("done", None)
"""
        (line,) = drive(code, **variables)
    assert line.startswith("W&B failed (")
    assert "; offline; to upload later: python -m wandb sync runs/" in line
    assert shown(only_offline_run(tmp_path)).epochs == [1, 2, 3]


def test_a_server_that_dies_leaves_the_run_offline(
    tmp_path: Path, server: Server, drive: Callable[..., list[str]]
) -> None:
    code = "live.FINISH_TIMEOUT_SEC = 3.0; t = start(); t.mirror(rows[:3])\n"
    code += "Path('started').touch(); time.sleep(1); t.mirror(rows[:5])\n"
    code += "t0 = time.monotonic(); t.finish('done', None); assert time.monotonic() - t0 < 15"

    def die() -> None:
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        server.broken = True

    thread = Thread(target=die)
    thread.start()
    online, failed = drive(code, **server.variables)
    thread.join()
    assert online.startswith("W&B: http")
    assert failed.startswith("W&B failed (not done within 3 s); offline; to upload later: ")
    assert shown(only_offline_run(tmp_path)).epochs == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP"])
def test_a_service_that_dies_or_hangs_holds_up_nothing(
    tmp_path: Path, drive: Callable[..., list[str]], number: str
) -> None:
    """6,000 rows are more than fits between the processes, so that a call of wandb hangs."""
    code = f"""
live.FINISH_TIMEOUT_SEC = 2.0 if {number == "SIGSTOP"} else 60.0
t = start(); t.mirror(rows[:3]); time.sleep(0.5)
os.kill(service(), signal.{number})
t0 = time.monotonic(); t.mirror(rows[:1000]); t.mirror(rows); assert time.monotonic() - t0 < 0.5
t.finish("done", None); assert time.monotonic() - t0 < 30
"""
    first, failed = drive(code)
    assert first.startswith("W&B: not logged in")
    assert failed.startswith("W&B failed (")
    now = shown(only_offline_run(tmp_path))
    assert now.epochs == list(range(1, 6001))
    assert now.exit_code == 0


def test_a_call_that_fails_is_reported_once(drive: Callable[..., list[str]]) -> None:
    code = """
import wandb
def log(*args, **kwargs): raise RuntimeError("no more")
wandb.Run.log = log
t = start(); t.mirror(rows[:3]); time.sleep(2); t.mirror(rows[:5]); t.finish("done", None)
"""
    _, failed = drive(code)
    assert failed.startswith("W&B failed (no more): the training goes on")


def test_runs_in_one_process_do_not_disturb_one_another(
    tmp_path: Path, drive: Callable[..., list[str]]
) -> None:
    """The first ends well, the second's service dies, the third's training fails."""
    code = """
import wandb
hooks = sys.exit, sys.excepthook
handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
for seed in range(4):
    t = start(f"seed{seed}-{seed}"); t.mirror(rows[: seed + 2])
    if seed == 1: os.kill(service(), signal.SIGKILL)
    t.finish("failed" if seed == 2 else "done", None)
    assert wandb.run is None and "WANDB_SERVICE" not in os.environ
assert hooks == (sys.exit, sys.excepthook)
assert handlers == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
"""
    assert len(drive(code)) == 5
    for seed in range(4):
        now = shown(only_offline_run(tmp_path, f"seed{seed}-*"))
        assert now.epochs == list(range(1, seed + 3))
        assert now.run.run_id == f"wnrepro-{seed}-digits_wn"
        assert now.exit_code == (1 if seed == 2 else 0)
