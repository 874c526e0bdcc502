"""Finished runs of the tables reach W&B whole and once, and one line says what went wrong.

wandb is the real one; it talks to tests/wandb_server.py, on loopback.
"""

import gzip
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wandb_server import KEY, Server, environment, serving

from scripts.upload import main
from wnrepro.commands.composition import expand
from wnrepro.runs.collection import collect
from wnrepro.runs.tables import CURVES_FILE, CollectedRun, read_tables, write_tables
from wnrepro.train import train

REPOSITORY = Path(__file__).resolve().parents[1]

CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background
from scripts.upload import main
from wnrepro.tracking import upload
upload.RETRIES, upload.REQUEST_TIMEOUT_SEC = 1, 3.0
upload.CONFIRMATIONS_SEC = (0.0, 0.1)
"""
"""The command, less patient than it is with a real server."""

LIVE = """
import logging, sys
from pathlib import Path
from wnrepro import tracking
from wnrepro.runs.identity import run_directory
from wnrepro.runs.tables import read_tables

logging.basicConfig(format="%(message)s", level=logging.INFO)
run = read_tables(Path("results"))[sys.argv[1]]
account = {"name": "wandb", "project": "wnrepro", "entity": None}
config = run.config | {"tracker": account, "runs": {"root": "runs"}}
tracker = tracking.start(config, run_directory(config), sys.argv[1])
tracker.mirror(run.rows()[: int(sys.argv[2])])
tracker.finish(sys.argv[3], None)
"""
"""What a training of one of the runs in the tables did with its tracker."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, CollectedRun]:
    """Six runs of the committed tables, in tables of their own; one diverged as runs do."""
    committed = read_tables(REPOSITORY / "results")
    chosen = [key for key, run in committed.items() if run.row["data"] == "digits"][:6]
    runs = {key: committed[key] for key in chosen}
    last = runs[chosen[2]]
    nan = {key: "nan" for key in last.curve[-1] if key.endswith("_loss")}
    runs[chosen[2]] = replace(
        last,
        row=last.row | nan | {"status": "diverged"},
        curve=[*last.curve[:-1], last.curve[-1] | nan],
    )
    write_tables(tmp_path / "results", runs)
    return read_tables(tmp_path / "results")


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python in `tmp_path`; a warning is an error. Whatever hangs ends with the test."""
    processes = []

    def started(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        where = {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            env=environment(tmp_path, **where, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def upload(python: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of the command."""

    def uploaded(*arguments: str, code: str = "", **variables: str) -> tuple[int, str, str]:
        text = f"{CODE}{code}\nsys.exit(main({list(arguments)!r}))"
        process = python("-c", text, **variables)
        stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout, stderr

    return uploaded


def wandb_id(run: CollectedRun) -> str:
    return f"wnrepro-{run.row['identity']}-{run.row['data']}_{run.row['arm']}"


def epochs(server: Server) -> dict[str, list[int]]:
    return {name: [row["epoch"] for row in rows] for name, rows in server.history.items()}


def whole(runs: dict[str, CollectedRun]) -> dict[str, list[int]]:
    return {wandb_id(run): list(range(1, int(run.row["epochs_done"]) + 1)) for run in runs.values()}


def config_at(server: Server, name: str) -> dict[str, Any]:
    config = json.loads(server.described[name]["config"])
    return {key: value["value"] for key, value in config.items() if key != "_wandb"}


def rows_at(server: Server, name: str) -> list[dict[str, Any]]:
    """Without wandb's own keys, as _timestamp."""
    return [{k: v for k, v in row.items() if k[0] != "_"} for row in server.history[name]]


def test_what_arrives_is_what_the_tables_hold(
    runs: dict[str, CollectedRun], server: Server, upload: Callable[..., tuple[int, str, str]]
) -> None:
    code, stdout, stderr = upload(**server.variables)
    assert (code, stderr) == (0, "")
    url = server.variables["WANDB_BASE_URL"]
    assert stdout.startswith(f"{url}/me/wnrepro: 6 runs sent in ")
    assert stdout.endswith(" s, 0 were there, 0 failed\n")
    assert server.history.keys() == whole(runs).keys()
    for run in runs.values():
        row, name = run.row, wandb_id(run)
        rows = rows_at(server, name)
        for cells, arrived in zip(run.curve, rows, strict=True):
            layers = [each for each in run.layers if each["epoch"] == cells["epoch"]]
            expected = {k: cells[k] for k in cells if k not in ("identity", "train_time_sec")} | {
                f"{quantity}/{each['layer']}": each[quantity]
                for each in layers
                for quantity in ("v_norm", "g", "grad_norm")
                if quantity in each
            }
            assert arrived.keys() == expected.keys()
            for key, cell in expected.items():
                assert arrived[key] == float(cell) or math.isnan(arrived[key]) == (cell == "nan")
        described, config = server.described[name], config_at(server, name)
        provenance = config.pop("provenance")
        assert config == run.config
        assert provenance == {
            **{key: row[key] for key in ("name", "device", "cpu", "torch", "commit", "date")},
            "threads": 1,
            "resumptions": 0,
            "dirty": False,
        }
        summary = server.summary[name]
        assert summary["status"] == row["status"]
        assert summary["epochs_done"] == summary["epoch"] == int(row["epochs_done"])
        assert summary["train_time_sec"] == float(row["train_time_sec"])
        assert summary["time_per_epoch_sec"] == float(row["time_per_epoch_sec"])
        assert summary["test_error_percent"] == float(row["test_error_percent"])
        group = f"digits_{row['arm']}"
        seed = f"{group}/seed{row['seed']}-{row['identity']}"
        assert (described["groupName"], described["displayName"]) == (group, seed)
        assert described["jobType"] == "train"
        assert name in server.finished()


def test_it_looks_like_a_run_that_w_and_b_followed(
    tmp_path: Path, server: Server, python: Callable[..., Any], upload: Callable[..., Any]
) -> None:
    overrides = ["+exp=digits_wn", "scale=smoke", "threads=1"]
    with serving() as other:
        process = python("-m", "wnrepro.train", *overrides, **other.variables)
        (config,) = expand([*overrides, f"runs.root={tmp_path}/again", "tracker=none"]).configs
        train(config)
        collect([tmp_path / "again"], tmp_path / "results")
        assert upload(**server.variables)[0] == 0
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 0, stderr
    (name,) = server.history
    assert other.history.keys() == server.history.keys()
    *rows, last = rows_at(other, name)
    curves = last.pop("curves")  # its picture, which the tables do not hold
    assert curves["_type"] == "image-file"
    assert rows_at(server, name) == [*rows, last]
    theirs, ours = other.described[name], server.described[name]
    same = ("groupName", "displayName", "jobType", "project", "entity")
    assert [theirs[key] for key in same] == [ours[key] for key in same]
    assert set(ours["tags"]) == set(theirs["tags"]) - {"smoke"}
    ours, theirs = config_at(server, name), config_at(other, name)
    del ours["provenance"], theirs["data"]["root"]
    del theirs["data"]["whitening_dtype"]  # an added key with its first value
    assert theirs.items() >= ours.items()
    assert theirs.keys() - ours.keys() == {"task", "scale", "device", "threads", "compile"}
    assert server.summary[name].items() > {"status": "done", **last}.items()


def test_a_second_upload_sends_nothing(
    runs: dict[str, CollectedRun], server: Server, upload: Callable[..., Any]
) -> None:
    (first, *_) = runs.values()
    assert upload(first.row["identity"], **server.variables)[0] == 0
    assert epochs(server) == {wandb_id(first): whole(runs)[wandb_id(first)]}
    assert upload("digits_*", **server.variables)[0] == 0
    assert epochs(server) == whole(runs)
    requests, uploaded = server.requests, list(server.uploaded)
    code, stdout, stderr = upload(**server.variables)
    assert (code, stderr) == (0, "")
    assert stdout.endswith("/me/wnrepro: 0 runs sent in 0 s, 6 were there, 0 failed\n")
    assert server.requests - requests < 6  # to log in and to ask what there is
    assert (epochs(server), server.uploaded, server.resent) == (whole(runs), uploaded, [])


def test_an_upload_that_breaks_off_goes_on(
    runs: dict[str, CollectedRun],
    server: Server,
    python: Callable[..., subprocess.Popen[str]],
    upload: Callable[..., Any],
) -> None:
    code = f"{CODE}\nupload.AT_ONCE = 2\nsys.exit(main([]))"
    for count, number in ((1, signal.SIGINT), (3, signal.SIGKILL)):
        server.holds_after = count
        process = python("-c", code, **server.variables)
        deadline = time.monotonic() + 60
        while len(server.finished()) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=30)
        assert stdout == ""
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert stderr == "stopped: repeat the command, and it goes on\n"
    server.holds_after = None
    finished = len(server.finished())
    assert finished < len(runs)
    code, stdout, stderr = upload(**server.variables)
    assert (code, stderr) == (0, "")
    assert f", {finished} were there, 0 failed" in stdout
    assert (epochs(server), server.resent) == (whole(runs), [])


def test_a_run_that_w_and_b_followed_in_part_is_completed(
    runs: dict[str, CollectedRun],
    server: Server,
    python: Callable[..., subprocess.Popen[str]],
    upload: Callable[..., Any],
) -> None:
    key = next(iter(runs))
    live = python("-c", LIVE, key, "12", "interrupted", **server.variables)
    assert live.communicate(timeout=60)[1].startswith("W&B: http")
    assert server.epochs() == list(range(1, 13))
    _, stdout, _ = upload("--list", key, **server.variables)
    assert stdout.split(maxsplit=1)[1] == "12 of 30 epochs there\n"
    assert upload(key, **server.variables)[0] == 0
    assert (server.epochs(), server.resent) == (list(range(1, 31)), [])
    assert server.summary[wandb_id(runs[key])]["status"] == "done"


@pytest.mark.parametrize("first", ["upload", "sync"])
def test_a_run_left_offline_is_there_once(
    tmp_path: Path,
    runs: dict[str, CollectedRun],
    server: Server,
    python: Callable[..., subprocess.Popen[str]],
    upload: Callable[..., Any],
    first: str,
) -> None:
    key = next(iter(runs))
    live = python("-c", LIVE, key, "30", "done")
    command = shlex.split(live.communicate(timeout=60)[1].rpartition("&& ")[2])[1:]
    assert command[:3] == ["-m", "wandb", "sync"]
    for step in (first, {"upload": "sync", "sync": "upload"}[first]):
        if step == "sync":
            # wandb itself warns of things to come
            python("-W", "default", *command, **server.variables).communicate(timeout=60)
        else:
            assert upload(key, **server.variables)[0] == 0
        assert (server.epochs(), server.resent) == (list(range(1, 31)), [])
    assert server.finished() == [wandb_id(runs[key])]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "you are not logged in to W&B: do so with `python -m wandb login`, or set"),
        (
            KEY | {"WANDB_MODE": "offline"},
            "W&B: offline, as $WANDB_MODE=offline says, so nothing can be sent: put WANDB_MODE=on",
        ),
        (KEY | {"WANDB_MODE": "disabled"}, "W&B: off, as $WANDB_MODE=disabled says, so nothing"),
        ({"WANDB_API_KEY": "abc"}, "you are not logged in to W&B (WANDB_API_KEY invalid: "),
        ({"WANDB_MODE": "of"}, "W&B cannot be used: $WANDB_MODE is 'of': choose from online"),
        (
            KEY | {"WANDB_BASE_URL": "http://127.0.0.1:9"},
            "W&B's server does not answer (",
        ),
    ],
)
def test_one_line_says_why_nothing_is_sent(
    runs: dict[str, CollectedRun],
    upload: Callable[..., tuple[int, str, str]],
    variables: dict[str, str],
    expected: str,
) -> None:
    code, stdout, stderr = upload(code="upload.REQUEST_TIMEOUT_SEC = 1.0", **variables)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert stderr.startswith(f"error: {expected}")


def test_without_a_login_a_list_still_says_which_runs_are_meant(
    runs: dict[str, CollectedRun], upload: Callable[..., tuple[int, str, str]]
) -> None:
    key = next(iter(runs))
    code, stdout, stderr = upload("--list", key)
    assert code == 1
    assert stdout.split() == [f"digits_bn/seed{runs[key].row['seed']}-{key}", "unknown"]
    assert stderr.startswith("error: you are not logged in")


def test_a_login_that_is_refused(
    runs: dict[str, CollectedRun], server: Server, upload: Callable[..., Any]
) -> None:
    server.stranger = True
    code, stdout, stderr = upload(**server.variables)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "relogin" in stderr


def test_runs_that_fail_are_named_and_stop_no_other(
    runs: dict[str, CollectedRun], server: Server, upload: Callable[..., Any]
) -> None:
    """One that the server does not make, and one whose rows it loses: wandb does not say so."""
    refused, deaf, *others = map(wandb_id, runs.values())
    server.refused, server.deaf = {refused}, {deaf}
    code, stdout, stderr = upload(**server.variables)
    assert code == 1
    assert stdout.endswith(" s, 0 were there, 2 failed\n")
    lines = stderr.splitlines()
    assert len(lines) == 2
    for run, line, why in zip(
        runs.values(), lines, ("not allowed", "0 of 30 epochs"), strict=False
    ):
        assert line.startswith("error: digits_")
        assert run.row["identity"] in line
        assert why in line
    assert epochs(server) == {key: whole(runs)[key] for key in others} | {deaf: []}


def test_after_failures_in_a_row_the_rest_is_not_tried(
    runs: dict[str, CollectedRun], server: Server, upload: Callable[..., Any]
) -> None:
    server.refused = set(whole(runs))
    code = "upload.AT_ONCE, upload.FAILURES_IN_A_ROW = 1, 2"
    returned, stdout, stderr = upload(code=code, **server.variables)
    assert returned == 1
    assert stdout.endswith("0 were there, 6 failed\n")
    assert stderr.count("not allowed") in (2, 3)  # one may have begun meanwhile
    assert stderr.count("not tried after 2 failures in a row") in (3, 4)


def test_other_numbers_at_the_server_are_not_mixed_with_these(
    tmp_path: Path, runs: dict[str, CollectedRun], server: Server, upload: Callable[..., Any]
) -> None:
    key = next(iter(runs))
    assert upload(key, **server.variables)[0] == 0
    before = epochs(server)
    loss = float(runs[key].row["train_loss"])
    other = {"train_loss": str(math.nextafter(loss, 9) * (1 + 1e-6))}
    run = runs[key]
    curve = [*run.curve[:-1], run.curve[-1] | other]
    write_tables(tmp_path / "results", {key: replace(run, row=run.row | other, curve=curve)})
    code, stdout, stderr = upload(**server.variables)
    assert code == 1
    assert stdout.endswith("/me/wnrepro: 0 runs sent in 0 s, 0 were there, 1 failed\n")
    assert f"{key}: train_loss of epoch 30 is {loss} there and {other['train_loss']}" in stderr
    assert epochs(server) == before


def test_an_unknown_name_and_missing_tables(
    tmp_path: Path, runs: dict[str, CollectedRun], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["digits_bm", "--results", str(tmp_path / "results")]) == 1
    assert capsys.readouterr().err == (
        "error: no run is called 'digits_bm' (did you mean digits_bn?): --list shows them all\n"
    )
    assert main(["--results", str(tmp_path / "nowhere")]) == 1
    assert "python scripts/collect.py collects them" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut off", "an epoch is missing", "a number is none"])
def test_a_damaged_table_is_one_line(
    tmp_path: Path,
    runs: dict[str, CollectedRun],
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    path = tmp_path / "results" / CURVES_FILE
    content = path.read_bytes()
    lines = gzip.decompress(content).decode().splitlines(keepends=True)
    if damage == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "an epoch is missing":
        path.write_bytes(gzip.compress("".join(lines[:5] + lines[6:]).encode()))
    else:
        cells = lines[5].split(",")
        path.write_bytes(
            gzip.compress(
                "".join(
                    [
                        *lines[:5],
                        ",".join(["x" if n == 3 else c for n, c in enumerate(cells)]),
                        *lines[6:],
                    ]
                ).encode()
            )
        )
    assert main(["--results", str(tmp_path / "results")]) == 1
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert stderr.startswith("error: ")
    assert CURVES_FILE in stderr
