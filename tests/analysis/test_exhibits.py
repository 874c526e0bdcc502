"""Every figure and table, from all runs, from none, and from the few that a start leaves."""

import itertools
import math
import shutil
import subprocess
from pathlib import Path

import pytest
from example import configs, diverges, run, write
from matplotlib import style
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from wnrepro import drawing
from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.exhibits import FIGURES, TABLES
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.publication import latex
from wnrepro.analysis.records import Records, load
from wnrepro.arms import ARMS


@pytest.fixture(scope="module")
def first_runs(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """One seed, of one arm only for some experiments; and one run that diverged."""
    runs = {}
    for name in EVIDENCE:
        for config in configs(name)[:8]:
            if config["seed"] == EVIDENCE[name].first_seed:
                made = run(config, diverged=diverges(config), sparse=True)
                runs[made.row["identity"]] = made
    return load(write(tmp_path_factory.mktemp("first") / "results", runs.values()))


@pytest.fixture(params=["complete", "first"])
def some(request: pytest.FixtureRequest, complete_records: Records, first_runs: Records) -> Records:
    return complete_records if request.param == "complete" else first_runs


def drawn(name: str, records: Records, theirs: Paper) -> Drawing:
    with style.context(["default", drawing._STYLE]):
        figure = FIGURES[name].drawing(records, theirs)
        figure.draw_without_rendering()
    return figure


def words(figure: Drawing) -> list[Text]:
    """Title, panel titles, names of lines and explanations: all but the ticks."""
    found = [text for axes in figure.axes for text in (*axes.texts, axes._left_title)]
    found += [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    return [text for text in (figure._suptitle, *found) if text.get_text().strip()]


SOME = [
    *(("complete", name) for name in FIGURES),
    # By time few runs are drawn as by epoch, but for a label of an axis.
    *(("first", name) for name in FIGURES if not FIGURES[name].timed),
]


@pytest.mark.parametrize(("some", "name"), SOME, indirect=["some"])
def test_every_figure_draws_what_there_is_legibly(name: str, some: Records, theirs: Paper) -> None:
    figure = drawn(name, some, theirs)  # once: most of the time goes here
    says_what_it_shows(figure, name, some)
    words_lie_inside_and_not_upon_one_another(figure)
    numbers_on_an_axis_keep_apart(figure)


def says_what_it_shows(figure: Drawing, name: str, some: Records) -> None:
    title = figure.get_suptitle()
    assert "n = " in title
    assert any(evidence in title.replace("\n", "; ") for evidence in titles(name))
    caption = FIGURES[name].caption(some)
    assert "n = " in caption
    assert "commit 0123456" in caption
    assert any(axes.lines or axes.collections for axes in figure.axes)


def titles(name: str) -> list[str]:
    return [EVIDENCE[each].title for each in FIGURES[name].evidence]


def words_lie_inside_and_not_upon_one_another(figure: Drawing) -> None:
    boxes = {text: text.get_window_extent() for text in words(figure)}
    page = figure.bbox.padded(2)
    for text, box in boxes.items():
        outside = Bbox.union([page, box]).bounds != page.bounds
        assert not outside, f"{text.get_text()!r} is cut off"
    for (one, first), (other, second) in itertools.combinations(boxes.items(), 2):
        overlap = Bbox.intersection(first.padded(-1.5), second.padded(-1.5))
        assert overlap is None, f"{one.get_text()!r} lies upon {other.get_text()!r}"


def numbers_on_an_axis_keep_apart(figure: Drawing) -> None:
    for axes in figure.axes:
        for axis, along in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            labels = [t.label1 for t in ticks if t.label1.get_text()]
            assert len(labels) >= 2, f"{axis} has {len(labels)} numbers"
            if labels[0].get_rotation():
                continue  # turned words: their boxes overlap, they do not
            boxes = sorted(
                (getattr(b, f"{along}0"), getattr(b, f"{along}1")) for b in extents(labels)
            )
            for before, after in itertools.pairwise(boxes):
                assert before[1] <= after[0] + 1, [label.get_text() for label in labels]


def extents(labels: list[Text]) -> list[Bbox]:
    return [label.get_window_extent() for label in labels]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_what_there_is(name: str, some: Records, theirs: Paper) -> None:
    item = TABLES[name]
    assert item.used(some)
    table = item.cells(some, theirs)
    assert len(table.words) > 0
    assert len(table.values) > 0
    assert not table.values.isin([float("inf")]).any(axis=None)
    assert not table.words.map(lambda cell: "nan" in cell or "inf" in cell).any(axis=None)
    assert "n = " in item.caption(some)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_every_table_compiles_and_fits_the_page(
    complete_records: Records, theirs: Paper, tmp_path: Path
) -> None:
    tables = [
        latex(
            item.cells(complete_records, theirs).words,
            item.title,
            item.notes(complete_records),
            name,
        )
        for name, item in TABLES.items()
    ]
    page = r"\documentclass{article}\usepackage{booktabs,siunitx}"
    head = page + r"\setlength{\textwidth}{5.5in}\begin{document}"  # NeurIPS's width
    (tmp_path / "t.tex").write_text("\n".join([head, *tables, r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    log = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "Overfull" not in log


@pytest.mark.parametrize("name", [*FIGURES, *TABLES])
def test_without_runs_a_line_names_the_command(name: str, empty_records: Records) -> None:
    for item in (registry[name] for registry in (FIGURES, TABLES) if name in registry):
        assert item.used(empty_records) == []
        lines = item.lacks(empty_records)
        assert len(lines) == len(item.evidence)
        for line, evidence in zip(lines, item.evidence, strict=True):
            assert line.startswith(f"{evidence} has 0 of ")
            assert line.endswith(EVIDENCE[evidence].command)


def test_nothing_is_lacking_when_all_is_there(complete_records: Records) -> None:
    for item in (*FIGURES.values(), *TABLES.values()):
        assert item.lacks(complete_records) == []


def test_figure1_takes_the_arithmetic_with_more_runs(tmp_path: Path) -> None:
    few = [run(c) for c in configs("cifar_table1_bf16")[:2]]
    more = [run(c) for c in configs("cifar_table1")[:3]]
    only_few = load(write(tmp_path / "few", few))
    assert FIGURES["figure1"].used(only_few) == ["cifar_table1_bf16"]
    both = load(write(tmp_path / "both", few + more))
    assert FIGURES["figure1"].used(both) == ["cifar_table1"]
    assert "float32" in FIGURES["figure1"].caption(both)
    assert "2 of 15" not in FIGURES["figure1"].caption(both)


def test_figure1_has_the_papers_curve_behind_each_arm(
    complete_records: Records, theirs: Paper
) -> None:
    axes = drawn("figure1", complete_records, theirs).axes[0]
    for arm in set(theirs.curves["figure1"]["arm"]):
        curve = theirs.curves["figure1"][theirs.curves["figure1"]["arm"] == arm]
        drawn_ys = [
            list(line.get_ydata()) for line in axes.lines if colour(line) == ARMS[arm].colour
        ]
        assert list(curve["value"]) in drawn_ys
        assert len(drawn_ys) == 2  # the paper's and ours
        assert ARMS[arm].short in {text.get_text() for text in axes.texts}


def colour(line) -> str:
    return line.get_color()


def test_learning_rates_that_diverge_have_a_cross_above_the_axes(
    complete_records: Records, theirs: Paper
) -> None:
    for axes in drawn("learning_rates", complete_records, theirs).axes:
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        by_arm = {c: sum(colour(line) == c for line in crosses) for c in map(colour, crosses)}
        # plain at 3 and 10; wn at 1 (one seed of three), 3 and 10
        assert by_arm == {ARMS["plain"].colour: 2, ARMS["wn"].colour: 3}
        assert all(line.get_ydata()[0] > 1 for line in crosses)


def test_a_rate_at_which_every_seed_diverges_breaks_the_line(tmp_path: Path, theirs: Paper) -> None:
    wn = [c for c in configs("mnist_lr_robustness") if c["norm"]["name"] == "wn"]
    middle = [c for c in wn if c["optim"]["lr"] in (0.01, 0.03, 0.1)]
    runs = [run(c, diverged=c["optim"]["lr"] == 0.03) for c in middle]
    axes = drawn("learning_rates", load(write(tmp_path / "r", runs)), theirs).axes[1]
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [math.isfinite(y) for y in line.get_ydata()] == [True, False, True]


def test_curves_against_time_are_of_one_machine(tmp_path: Path, theirs: Paper) -> None:
    """Two seeds on a faster machine would make a curve of neither."""
    wn = [c for c in configs("mnist_arms") if c["norm"]["name"] == "wn"]
    runs = [run(c, cpu="another CPU" if c["seed"] < 2 else "A CPU") for c in wn]
    for each in runs[:2]:
        for cells in each.curve:
            cells["train_time_sec"] = "0.01"
    found = load(write(tmp_path / "r", runs))
    only = load(write(tmp_path / "s", runs[2:]))
    ends = [
        max(
            x
            for line in drawn("mnist_arms_time", of, theirs).axes[0].lines
            for x in line.get_xdata()
        )
        for of in (found, only)
    ]
    assert ends[0] == ends[1]
    assert "2 of 5 runs are left out" in FIGURES["mnist_arms_time"].caption(found)
    assert "left out" not in FIGURES["mnist_arms_errors"].caption(found)


@pytest.mark.parametrize(("seconds", "unit"), [("10.0", "s"), ("300.0", "h")])
def test_long_trainings_are_shown_in_hours(
    seconds: str, unit: str, tmp_path: Path, theirs: Paper
) -> None:
    runs = [run(c) for c in configs("cifar_table1")[:2]]
    for each in runs:
        for cells in each.curve:
            cells["train_time_sec"] = seconds
    axes = drawn("figure1_time", load(write(tmp_path / "r", runs)), theirs).axes[0]
    assert axes.get_xlabel() == f"training time ({unit})"
    numbers = [tick.get_text() for tick in axes.get_xticklabels() if tick.get_position()[0] >= 0]
    # 200 epochs: 2,000 s, or 60,000 s, which are 16.7 h.
    expected = ["0", "3", "6", "9", "12", "15"] if unit == "h" else ["0", "400", "800"]
    assert numbers[: len(expected)] == expected
