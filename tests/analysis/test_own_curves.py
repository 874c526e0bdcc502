"""Any runs are drawn: a line for each setting, beside the paper's, on axes that fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from example import configs, diverges, run, write
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import wnrepro
from wnrepro import tasks
from wnrepro.analysis.lines import lines_of
from wnrepro.analysis.own_curves import draw
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.selection import matching
from wnrepro.analysis.tidy import Results
from wnrepro.arms import ARMS
from wnrepro.runs.__main__ import main
from wnrepro.train import train


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """CIFAR-10 small at two rates for plain; MNIST at many rates, of which some diverge."""
    runs = [
        run(config, diverged=diverges(config))
        for config in configs("cifar_small", "cifar_small_one_rate", "mnist_lr_robustness")
    ]
    return wnrepro.results(write(tmp_path_factory.mktemp("drawn") / "results", runs))


def own(*so_far: int, **changes: Any) -> list[Any]:
    """Runs of wn on digits, seed by seed; in progress where they have come to an epoch."""
    settings = [c for c in configs("digits_arms") if c["norm"]["name"] == "wn"]
    return [
        run({**config, **changes}, so_far=epoch)
        for config, epoch in zip(settings, so_far, strict=False)
    ]


def read(tmp_path: Path, runs: list[Any]) -> Results:
    return wnrepro.results(write(tmp_path / "results", runs))


def names(found: Results, by: str | None = None) -> list[str]:
    return [each.line.name for each in lines_of(found.final, by)]


def drawn(found: Results, by: str | None = None, paper: Paper | None = None) -> Figure:
    return draw(found, lines_of(found.final, by), paper)


def said(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["runs", "plot", *arguments])
    main()
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_line_is_a_setting_and_is_named_by_what_tells_it_apart(found: Results) -> None:
    small = matching(found, ["data=cifar10"])
    assert names(small) == [
        *("plain, lr 0.0003 (5)", "plain, lr 0.003 (5)"),
        *("WN (5)", "BN (5)", "mean-only BN (5)", "WN + mean-only BN (5)"),
    ]
    lines = [each.line for each in lines_of(small.final)]
    assert [line.colour for line in lines[1:3]] == [ARMS["plain"].colour, ARMS["wn"].colour]
    assert lines[0].colour == lines[1].colour
    assert lines[0].marker != lines[1].marker
    assert len({line.place for line in lines}) == 6


def test_colours_go_by_what_is_asked_for(found: Results) -> None:
    wn = matching(found, ["data=mnist", "norm=wn"])
    for by in (None, "lr", "optim.lr", "learning_rate"):
        lines = lines_of(wn.final, by)
        rates = [float(each.coloured.removeprefix("lr ")) for each in lines]
        assert rates == sorted(set(wn.final["learning_rate"]))
        assert len({each.line.colour for each in lines}) == 13
    by_seed = lines_of(matching(wn, ["lr=0.003"]).final, "seed")
    assert [each.line.name for each in by_seed] == [f"seed {seed}" for seed in range(5)]
    assert all(len(each.final) == 1 for each in by_seed)
    assert len({each.line.colour for each in by_seed}) == 5


def test_a_changed_key_without_a_column_is_another_line(tmp_path: Path) -> None:
    (config, *_) = configs("digits_arms")
    other = {**config, "model": {**config["model"], "dropout": 0.5}}
    found = read(tmp_path, [run(config), run(other)])
    assert names(found) == ["dropout 0", "dropout 0.5"]
    assert names(found, "norm") == ["plain, dropout 0", "plain, dropout 0.5"]


def test_axes_fit_the_data(found: Results) -> None:
    for part in (["data=cifar10"], ["data=mnist", "norm=wn"], ["data=mnist", "seed=0"]):
        chosen = matching(found, part)
        for axes in drawn(chosen).axes:
            own = [line for line in axes.lines if line.get_transform() is axes.transData]
            values = np.concatenate([np.asarray(line.get_ydata()) for line in own])
            epochs = np.concatenate([np.asarray(line.get_xdata()) for line in own])
            assert max(epochs) == chosen.curves["epoch"].max() <= axes.get_xlim()[1]
            assert axes.get_xlim()[1] < 1.2 * max(epochs)
            low, high = axes.get_ylim()
            assert max(0.8 * min(values), 0) <= low + 0.01
            assert low <= min(values)
            assert max(values) <= high < 1.2 * max(values)


def test_held_out_errors_are_drawn_where_there_are_no_others(tmp_path: Path) -> None:
    (config, *_) = configs("digits_arms")
    held_out = {**config, "data": {**config["data"], "held_out": 100}}
    both = drawn(read(tmp_path, [run(config), run(held_out)])).axes
    labels = [axes.get_ylabel() for axes in both]
    assert labels == ["training error (%)", "test error (%)", "held-out error (%)"]
    alone = drawn(matching(wnrepro.results(tmp_path / "results"), ["held_out=100"])).axes
    assert [axes.get_ylabel() for axes in alone] == [labels[0], labels[2]]


def test_runs_in_progress_are_drawn_as_far_as_they_are(tmp_path: Path) -> None:
    figure = drawn(read(tmp_path, own(3, 5)))
    assert "2 in progress" in figure.get_suptitle()
    longest = max(np.max(line.get_xdata()) for line in figure.axes[0].lines)
    assert longest == 5
    one = drawn(matching(wnrepro.results(tmp_path / "results"), ["seed=0"]))
    assert "one run a line" in one.get_suptitle()


def test_one_epoch_is_a_point(tmp_path: Path) -> None:
    axes = drawn(read(tmp_path, own(1))).axes[0]
    line = axes.lines[-1]
    assert list(line.get_xdata()) == [1]
    assert line.get_markevery() == [0]


def test_many_lines_are_named_by_their_colour(found: Results) -> None:
    mnist = matching(found, ["data=mnist"])
    texts = [text.get_text() for text in drawn(mnist, "lr").axes[-1].texts]
    assert len(texts) == 13
    assert "lr 0.003" in texts


def test_the_papers_curve_stands_beside_runs_that_have_one(found: Results, theirs: Paper) -> None:
    small = matching(found, ["data=cifar10", "norm=wn,bn"])
    left, right = drawn(small, paper=theirs).axes
    dashed = [
        line for line in left.lines if line.get_linestyle() == "--" and len(line.get_xdata()) > 2
    ]
    assert {line.get_color() for line in dashed} == {ARMS["wn"].colour, ARMS["bn"].colour}
    for line in dashed:
        arm = next(arm for arm in ("wn", "bn") if ARMS[arm].colour == line.get_color())
        curve = theirs.training_error(arm)
        points = zip(line.get_xdata(), line.get_ydata(), strict=True)
        assert all(curve[epoch] == error for epoch, error in points)
        assert max(line.get_xdata()) == 25, "ours end at 10, where the paper's has hardly begun"
    assert left.get_ylim()[0] < min(min(line.get_ydata()) for line in dashed)
    assert not [line for line in right.lines if line.get_linestyle() == "--"]


def test_where_the_paper_has_no_curve_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "results", own(0))
    monkeypatch.chdir(tmp_path)
    out = said(capsys, monkeypatch, "results", "--paper")
    assert "without the paper's curves" in out
    assert (tmp_path / "runs.png").stat().st_size > 10_000


def test_another_metric_has_axes_that_fit_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tasks.TASKS[tasks.FIRST]
    monkeypatch.setitem(tasks.TASKS, tasks.FIRST, replace(first, headline="loss"))
    axes = drawn(read(tmp_path, own(0, 0))).axes[0]
    assert axes.get_ylabel() == "training loss (nats)"
    assert axes.get_yscale() == "log"
    values = wnrepro.results(tmp_path / "results").curves["train_loss"]
    assert axes.get_ylim()[0] <= values.min()
    assert values.max() <= axes.get_ylim()[1]


def test_real_runs_are_drawn_as_they_lie_there(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wnrepro.commands.sweep import expand

    monkeypatch.chdir(tmp_path)
    for config in expand(["norm=wn,bn", "scale=smoke", "tracker=none"]).configs:
        train(config)
    out = said(capsys, monkeypatch)
    assert "runs.png: 2 runs" in out
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    (one,) = tmp_path.glob("runs/digits_wn/*")
    out = said(capsys, monkeypatch, str(one), "--to", "new/one.svg", "--by", "seed")
    assert "1 run" in out
    assert "seed 0" in (tmp_path / "new" / "one.svg").read_text()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"one.svg", "one-dark.svg"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nowhere",), "there is no folder nowhere"),
        (("results", "norm=bn"), "no run has norm=bn: there is wn"),
        (("results", "--by", "optim.rate"), "optim.rate is no key of these runs"),
        (("results", "--to", "a.gif"), "png, svg, pdf"),
        (("results", "--to", "results/runs.csv/a.png"), "results/runs.csv"),
        ((), "there is no folder runs"),
        (("empty",), "no run in empty has finished an epoch"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    arguments: tuple[str, ...],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path / "results", own(2))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    out = said(capsys, monkeypatch, *arguments)
    assert out.startswith("error: ")
    assert expected in out
    assert out.count("\n") == 1


def test_a_window_has_the_figure_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "results", own(2))
    monkeypatch.chdir(tmp_path)
    if matplotlib.get_backend().lower() == "agg":
        assert "write a file, with --to" in said(capsys, monkeypatch, "results", "--window")
    shown = []

    class Window(FigureCanvasAgg):
        required_interactive_framework = "none of ours"  # type: ignore[assignment]

        @classmethod
        def new_manager(cls, figure: Figure, num: int | str) -> Any:
            class Manager:
                def show(self) -> None:
                    shown.append(figure)

                def start_main_loop(self) -> None:
                    shown.append("waits")

            return Manager()

    monkeypatch.setattr(pyplot, "figure", lambda: Window(Figure()).figure)
    assert said(capsys, monkeypatch, "results", "--window") == ""
    figure, waits = shown
    assert waits == "waits"
    assert len(figure.axes) == 2
    assert not list(tmp_path.glob("*.png"))
