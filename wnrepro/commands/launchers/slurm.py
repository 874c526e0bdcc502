"""A sweep on a SLURM cluster: one job array, one task per run, submitted through submitit.

How a task can end, and how its run goes on:

- SIGUSR2 (near the time limit, or preempted): the run writes its checkpoint; submitit queues the
  task again.
- SIGTERM (preempted, or cancelled): the run writes its checkpoint and the task waits for its end,
  since SLURM queues only those again that it had to kill.
- Killed, or its node lost: SLURM queues it again, or the user does by repeating the sweep.

Each time the run finds its own checkpoint in its directory. Which runs are queued already stands
beside the tasks' logs: repeating a sweep waits for its tasks and does not submit them twice.
"""

import getpass
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from wnrepro.commands.launchers.job import Outcome, Progress, Train, outcome
from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError, RunError
from wnrepro.replacement import replace_file
from wnrepro.runs.identity import run_directory
from wnrepro.runs.interruption import Interruption
from wnrepro.runs.status import read_status

log = logging.getLogger(__name__)

POLL_SEC = 1.0, 30.0
"""How often squeue is asked: at first, and later; one call for all tasks is kind to a cluster."""

ANSWER_SEC = 10.0
"""How long the outcome of a task may take to be seen here, on a shared file system."""

TERMINATION_SEC = 600.0
"""How long a task waits after SIGTERM for SLURM to end it."""


class Task:
    """What a task of the array does; submitit pickles it with its config."""

    def __init__(self, train: Train) -> None:
        self.train = train
        self.command = sys.argv  # for the manifest: the task's own is submitit's

    def __call__(self, config: Config) -> None:
        from submitit import JobEnvironment

        environment = JobEnvironment()
        answer = _answer(environment.paths.folder, environment.job_id)
        answer.unlink(missing_ok=True)  # of an earlier attempt
        logging.basicConfig(format="%(message)s")
        logging.getLogger("wnrepro").setLevel(logging.DEBUG)  # a line per epoch
        sys.argv = self.command
        result = outcome(self.train, config)
        if result.state == "interrupted":
            _give_way(result)
        replace_file(answer, json.dumps(asdict(result)) + "\n")

    def checkpoint(self, config: Config) -> Any:
        """What submitit queues after SIGUSR2: the same, since the run knows how far it got."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, config)


def _give_way(result: Outcome) -> None:
    """The checkpoint is written; end such that SLURM queues the task again."""
    from submitit.core.utils import UncompletedJobError

    if result.signal == "SIGUSR2":
        # While the run is not under way submitit's handler is installed: it queues the task again
        # and ends this process, or refuses since the task was queued too often.
        try:
            signal.raise_signal(signal.SIGUSR2)
        except UncompletedJobError as error:
            log.error("%s", error)
    elif result.signal == "SIGTERM":
        time.sleep(TERMINATION_SEC)


def launch(
    configs: Sequence[Config], settings: Mapping[str, Any], train: Train, progress: Progress
) -> None:
    """Submit every config that is not queued yet as one array, and wait for all.

    settings: see conf/hydra/launcher/slurm.yaml. On SIGINT or SIGTERM the waiting ends and the
    tasks go on.

    Raises:
        ConfigError: SLURM or submitit refuses the settings.
        RunError: there is no SLURM here, or it does not answer.
    """
    for command in ("sbatch", "squeue", "srun"):
        if shutil.which(command) is None:
            raise RunError(
                f"hydra/launcher=slurm, but there is no `{command}` here: log in to a machine of "
                "the cluster, or use hydra/launcher=local"
            )
    folder = Path(settings["submitit_folder"]).expanduser().absolute()
    queued = queued_before(folder)
    tasks = {k: queued[_name(c)] for k, c in enumerate(configs) if _name(c) in queued}
    if tasks:
        log.info("SLURM: %d runs are queued already", len(tasks))
    new = [k for k in range(len(configs)) if k not in tasks]
    if new:
        ids = _submit([configs[k] for k in new], folder, settings, train)
        tasks |= dict(zip(new, ids, strict=True))
    _wait(configs, tasks, folder, progress)


def _submit(
    configs: Sequence[Config], folder: Path, settings: Mapping[str, Any], train: Train
) -> list[str]:
    """The task of each config, as `ARRAY_INDEX`, queued."""
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    of_any_cluster = {field.name for field in fields(BaseQueueConf)}
    parameters = {
        key if key in of_any_cluster else f"slurm_{key}": value
        for key, value in settings.items()
        if value is not None and key not in ("_target_", "submitit_folder", "max_num_timeout")
    }
    try:
        executor = AutoExecutor(
            folder, cluster="slurm", slurm_max_num_timeout=settings["max_num_timeout"]
        )
        executor.update_parameters(**parameters)
        jobs = executor.map_array(Task(train), configs)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    except (FailedJobError, FailedSubmissionError, ValueError, TypeError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if "error:" in line), lines[0] if lines else "")
        raise ConfigError(f"SLURM refuses hydra.launcher: {said.strip()}") from error
    ids = [job.job_id for job in jobs]
    array = ids[0].partition("_")[0]
    runs = dict(zip(map(_name, configs), ids, strict=True))
    replace_file(folder / f"{array}_tasks.json", json.dumps(runs, indent=2) + "\n")
    log.info("SLURM: %d tasks of job %s, logs in %s", len(ids), array, folder)
    return ids


def queued_before(folder: Path) -> dict[str, str]:
    """The task of each run that an earlier sweep has queued and that has not ended."""
    arrays = sorted(folder.glob("*_tasks.json"), key=lambda path: path.stat().st_mtime)
    queue = _queue() if arrays else {}
    tasks: dict[str, str] = {}
    for path in arrays:
        tasks |= {run: task for run, task in json.loads(path.read_bytes()).items() if task in queue}
    return tasks


def _wait(
    configs: Sequence[Config], tasks: dict[int, str], folder: Path, progress: Progress
) -> None:
    ended: dict[int, float] = {}
    poll, slowest = POLL_SEC
    with Interruption() as interruption:
        while tasks and interruption.requested is None:
            try:
                queue = _queue()
            except RunError as error:
                log.warning("%s; asking again", error)
            else:
                progress.running(sum(queue.get(task) == "RUNNING" for task in tasks.values()))
                for k, task in list(tasks.items()):
                    if task in queue:
                        ended.pop(k, None)
                        continue
                    waited = time.monotonic() - ended.setdefault(k, time.monotonic())
                    result = _read(_answer(folder, task))
                    if result is None and waited > ANSWER_SEC:
                        result = _killed(configs[k], task)
                    if result is not None:
                        del tasks[k]
                        progress.ended(k, result)
            deadline = time.monotonic() + (POLL_SEC[0] if ended else poll)
            while time.monotonic() < deadline and interruption.requested is None:
                time.sleep(0.1)
            poll = min(slowest, poll * 1.1)
    if tasks:
        arrays = " ".join(sorted({task.partition("_")[0] for task in tasks.values()}))
        log.info(
            "SLURM goes on with %d tasks: repeat the command to wait for them, "
            "or stop them with `scancel %s`",
            len(tasks),
            arrays,
        )
    for k in tasks:
        progress.ended(k, Outcome("waiting"))


def _read(answer: Path) -> Outcome | None:
    """What a task says became of its run; None if it has not said."""
    try:
        return Outcome(**json.loads(answer.read_bytes()))
    except FileNotFoundError:
        return None


def _killed(config: Config, task: str) -> Outcome:
    """What became of the run of a task that ended without a word."""
    status = read_status(run_directory(as_dict(config)))
    if status is not None and status.state == "interrupted":
        return Outcome("interrupted", signal=status.signal)
    return Outcome("failed", f"SLURM task {task} was killed (cancelled? out of memory?)")


def _queue() -> dict[str, str]:
    """The state of each of the user's tasks (`ARRAY_INDEX`) that are queued or running.

    `squeue` knows it on every cluster; `sacct`, which submitit asks, needs an accounting database.
    """
    command = ["squeue", "--noheader", "--array", "--format=%i %T", f"--user={getpass.getuser()}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise RunError("SLURM does not answer: squeue took more than a minute") from None
    if result.returncode:
        said = (result.stderr.strip() or "squeue failed").splitlines()[0]
        raise RunError(f"SLURM does not answer: {said}")
    return dict(line.split() for line in result.stdout.splitlines())


def _name(config: Config) -> str:
    """The run's directory below `runs.root`."""
    return "/".join(run_directory(as_dict(config)).parts[-2:])


def _answer(folder: Path, task: str) -> Path:
    return folder / f"{task}_outcome.json"
