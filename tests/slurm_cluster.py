"""A real SLURM of one made-up node, on the loopback address: no root, systemd or database."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol", "scancel")
PACKAGES = "slurm-wlm munge"
DAEMONS = ("slurmd", "slurmctld", "munged")

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
# cred_expire (5 s at least) is also how long a task that is queued again waits; else 120 s.
AuthInfo=socket={state}/munge.sock,cred_expire=5
StateSaveLocation={state}/controller
SlurmdSpoolDir={state}/node
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,bf_continue
PriorityType=priority/basic
# The launcher has to ask for this where a cluster does not do it by itself.
JobRequeue=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
# The node may claim more than this machine has.
SlurmdParameters=config_overrides
SlurmdTimeout=0
InactiveLimit=0
KillWait=3
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 SocketsPerBoard=1 CoresPerSocket=8 RealMemory=16384
PartitionName=first Nodes={host} Default=YES DefaultTime=60 PriorityTier=10 PreemptMode=OFF
PartitionName=spare Nodes={host} DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=3
"""


def missing() -> list[str]:
    """The commands that are not installed."""
    return [name for name in COMMANDS if shutil.which(name, path=_path()) is None]


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Start the cluster, give the environment for its commands, stop it with all its jobs."""
    state = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets want short paths
    env = os.environ | {"PATH": _path(), "SLURM_CONF": str(state / "slurm.conf")}
    for directory in ("controller", "node"):
        (state / directory).mkdir()
    (state / "slurm.conf").write_text(
        CONF.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            state=state,
            controller_port=_free_port(),
            node_port=_free_port(),
        )
    )
    try:
        _start(state, env)
        yield env
    finally:
        _stop(state, env)
        shutil.rmtree(state, ignore_errors=True)


def _start(state: Path, env: dict[str, str]) -> None:
    key = state / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    files = {"socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={state}/munge.{suffix}" for option, suffix in files.items()]
    _run(env, "munged", "--force", f"--key-file={key}", *options)
    (state / "munge.pid").rename(state / "munged.pid")
    _run(env, "slurmctld", "-i")
    _run(env, "slurmd")
    deadline = time.monotonic() + 60
    while "idle" not in _run(env, "sinfo", "--noheader", "--format=%T", check=False):
        if time.monotonic() > deadline:
            logs = [path.read_text()[-2000:] for path in state.glob("*.log")]
            raise RuntimeError("SLURM did not start:\n" + "\n".join(logs))
        time.sleep(0.1)


def _stop(state: Path, env: dict[str, str]) -> None:
    _run(env, "scancel", f"--user={getpass.getuser()}", check=False)
    deadline = time.monotonic() + 20
    while _run(env, "squeue", "--noheader", check=False) and time.monotonic() < deadline:
        time.sleep(0.1)
    for daemon in DAEMONS:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid = int((state / f"{daemon}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            for _ in range(100):
                time.sleep(0.1)
                os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)


def _run(env: dict[str, str], *command: str, check: bool = True) -> str:
    result = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    if check and result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout.strip()


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
