"""Sweeps through a real SLURM: whatever ends a task, its run goes on and ends the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import slurm_cluster

CHECKOUT = Path(__file__).resolve().parents[1]

RUN = ["tracker=none", "model.width=32", "epochs=80"]
GRID = ["norm=wn,plain", "seed=0,1", *RUN]
SLURM = [
    "hydra/launcher=slurm",
    "hydra.launcher.gpus_per_node=0",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=1",
]
Env = dict[str, str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Env]:
    """The environment in which SLURM's commands reach the cluster."""
    if missing := slurm_cluster.missing():
        reason = f"no SLURM here ({', '.join(missing)}): install {slurm_cluster.PACKAGES}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with slurm_cluster.running() as env:
        yield env


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wnrepro.train", "-m", *arguments]


def start(cwd: Path, env: Env, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments, *SLURM),
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=300)
    assert "Traceback" not in stderr
    return process.returncode, stdout, stderr


def tasks(cwd: Path) -> dict[str, str]:
    """The task of each run of the last array, by `ARM/seedN`."""
    arrays = sorted(cwd.glob("runs/.slurm/*_tasks.json"), key=lambda path: path.stat().st_mtime)
    said = json.loads(arrays[-1].read_text()) if arrays else {}
    return {run.rpartition("-")[0]: task for run, task in said.items()}


def status(cwd: Path, run: str) -> dict:
    found = list(cwd.glob(f"runs/{run}-*/status.json"))
    return json.loads(found[0].read_text()) if found else {"state": "none", "epoch": 0}


def epochs_begun(cwd: Path, run: str) -> bool:
    return status(cwd, run)["epoch"] >= 3


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this took too long"
        time.sleep(0.02)


def slurm(env: Env, *arguments: str) -> str:
    result = subprocess.run(arguments, env=env, capture_output=True, text=True, check=True)
    return result.stdout


def restarts(env: Env, task: str) -> int:
    shown = slurm(env, "scontrol", "show", "job", task)
    return int(shown.partition("Restarts=")[2].split()[0])


def metrics(cwd: Path) -> dict[str, bytes]:
    return {
        f"{path.parent.parent.name}/{path.parent.name}": path.read_bytes()
        for path in sorted(cwd.glob("runs/*/*/metrics.csv"))
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """metrics.csv of each run of a local sweep."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    arguments = [*GRID, "hydra.launcher.runs_at_once=2"]
    subprocess.run(command(*arguments), cwd=cwd, check=True, capture_output=True)
    assert len(metrics(cwd)) == 4
    return metrics(cwd)


def test_a_preempted_task_and_a_killed_one_change_no_result(
    tmp_path: Path, cluster: Env, undisturbed: dict[str, bytes]
) -> None:
    preempted, killed = "digits_wn/seed0", "digits_plain/seed1"
    process = start(tmp_path, cluster, *GRID)
    wait_until(lambda: epochs_begun(tmp_path, preempted))
    slurm(cluster, "scancel", "--signal=USR2", tasks(tmp_path)[preempted])
    wait_until(lambda: status(tmp_path, preempted)["state"] == "interrupted")
    assert status(tmp_path, preempted)["signal"] == "SIGUSR2"
    wait_until(lambda: epochs_begun(tmp_path, killed))
    os.kill(status(tmp_path, killed)["pid"], signal.SIGKILL)
    code, stdout, _ = finish(process)
    assert code == 1
    assert "3 of 4 runs have finished" in stdout
    (line,) = [line for line in stdout.splitlines() if killed in line]
    assert line.split()[0] == "failed"
    assert "was killed" in line
    first = tasks(tmp_path)
    assert {task.partition("_")[0] for task in first.values()} == {first[killed].partition("_")[0]}
    assert sorted(task.partition("_")[2] for task in first.values()) == ["0", "1", "2", "3"]
    assert restarts(cluster, first[preempted]) == 1

    code, stdout, _ = finish(start(tmp_path, cluster, *GRID))
    assert code == 0
    assert "4 of 4 runs have finished" in stdout
    assert list(tasks(tmp_path)) == [killed], "only the killed one was submitted again"
    assert metrics(tmp_path) == undisturbed
    for run in preempted, killed:
        (manifest,) = tmp_path.glob(f"runs/{run}-*/manifest.json")
        assert len(json.loads(manifest.read_text())["resumed"]) == 1


def test_a_partition_that_takes_its_nodes_back(
    tmp_path: Path, cluster: Env, undisturbed: dict[str, bytes]
) -> None:
    run = "digits_wn/seed1"
    arguments = ["norm=wn", "seed=1", *RUN, "hydra.launcher.partition=spare"]
    process = start(tmp_path, cluster, *arguments)
    wait_until(lambda: epochs_begun(tmp_path, run))
    options = ["--parsable", "--partition=first", "--exclusive", "--output=/dev/null"]
    slurm(cluster, "sbatch", *options, "--wrap=sleep 1")
    wait_until(lambda: status(tmp_path, run)["state"] == "interrupted")
    assert status(tmp_path, run)["signal"] == "SIGTERM"
    code, stdout, _ = finish(process)
    assert code == 0, stdout
    assert restarts(cluster, tasks(tmp_path)[run]) == 1
    ((name, content),) = metrics(tmp_path).items()
    assert undisturbed[name] == content


def test_a_time_limit_is_passed_as_often_as_allowed(tmp_path: Path, cluster: Env) -> None:
    run = "digits_wn/seed0"
    # SLURM looks every 30 s and warns up to 30 s early: USR2 comes 20 to 50 s after the start, and
    # never while Python is still starting.
    settings = ["timeout_min=1", "signal_delay_s=10", "max_num_timeout=1"]
    arguments = ["tracker=none", "epochs=100000", *(f"hydra.launcher.{each}" for each in settings)]
    code, stdout, stderr = finish(start(tmp_path, cluster, "seed=0", *arguments))
    assert code == 1
    assert "now: 1 interrupted" in stdout
    assert "repeat the command" in stderr
    assert restarts(cluster, tasks(tmp_path)[run]) == 1
    assert status(tmp_path, run)["state"] == "interrupted"
    assert status(tmp_path, run)["epoch"] > 0


def test_who_stops_waiting_can_wait_again(
    tmp_path: Path, cluster: Env, undisturbed: dict[str, bytes]
) -> None:
    process = start(tmp_path, cluster, *GRID)
    wait_until(lambda: epochs_begun(tmp_path, "digits_wn/seed0"))
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = finish(process)
    assert code == 1
    assert "0 of 4 runs have finished; now: 4 waiting" in stdout
    assert "SLURM goes on with 4 tasks" in stderr
    array = next(iter(tasks(tmp_path).values())).partition("_")[0]
    assert f"scancel {array}" in stderr

    code, stdout, stderr = finish(start(tmp_path, cluster, *GRID))
    assert code == 0
    assert "4 runs are queued already" in stderr
    assert len(list(tmp_path.glob("runs/.slurm/*_tasks.json"))) == 1
    assert metrics(tmp_path) == undisturbed


def test_a_cancelled_array_is_interrupted_not_failed(tmp_path: Path, cluster: Env) -> None:
    process = start(tmp_path, cluster, "norm=wn,plain", "tracker=none", "epochs=100000")
    runs = ["digits_wn/seed0", "digits_plain/seed0"]
    wait_until(lambda: all(epochs_begun(tmp_path, run) for run in runs))
    slurm(cluster, "scancel", next(iter(tasks(tmp_path).values())).partition("_")[0])
    code, stdout, stderr = finish(process)
    assert code == 1
    assert "now: 2 interrupted" in stdout
    assert "repeat the command" in stderr


def test_a_failing_run_is_listed_and_a_cluster_can_have_a_file_of_its_own(
    tmp_path: Path, cluster: Env, undisturbed: dict[str, bytes]
) -> None:
    checkout = tmp_path / "checkout"
    for part in ("conf", "wnrepro"):
        shutil.copytree(CHECKOUT / part, checkout / part)
    text = (checkout / "conf/hydra/launcher/slurm.yaml").read_text()
    for line, mine in (
        ("partition: null", "partition: spare"),
        ("gpus_per_node: 1", "gpus_per_node: 0"),
        ("mem_gb: 16", "mem_gb: 1"),
        ("setup: null", "setup: [export SEEN_BY=the_task]"),
    ):
        assert f"\n{line}\n" in text
        text = text.replace(f"\n{line}\n", f"\n{mine}\n")
    (checkout / "conf/hydra/launcher/mycluster.yaml").write_text(text)
    blocked = checkout / "runs" / next(run for run in undisturbed if "plain/seed0" in run)
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file stands where the run's directory should be")
    result = subprocess.run(
        command("norm=wn,plain", "seed=0", *RUN, "hydra/launcher=mycluster"),
        cwd=checkout,
        env=cluster,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "1 of 2 runs have finished" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if blocked.name in line]
    assert line.split()[0] == "failed"
    assert "cannot write the run directory" in line
    (log,) = checkout.glob("runs/.slurm/*_0_0_log.err")
    assert "epoch 80/80, error" in log.read_text()
    (script,) = checkout.glob("runs/.slurm/*_submission.sh")
    assert "--partition=spare" in script.read_text()
    assert "export SEEN_BY=the_task" in script.read_text()


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("hydra.launcher.partition=nosuch", "invalid partition"),
        ("hydra.launcher.timeout_min=soon", "timeout_min"),
        ("hydra.launcher.partitio=first", "partitio"),
        ("hydra.launcher.additional_parameters={nosuch: 1}", "nosuch"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(
    tmp_path: Path, cluster: Env, mistake: str, said: str
) -> None:
    process = subprocess.run(
        command("seed=0,1", "tracker=none", *SLURM, mistake),
        cwd=tmp_path,
        env=cluster,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    last = process.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.glob("runs/digits*"))


def test_without_slurm_one_line_says_what_to_do(tmp_path: Path) -> None:
    process = subprocess.run(
        command("seed=0,1", "tracker=none", *SLURM),
        cwd=tmp_path,
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert "there is no `sbatch` here" in process.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
