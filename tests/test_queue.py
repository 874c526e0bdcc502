"""The queue of sweeps: what is collected is not run again, wherever it was made."""

import subprocess
import sys
from pathlib import Path

import pytest

from wnrepro import queue
from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.config import as_dict
from wnrepro.errors import ConfigError
from wnrepro.queue import Entry, go_on, states
from wnrepro.runs.identity import run_directory
from wnrepro.runs.tables import read_tables
from wnrepro.sweep import expand

SMALL = ("+exp=digits_wn", "epochs=1", "data.train_size=600", "model.width=8", "tracker=none")


def test_the_queue_composes_and_names_each_sweep_once() -> None:
    found = list(states(Path("results")))
    assert [state.entry for state in found] == list(queue.QUEUE)
    assert all(0 <= state.collected <= state.total > 0 for state in found)
    assert len({entry.overrides for entry in queue.QUEUE}) == len(queue.QUEUE)


def test_each_run_of_the_queue_is_evidence_for_something() -> None:
    for entry in queue.QUEUE:
        for config in expand(entry.overrides).configs:
            known = [e.name for e in EVIDENCE.values() if e.admits(as_dict(config))]
            assert known, (entry.what, config.norm, config.seed)


def test_it_goes_on_where_the_tables_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    entries = [
        Entry("one seed", "cpu", (*SMALL, "seed=0")),
        Entry("for a GPU", "cuda", (*SMALL, "seed=5")),
        Entry("three seeds", "cpu", (*SMALL, "seed=0,1,2")),
    ]
    monkeypatch.setattr(queue, "QUEUE", entries[:2])
    assert go_on("cpu", results, [f"runs.root={tmp_path}/here"]) == 0
    monkeypatch.setattr(queue, "QUEUE", entries)
    assert [state.collected for state in states(results)] == [1, 0, 1]
    assert go_on("cpu", results, [f"runs.root={tmp_path}/there"]) == 0
    assert [state.collected for state in states(results)] == [1, 0, 3]
    assert len(list(tmp_path.glob("here/*/*"))) == 1
    assert len(list(tmp_path.glob("there/*/*"))) == 2  # not the one that is collected
    before = read_tables(results)
    assert go_on("cpu", results, [f"runs.root={tmp_path}/nowhere"]) == 0
    assert read_tables(results) == before
    assert not (tmp_path / "nowhere").exists()


def test_other_runs_in_the_folder_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that cannot be read stops the queue."""
    stranger = tmp_path / "runs" / "digits_wn" / "seed9-0123456789"
    stranger.mkdir(parents=True)
    (stranger / "status.json").write_text("{")
    monkeypatch.setattr(queue, "QUEUE", [Entry("one", "cpu", (*SMALL, "seed=0"))])
    results = tmp_path / "results"
    assert go_on("cpu", results, [f"runs.root={tmp_path}/runs"]) == 0
    assert len(read_tables(results)) == 1


def test_a_sweep_that_fails_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Entry("damaged", "cpu", (*SMALL, "seed=0"))
    (config,) = expand([*bad.overrides, f"runs.root={tmp_path}/runs"]).configs
    directory = run_directory(as_dict(config))
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text("{")
    monkeypatch.setattr(queue, "QUEUE", [bad, Entry("good", "cpu", (*SMALL, "seed=1"))])
    assert go_on("cpu", tmp_path / "results", [f"runs.root={tmp_path}/runs"]) == 1
    assert not list(tmp_path.glob("runs/*/seed1-*"))


def test_other_runs_do_not_get_into_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry("one", "cpu", (*SMALL, "seed=0")), Entry("two", "cpu", (*SMALL, "seed=1"))]
    monkeypatch.setattr(queue, "QUEUE", entries)
    overrides = [f"runs.root={tmp_path}/runs", "scale=smoke", "epochs=2"]
    with pytest.raises(ConfigError, match=r"^epochs=2 changes what is computed \(one\)"):
        go_on("cpu", tmp_path / "results", overrides)
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_the_queue_and_refuses_a_typo(tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, "scripts/evidence.py", "--results", str(tmp_path)]
        return subprocess.run([*script, *arguments], capture_output=True, text=True, check=False)

    listed = command("--list")
    assert listed.returncode == 0, listed.stderr
    assert "0 of 15  cuda" in listed.stdout
    assert len(listed.stdout.splitlines()) == 1 + len(queue.QUEUE)
    refused = command("--list", "epochs=3")
    assert refused.returncode == 2
    assert "leave the KEY=VALUE out" in refused.stderr
    refused = command("tracker=none", "--device", "cpu", "epochss=3")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert len(refused.stderr.splitlines()) == 1
