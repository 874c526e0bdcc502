"""What was run, by which code, on which machine: `manifest.json`."""

import json
import logging
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from wnrepro.errors import RunError
from wnrepro.replacement import replace_file
from wnrepro.runs.identity import differences, identity

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.yaml"
"""The resolved config, for people; the manifest is the record."""
FORMAT = 1
"""Version of the manifest's layout; a reader refuses a higher one."""

_PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "wandb", "wnrepro")
_warn_once = cache(logging.getLogger(__name__).warning)
_CHECKOUT = Path(__file__).resolve().parents[2]
_MAX_DIFFERENCES = 3
_INSTRUCTIONS = {
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512_vnni": "AVX512-VNNI",
    "avx2": "AVX2",
}
"""What decides how fast a CPU trains, best first: the flag in /proc/cpuinfo and our name of it."""
_PROCESSOR_KEYS = ("cpu_family", "cpu_model", "cpu_stepping", "cpu_instructions")


def write_manifest(
    directory: Path,
    config: Mapping[str, Any],
    command: Sequence[str],
    *,
    device: str,
    threads: int,
    gpu: str | None = None,
) -> dict[str, Any]:
    """Write `manifest.json`, or where there is one add to its list `resumed` that a run went on.

    Args:
        directory: the run's directory.
        config: the resolved config, a nested dict of plain values.
        command: the command line, as in `sys.argv`.
        device: what torch computes on, as `cpu` or `cuda:0`.
        threads: how many threads torch uses.
        gpu: name of the GPU, if one is used.

    Returns:
        The whole manifest.

    Raises:
        RunError: the directory holds a run of another config, or cannot be written.
    """
    occasion = {
        "time": utc_now(),
        "command": list(command),
        "commit": None,
        "dirty": None,
        **_git_state(),
        "versions": _versions(),
        "hardware": _hardware(gpu),
        "device": device,
        "threads": threads,
    }
    manifest = read_manifest(directory)
    if manifest is None:
        manifest = {
            "format": FORMAT,
            "identity": identity(config),
            "config": dict(config),
            **occasion,
            "resumed": [],
        }
    else:
        refuse_other(directory / MANIFEST_FILE, manifest["config"], config)
        manifest["resumed"].append(occasion)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    replace_file(directory / MANIFEST_FILE, text + "\n")
    return manifest


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of the run in `directory`; None where there is none.

    Raises:
        RunError: the file cannot be read, is no manifest, or is of a later format.
    """
    path = Path(directory) / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_bytes())
        if not manifest["format"] <= FORMAT:
            raise ValueError(f"its format {manifest['format']} is newer than {FORMAT}")
        if not isinstance(manifest["config"], dict) or not isinstance(manifest["resumed"], list):
            raise TypeError("it lacks a config or the list of resumptions")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{path} is not the manifest of a run ({error}); delete the directory to start again"
        ) from error
    return manifest


def refuse_other(path: Path, recorded: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise RunError, which names what differs, unless both configs compute the same."""
    differing = differences(recorded, config)
    if differing:
        shown = "; ".join(
            f"{key} is {old!r} there and {new!r} here"
            for key, old, new in differing[:_MAX_DIFFERENCES]
        )
        more = len(differing) - _MAX_DIFFERENCES
        raise RunError(
            f"{path} is of another config: {shown}"
            + (f"; and {more} more" if more > 0 else "")
            + "; use another runs.root or delete that directory"
        )


def utc_now() -> str:
    """The time in UTC to the second, as `2026-01-31T12:00:00+00:00`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git_state() -> dict[str, Any]:
    """`commit` and `dirty` of the checkout this code runs from; nothing where it is none.

    Dirty counts only what is computed with: results and notes change during a long sweep.
    """

    def git(*arguments: str) -> str:
        # No optional locks: runs side by side would get in each other's way.
        command = ["git", "--no-optional-locks", "-C", str(_CHECKOUT), *arguments]
        # Not $GIT_DIR and the like, which name another repository; safe.directory may be set by
        # $GIT_CONFIG_COUNT.
        kept = {k: v for k, v in os.environ.items() if not re.match("GIT_(?!CONFIG_)", k)}
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10, env=kept
        ).stdout.strip()

    try:
        # A package installed into an environment inside somebody's repository is not of it.
        if Path(git("rev-parse", "--show-toplevel")).resolve() == _CHECKOUT:
            commit = git("rev-parse", "HEAD")
            changes = ("status", "--porcelain", "--untracked-files=all")
            changed = git(*changes, "--", "wnrepro", "conf", "pyproject.toml")
            return {"commit": commit, "dirty": bool(changed)}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if (_CHECKOUT / ".git").exists():
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            lines = said.strip().splitlines() or ["git failed"]
            advice = next((line.strip() for line in lines if "safe.directory" in line), "")
            _warn_once(
                "the manifest names no commit: %s%s", lines[0], f"; run {advice}" if advice else ""
            )
    return {}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _hardware(gpu: str | None) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        **processor(),
        "cores": _cores(),
        "memory_gib": _memory_gib(),
        "gpu": gpu,
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """What is known of the CPU; all but `cpu` is None where Linux on x86 does not say it.

    cpu: its name in one line. A cloud's "Intel(R) Xeon(R) Processor" names no processor; so family,
        model and stepping follow, and the best of its instruction sets:
        "Intel(R) Xeon(R) Processor (family 6 model 207 stepping 2, AMX)". Manifests and tables
        from before 2026-12 have the bare name.
    cpu_family, cpu_model, cpu_stepping: numbers of the maker.
    cpu_instructions: of amx_bf16, avx512_bf16, avx512_vnni, avx2 those that it has.
    """
    facts: dict[str, str] = {}
    with suppress(OSError):
        first = cpuinfo.read_text().split("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name") or platform.processor() or platform.machine() or None
    numbers = [facts.get(key, "") for key in ("cpu family", "model", "stepping")]
    if not name or not all(each.isdecimal() for each in numbers):
        return {"cpu": name} | dict.fromkeys(_PROCESSOR_KEYS)
    flags = set(facts.get("flags", "").split())
    instructions = [each for each in _INSTRUCTIONS if each in flags]
    family, model, stepping = map(int, numbers)
    text = f"family {family} model {model} stepping {stepping}"
    text += f", {_INSTRUCTIONS[instructions[0]]}" if instructions else ""
    values = (family, model, stepping, instructions)
    return {"cpu": f"{name} ({text})"} | dict(zip(_PROCESSOR_KEYS, values, strict=True))


def _cores() -> int | None:
    """Cores this process may use: a scheduler gives a job fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gib() -> float | None:
    with suppress(AttributeError, OSError, ValueError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return None
