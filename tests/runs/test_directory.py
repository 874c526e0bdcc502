"""A run directory has one owner, says how its run ended, and belongs to one config."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wnrepro.errors import RunError
from wnrepro.runs import manifest as manifests
from wnrepro.runs.directory import LOCK_FILE, RunDirectory
from wnrepro.runs.identity import identity
from wnrepro.runs.manifest import MANIFEST_FILE, read_manifest
from wnrepro.runs.status import STATUS_FILE, read_status

CONFIG: dict[str, Any] = {
    "data": {"name": "digits", "root": "data"},
    "norm": {"name": "wn"},
    "optim": {"lr": 0.003, "beta1": 0.9, "beta2": 0.999},
    "seed": 0,
    "runs": {"root": "runs"},
    "device": "auto",
    "threads": 1,
}

HOLDER = """
import sys, time
from wnrepro.runs.directory import RunDirectory
with RunDirectory(sys.argv[1]).claim() as directory:
    directory.write_status("running", 6, 20)
    print("held", flush=True)
    time.sleep(600)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def write_manifest(directory: RunDirectory, config: dict[str, Any]) -> dict[str, Any]:
    command = ["train.py", "seed=0"]
    return manifests.write_manifest(directory.path, config, command, device="cpu", threads=1)


def test_a_live_process_is_named_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = hold(path)
    try:
        before = (path / STATUS_FILE).read_bytes()
        with pytest.raises(RunError, match="in use") as caught, RunDirectory(path).claim():
            pytest.fail("two owners")
        for part in (str(process.pid), socket.gethostname(), str(path), "epoch 7"):
            assert part in str(caught.value)
        assert "\n" not in str(caught.value)
        assert (path / STATUS_FILE).read_bytes() == before
    finally:
        kill(process)
    with RunDirectory(path).claim() as directory:
        assert directory.found is not None
        assert (directory.found.state, directory.found.epoch) == ("running", 6)
        assert directory.found.pid == process.pid
        now = read_status(directory.path)
        assert now is not None
        assert (now.state, now.epoch, now.epochs, now.pid) == ("running", 6, 20, os.getpid())


def test_it_is_said_at_once_how_many_epochs_a_run_is_to_have(tmp_path: Path) -> None:
    for epochs in (20, 30):  # a run that goes on has as many as it began with
        with RunDirectory(tmp_path).claim(epochs):
            status = read_status(tmp_path)
            assert status is not None
            assert (status.state, status.epoch, status.epochs) == ("running", 0, 20)


def test_one_process_does_not_hold_it_twice(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path).claim(),
        pytest.raises(RunError, match=f"process {os.getpid()}"),
        RunDirectory(tmp_path).claim(),
    ):
        pytest.fail("two owners")
    with RunDirectory(tmp_path).claim():
        pass


def test_is_free_after_an_error(tmp_path: Path) -> None:
    (tmp_path / STATUS_FILE).write_text("{}")
    with pytest.raises(RunError, match="not the status"), RunDirectory(tmp_path).claim():
        pytest.fail("a broken status was taken")
    (tmp_path / STATUS_FILE).unlink()
    with RunDirectory(tmp_path).claim():
        pass


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """Under a regular file, where root cannot write either."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run"
    with pytest.raises(RunError, match=r"runs\.root") as caught, RunDirectory(path).claim():
        pytest.fail("claimed")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match=r"runs\.root"), RunDirectory(tmp_path).claim():
        pytest.fail("claimed")


def test_torn_files_of_killed_processes_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.pt.0123456789ab.tmp").write_bytes(b"torn")
    (tmp_path / "notes.tmp").write_text("mine")
    with RunDirectory(tmp_path).claim():
        names = {file.name for file in tmp_path.iterdir()}
    assert names == {"notes.tmp", LOCK_FILE, STATUS_FILE}


@pytest.mark.parametrize("state", ["done", "diverged"])
def test_a_finished_run_is_recognised_and_left_as_it_is(tmp_path: Path, state: Any) -> None:
    with RunDirectory(tmp_path).claim() as directory:
        assert directory.found is None
        directory.write_status(state, 20, 20)
    before = (tmp_path / STATUS_FILE).read_bytes()
    with RunDirectory(tmp_path).claim() as directory:
        assert directory.found is not None
        assert directory.found.finished
    assert (tmp_path / STATUS_FILE).read_bytes() == before


def test_an_error_is_the_status(tmp_path: Path) -> None:
    def fail() -> None:
        with RunDirectory(tmp_path).claim() as directory:
            directory.write_status("running", 3, 20)
            raise ValueError("first line\nsecond line")

    with pytest.raises(ValueError, match="first"):
        fail()
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.epoch, status.epochs) == ("failed", 3, 20)
    assert status.error == "ValueError: first line"
    assert not status.finished


def test_ctrl_c_and_leaving_early_are_interruptions(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunDirectory(tmp_path).claim():
        raise KeyboardInterrupt
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.signal) == ("interrupted", "SIGINT")
    with RunDirectory(tmp_path).claim():
        pass
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.signal) == ("interrupted", None)


def test_what_the_owner_said_last_stays(tmp_path: Path) -> None:
    def leave() -> None:
        with RunDirectory(tmp_path).claim() as directory:
            directory.write_status("interrupted", 3, 20, signal="SIGTERM")
            raise SystemExit(128 + signal.SIGTERM)

    with pytest.raises(SystemExit):
        leave()
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.signal) == ("interrupted", "SIGTERM")


def test_unknown_states_are_refused(tmp_path: Path) -> None:
    with RunDirectory(tmp_path).claim() as directory:
        with pytest.raises(ValueError, match="running, done"):
            directory.write_status("finished", 1, 1)  # pyright: ignore[reportArgumentType]
        assert read_status(tmp_path / "nothing here") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("epoch", "3"), ("epoch", None), ("epochs", [1]), ("updated", 5), ("error", {}), ("state", 1)],
)
def test_a_status_with_values_of_other_types_is_none(
    key: str, value: object, tmp_path: Path
) -> None:
    directory = RunDirectory(tmp_path)
    directory.write_status("done", 3, 3)
    said = json.loads((tmp_path / "status.json").read_text())
    (tmp_path / "status.json").write_text(json.dumps(said | {key: value}))
    with pytest.raises(RunError, match=f"its {key} is "):
        read_status(directory.path)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The directory of a run that is done."""
    with RunDirectory(tmp_path / "run").claim() as directory:
        write_manifest(directory, CONFIG)
        (directory.path / "config.yaml").write_text("seed: 0\n")
        directory.write_rows([{"epoch": 1, "loss": 0.5}], [{"epoch": 1, "train_time_sec": 2.0}])
        directory.write_status("done", 1, 1)
    return directory.path


@pytest.mark.parametrize(
    "name", ["metrics.csv", "timing.csv", "manifest.json", "config.yaml", "status.json"]
)
def test_a_finished_run_is_refused_once_a_byte_of_its_record_is_another(
    name: str, finished: Path
) -> None:
    path = finished / name
    whole, said = path.read_bytes(), read_status(finished)
    for place, byte in enumerate(whole):
        path.write_bytes(whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :])
        try:
            read = read_status(finished)
        except RunError as error:
            message = str(error)
        else:
            # Another space between the keys is no other status.
            assert (name, read) == (STATUS_FILE, said), whole[place - 5 : place + 5]
            assert byte in b" \n"
            continue
        assert str(path) in message
        assert "\n" not in message
    path.write_bytes(whole)
    assert read_status(finished) == said
    path.unlink()
    if name == STATUS_FILE:
        assert read_status(finished) is None
    else:
        with pytest.raises(RunError, match=f"altered or lost .*{name}"):
            read_status(finished)


def test_a_finished_run_of_before_there_were_checksums_is_one(finished: Path) -> None:
    said = json.loads((finished / STATUS_FILE).read_text())
    del said["files"], said["checksum"]
    (finished / STATUS_FILE).write_text(json.dumps(said))
    (finished / "config.yaml").unlink()
    status = read_status(finished)
    assert status is not None
    assert status.finished


def test_a_finished_run_where_nothing_can_be_written_is_finished(finished: Path) -> None:
    """A folder in the lock's place, since root may write everywhere."""
    (finished / LOCK_FILE).unlink()
    (finished / LOCK_FILE).mkdir()
    with RunDirectory(finished).claim() as directory:
        assert directory.found is not None
        assert directory.found.finished
    (finished / "metrics.csv").write_text("epoch,loss\n1,0.6\n")
    with pytest.raises(RunError, match="altered"), RunDirectory(finished).claim():
        pytest.fail("claimed")


def test_whether_a_run_is_held_is_seen_by_whoever_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory(tmp_path)
    lock, opened = tmp_path / LOCK_FILE, os.open

    def read_only(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        """As the system of a user who may not write: root may."""
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *rest, **named)

    def closed(path: Any, *rest: Any, **named: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    assert directory.held() is False
    with directory.claim(), monkeypatch.context() as other:
        other.setattr(os, "open", read_only)
        assert directory.held() is True
        other.setattr(os, "open", closed)
        assert directory.held() is None
    lock.touch()
    monkeypatch.setattr(os, "open", read_only)
    assert directory.held() is False


def test_manifest_says_what_ran(tmp_path: Path) -> None:
    command = ["train.py", "x=1"]
    manifests.write_manifest(tmp_path, CONFIG, command, device="cuda:0", threads=2, gpu="H100")
    manifest = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert manifest["identity"] == identity(CONFIG)
    assert manifest["config"] == CONFIG
    assert manifest["command"] == ["train.py", "x=1"]
    assert manifest["time"].endswith("+00:00")
    assert manifest["versions"].keys() >= {"python", "torch", "torchvision", "numpy", "hydra-core"}
    assert manifest["hardware"]["gpu"] == "H100"
    assert manifest["hardware"]["cores"] >= 1
    assert manifest["hardware"]["memory_gib"] > 0
    assert (manifest["device"], manifest["threads"]) == ("cuda:0", 2)
    assert manifest["resumed"] == []


def test_resuming_adds_to_the_manifest(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    first = write_manifest(directory, CONFIG)
    other_place = CONFIG | {"runs": {"root": "elsewhere"}, "threads": 4, "device": "cuda"}
    manifests.write_manifest(tmp_path, other_place, ["again"], device="cuda:0", threads=4)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    [resumed] = manifest.pop("resumed")
    first.pop("resumed")
    assert manifest == first
    assert (resumed["command"], resumed["threads"], resumed["device"]) == (["again"], 4, "cuda:0")
    assert resumed.keys() >= {"time", "commit", "dirty", "hardware", "versions"}


def test_another_config_is_refused_and_named(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    write_manifest(directory, CONFIG)
    before = (tmp_path / MANIFEST_FILE).read_bytes()
    with pytest.raises(RunError, match=r"optim\.lr is 0\.003 there and 0\.03 here") as caught:
        write_manifest(directory, CONFIG | {"optim": CONFIG["optim"] | {"lr": 0.03}})
    assert "more" not in str(caught.value)
    optim = {"lr": 1, "beta1": 2, "eps": 3}
    with pytest.raises(RunError) as caught:
        write_manifest(directory, CONFIG | {"seed": 9, "optim": optim})
    assert "'absent'" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / MANIFEST_FILE).read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"format": 99, "config": {}, "resumed": []}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(RunError, match="not the manifest"):
        write_manifest(RunDirectory(tmp_path), CONFIG)


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_and_dirty_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "wnrepro").mkdir(parents=True)
    (checkout / "wnrepro" / "a.py").touch()
    monkeypatch.setattr(manifests, "_CHECKOUT", checkout)

    def state(run: str) -> tuple[str | None, bool | None]:
        (tmp_path / run).mkdir()
        manifest = write_manifest(RunDirectory(tmp_path / run), CONFIG)
        return manifest["commit"], manifest["dirty"]

    assert state("no checkout") == (None, None)
    git(checkout, "init", "-q")
    assert state("no commit") == (None, None)
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "first")
    head = git(checkout, "rev-parse", "HEAD")
    assert state("clean") == (head, False)
    (checkout / "notes.txt").touch()
    assert state("notes do not count") == (head, False)
    (checkout / "wnrepro" / "b.py").touch()
    assert state("new code counts") == (head, True)
    git(checkout, "config", "status.showUntrackedFiles", "no")
    assert state("new code that git is told not to show") == (head, True)
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "another repository's")
    for variable, value in (("GIT_DIR", other / ".git"), ("GIT_WORK_TREE", other)):
        monkeypatch.setenv(variable, str(value))
        assert state(f"in a hook of another repository, by {variable}") == (head, True)
        monkeypatch.delenv(variable)
    monkeypatch.setattr(manifests, "_CHECKOUT", checkout / "wnrepro")
    assert state("installed inside somebody's repository") == (None, None)
    monkeypatch.setattr(manifests, "_CHECKOUT", checkout)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state("no git") == (None, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_checkout_of_another_owner_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkout = tmp_path / "checkout"
    git(tmp_path, "init", "-q", str(checkout))
    git(checkout, "commit", "-q", "--allow-empty", "-m", "first")
    for path in (checkout, checkout / ".git"):
        os.chown(path, 12345, 12345)
    monkeypatch.setattr(manifests, "_CHECKOUT", checkout)
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        assert write_manifest(RunDirectory(tmp_path / str(k)), CONFIG)["commit"] is None
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("the manifest names no commit: fatal: detected dubious ownership")
    assert said.endswith(f"run git config --global --add safe.directory {checkout}")
    assert "\n" not in said


def test_config_and_rows_are_written(tmp_path: Path) -> None:
    with RunDirectory(tmp_path).claim() as directory:
        (directory.path / "config.yaml").write_text("seed: 0\n")
        directory.write_rows([{"epoch": 1, "loss": 0.5}], [{"epoch": 1, "epoch_time_sec": 2.0}])
    assert (tmp_path / "config.yaml").read_text() == "seed: 0\n"
    assert (tmp_path / "metrics.csv").read_text() == "epoch,loss\n1,0.5\n"
    assert (tmp_path / "timing.csv").read_text() == "epoch,epoch_time_sec\n1,2.0\n"
