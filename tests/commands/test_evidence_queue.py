"""The queue of sweeps: what is collected is not run again, wherever it was made."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.evidence import main
from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.commands import evidence as queue
from wnrepro.commands.composition import expand
from wnrepro.commands.estimate import Machine
from wnrepro.commands.evidence import Entry, go_on, states
from wnrepro.config import Config, as_dict
from wnrepro.cost import Cost
from wnrepro.errors import ConfigError
from wnrepro.runs.collection import Report, collect
from wnrepro.runs.identity import identity, run_directory
from wnrepro.runs.tables import finished_runs, read_tables
from wnrepro.train import Stopped, train
from wnrepro.training import AfterStep, Epoch, SupervisedTraining

SMALL = ("+exp=digits_wn", "epochs=1", "data.train_size=600", "model.width=8", "tracker=none")


def test_the_queue_composes_and_names_each_sweep_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "_cost", lambda self, config: Cost(1e15, 10.0))
    found = list(states(Path("results")))
    assert [state.entry for state in found] == list(queue.QUEUE)
    assert all(0 <= state.finished <= state.total > 0 for state in found)
    assert all((state.flop > 0) == (state.seconds > 0) == (state.left > 0) for state in found)
    assert len({entry.overrides for entry in queue.QUEUE}) == len(queue.QUEUE)


def test_each_run_of_the_queue_is_evidence_for_something() -> None:
    for entry in queue.QUEUE:
        for config in expand(entry.overrides).configs:
            known = [e.name for e in EVIDENCE.values() if e.admits(as_dict(config))]
            assert known, (entry.what, config.norm, config.seed)


def test_it_goes_on_where_the_tables_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    entries = [
        Entry("one seed", (*SMALL, "seed=0")),
        Entry("too long", (*SMALL, "seed=5", "epochs=2000")),
        Entry("three seeds", (*SMALL, "seed=0,1,2")),
    ]
    monkeypatch.setattr(queue, "QUEUE", entries[:2])
    assert go_on(train, "cpu", results, [f"runs.root={tmp_path}/here"], limit_days=1e-5) == 0
    assert "left out: too long: 1 runs, about" in capsys.readouterr().out
    monkeypatch.setattr(queue, "QUEUE", entries)
    assert [state.finished for state in states(results)] == [1, 0, 1]
    assert go_on(train, "cpu", results, [f"runs.root={tmp_path}/there"], limit_days=1e-5) == 0
    assert [state.finished for state in states(results)] == [1, 0, 3]
    assert len(list(tmp_path.glob("here/*/*"))) == 1
    assert len(list(tmp_path.glob("there/*/*"))) == 2  # not the one that is collected
    before = read_tables(results)
    assert go_on(train, "cpu", results, [f"runs.root={tmp_path}/nowhere"], limit_days=1e-5) == 0
    assert read_tables(results) == before
    assert not (tmp_path / "nowhere").exists()


def test_other_runs_in_the_folder_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that cannot be read stops the queue."""
    stranger = tmp_path / "runs" / "digits_wn" / "seed9-0123456789"
    stranger.mkdir(parents=True)
    (stranger / "status.json").write_text("{")
    monkeypatch.setattr(queue, "QUEUE", [Entry("one", (*SMALL, "seed=0"))])
    results = tmp_path / "results"
    assert go_on(train, "cpu", results, [f"runs.root={tmp_path}/runs"]) == 0
    assert len(read_tables(results)) == 1


def test_what_has_begun_stands_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And grows, until it has finished; the rest is all that it still takes."""
    entry = Entry("one", (*SMALL, "seed=0", "epochs=4"))
    monkeypatch.setattr(queue, "QUEUE", [entry])
    monkeypatch.setattr(Machine, "_cost", lambda self, config: Cost(4e9, 8.0))
    (config,) = expand([*entry.overrides, f"runs.root={tmp_path}/runs"]).configs
    results, directory = tmp_path / "results", run_directory(as_dict(config))

    def collect_now() -> Report:
        return collect([tmp_path / "runs"], results, in_progress=lambda config: True)

    for epochs in (1, 3):
        stop_after(config, epochs)
        assert list(collect_now().runs) == [identity(as_dict(config))]
        (state,) = states(results)
        assert (state.finished, state.begun, state.left) == (0, 1, 1)
        assert (state.flop, state.seconds) == (4e9 - epochs * 1e9, 8 - 2 * epochs)
    shutil.copytree(directory, tmp_path / "old" / directory.name)
    assert finished_runs(results) == {}
    assert go_on(train, "cpu", results, [f"runs.root={tmp_path}/runs"]) == 0
    assert len(finished_runs(results)) == 1
    again = collect([tmp_path], results, in_progress=lambda config: True)
    assert (again.known, again.grown, again.problems) == (1, [], [])


def stop_after(config: Config, epochs: int) -> None:
    """Train on, and stop before the end as Ctrl-C does, once so many epochs are done."""
    epoch = SupervisedTraining._train_epoch

    def train_epoch(self: SupervisedTraining, after_step: AfterStep | None) -> Epoch:
        if self.epoch == epochs:
            raise Stopped
        return epoch(self, after_step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedTraining, "_train_epoch", train_epoch)
        assert train(config).state == "interrupted"


def test_a_sweep_that_fails_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Entry("damaged", (*SMALL, "seed=0"))
    (config,) = expand([*bad.overrides, f"runs.root={tmp_path}/runs"]).configs
    directory = run_directory(as_dict(config))
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text("{")
    monkeypatch.setattr(queue, "QUEUE", [bad, Entry("good", (*SMALL, "seed=1"))])
    assert go_on(train, "cpu", tmp_path / "results", [f"runs.root={tmp_path}/runs"]) == 1
    assert not list(tmp_path.glob("runs/*/seed1-*"))


def test_other_runs_do_not_get_into_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry("one", (*SMALL, "seed=0")), Entry("two", (*SMALL, "seed=1"))]
    monkeypatch.setattr(queue, "QUEUE", entries)
    overrides = [f"runs.root={tmp_path}/runs", "scale=smoke", "epochs=2"]
    with pytest.raises(ConfigError, match=r"^epochs=2 changes what is computed \(one\)"):
        go_on(train, "cpu", tmp_path / "results", overrides)
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Machine, "_cost", lambda self, config: Cost(24e15, 5e5))
    monkeypatch.setattr(sys, "argv", ["evidence.py", "--results", str(tmp_path), "--list"])
    assert main() == 0
    heading, first, *rest = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["finished", "begun", "PFLOP", "here"]
    assert first.split()[:4] == ["0", "of", "15", "360"]
    assert " days  table 1 and figure 1" in first
    assert len(rest) == len(queue.QUEUE) - 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--list", "epochs=3"), "leave the KEY=VALUE out"),
        (("tracker=none", "--device", "cpu", "epochss=3"), "error: epochss is no key"),
    ],
)
def test_the_command_refuses_a_typo(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    script = [sys.executable, "scripts/evidence.py", "--results", str(tmp_path), *arguments]
    refused = subprocess.run(script, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert said in refused.stderr.splitlines()[-1]
