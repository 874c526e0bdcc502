"""The data-dependent init: with and without, seed by seed."""

from matplotlib import rcParams
from matplotlib.figure import Figure as Drawing

from wnrepro import drawing
from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, arms_in, finals, finite
from wnrepro.arms import ARMS
from wnrepro.drawing import INK
from wnrepro.intervals import Interval, T, paired_difference

WITH, WITHOUT = "data_dependent", "none"


def errors_by_init(records: Records, arm: str) -> dict[str, dict[int, float]]:
    """Init → seed → test error."""
    runs = records.runs[records.runs["arm"] == arm]
    return {init: finals(runs[runs["init"] == init], canvas.TEST) for init in (WITH, WITHOUT)}


def difference(errors: dict[str, dict[int, float]]) -> Interval | None:
    """With minus without the init, paired by seed; None without a pair."""
    ours, theirs = (finite(errors[init]) for init in (WITH, WITHOUT))
    return paired_difference(ours, theirs) if ours.keys() & theirs.keys() else None


def draw(records: Records, _: Paper, title: str) -> Drawing:
    """The difference of the test errors, arm by arm."""
    figure, (axes,) = canvas.begin(title.replace("mean", "mean difference"), 1, 2.6)
    arms = arms_in(records.runs)[::-1]
    axes.axvline(0, color=rcParams[INK], linewidth=0.9)
    for row, arm in enumerate(arms):
        if (each := difference(errors_by_init(records, arm))) is None:
            axes.text(0, row, "  no pair of seeds yet", va="center", fontsize=9)
            continue
        colour = ARMS[arm].colour
        if each.n > 1:
            axes.plot((each.low, each.high), (row, row), color=colour)
        axes.plot(each.estimate, row, ARMS[arm].marker, color=colour)
    axes.set_yticks(range(len(arms)), [ARMS[arm].short.replace(" + ", " +\n") for arm in arms])
    for text, arm in zip(axes.get_yticklabels(), arms, strict=True):
        text.set_color(ARMS[arm].colour)
    axes.set_ylim(-0.6, len(arms) - 0.4)
    drawing.round_ticks(axes.xaxis, 6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("test error with − without init (percentage points)")
    return figure


def rows(records: Records, _: Paper) -> exhibit.Rows:
    """Test error with and without the data-dependent init, and their difference by seed."""
    for arm in arms_in(records.runs):
        errors = errors_by_init(records, arm)
        with_, without = (exhibit.interval_of(errors[init]) for init in (WITH, WITHOUT))
        n_with, n_without = (len(finite(errors[init])) for init in (WITH, WITHOUT))
        paired = difference(errors)
        words = {
            "arm": ARMS[arm].label,
            "test error (%) with init": exhibit.with_interval(with_),
            "without": exhibit.with_interval(without),
            "with − without": exhibit.with_interval(paired, n=n_with),
            "n with": exhibit.count(errors[WITH]),
            "n without": exhibit.count(errors[WITHOUT]),
        }
        values = {"arm": arm} | exhibit.interval_values(f"{canvas.TEST}_with", with_)
        values |= exhibit.interval_values(f"{canvas.TEST}_without", without)
        values |= exhibit.interval_values("with_minus_without", paired)
        yield words, values | {"n_with": n_with, "n_without": n_without}


FIGURES = (
    exhibit.Figure(
        name="init_ablation",
        title="MNIST: with and without the data-dependent init",
        evidence=("mnist_init_ablation",),
        says=f"Difference of the test errors after the last epoch, paired by seed, with its {T}.",
        draw=draw,
    ),
)
TABLES = (
    exhibit.Table(
        name="init_ablation",
        title="MNIST: test error with and without the data-dependent init",
        evidence=("mnist_init_ablation",),
        says=f"{exhibit.MEAN}; with − without is paired by seed.",
        rows=rows,
    ),
)
