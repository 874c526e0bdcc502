"""Which GPU each process of a sweep sees; whole sweeps: tests/commands/test_local_sweep.py."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from wnrepro.commands.launchers import local
from wnrepro.commands.launchers.job import Outcome
from wnrepro.config import Config
from wnrepro.runs.status import Status, status_now


def note_gpu(config: Config) -> Status:
    """In place of training: leave a file that says which process saw which GPU."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    Path(config.runs.root, f"{config.seed}").write_text(f"{os.getpid()} {gpu}")
    time.sleep(0.5)
    return status_now("done", 1, 1)


class Recorded:
    def __init__(self) -> None:
        self.most = 0
        self.outcomes: dict[int, Outcome] = {}

    def running(self, count: int) -> None:
        self.most = max(self.most, count)

    def ended(self, k: int, outcome: Outcome) -> None:
        assert k not in self.outcomes
        self.outcomes[k] = outcome


@pytest.mark.parametrize(
    ("visible", "settings", "device", "expected"),
    [
        ("3,5", {"runs_per_gpu": 1}, "auto", {"3": 1, "5": 1}),
        ("3,5", {"runs_per_gpu": 2}, "cuda", {"3": 2, "5": 2}),
        ("3", {"runs_per_gpu": 1, "runs_at_once": 2}, "auto", {"3": 2}),
    ],
)
def test_each_process_has_its_gpu(
    tmp_path: Path,
    compose: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    settings: dict[str, int],
    device: str,
    expected: dict[str, int],
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    configs = [compose(f"seed={k}", f"device={device}", f"runs.root={tmp_path}") for k in range(8)]
    recorded = Recorded()
    defaults = {"runs_at_once": None, "runs_per_gpu": 1}
    local.launch(configs, defaults | settings, note_gpu, recorded)
    assert {k: each.state for k, each in recorded.outcomes.items()} == dict.fromkeys(
        range(8), "done"
    )
    seen = {path.read_text() for path in tmp_path.iterdir()}
    gpus = Counter(line.split()[1] for line in seen)
    assert gpus == expected, "one line per process"
    assert recorded.most == sum(expected.values())


def test_runs_on_a_cpu_are_given_no_gpu(
    compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert local._gpus([compose("device=cpu")]) == []
    assert local._gpus([compose("device=cpu"), compose("device=auto")]) == ["3", "5"]


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("-1", []),
        ("", []),
        ("none", []),
        ("NoDevFiles", []),
        ("2,-1,3", ["2"]),
        ("0, 1", ["0", "1"]),
        ("GPU-8932f937,MIG-3a", ["GPU-8932f937", "MIG-3a"]),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them(
    visible: str, seen: list[str], compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local._gpus([compose("device=auto")]) == seen
