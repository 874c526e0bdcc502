"""Treatments side by side: the init with and without, and the optimisers, seed by seed."""

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wnrepro.analysis.averages import over_seeds
from wnrepro.analysis.canvas import (
    DIVERGED,
    DIVERGED_HEIGHT,
    canvas,
    log_errors,
    marks,
    whole_numbers,
)
from wnrepro.analysis.captions import arms_in
from wnrepro.analysis.error_curves import YLABELS
from wnrepro.analysis.records import Records, finals, finite
from wnrepro.arms import ARMS
from wnrepro.drawing import INK, End, label_ends
from wnrepro.statistics import Interval, paired_difference, t_interval

WITH, WITHOUT = "data_dependent", "none"
"""Of the init."""
OPTIMISER_LABELS = {
    "momentum": "momentum",
    "averaged_momentum": "avg. momentum",
    "adadelta": "Adadelta",
    "adam": "Adam",
    "adamax": "Adamax",
}
"""Adadelta is that of the notes, which torch calls RMSprop."""


def init_differences(records: Records, column: str) -> dict[str, Interval | None]:
    """Arm → with minus without the data-dependent init, paired by seed; None without a pair."""
    found: dict[str, Interval | None] = {}
    for arm in arms_in(records.runs):
        runs = records.runs[records.runs["arm"] == arm]
        ours, theirs = (finite(finals(runs[runs["init"] == i], column)) for i in (WITH, WITHOUT))
        found[arm] = paired_difference(ours, theirs) if ours.keys() & theirs.keys() else None
    return found


def draw_inits(records: Records, title: str) -> Figure:
    """Left the training error by epoch, solid with the init; right the test errors' differences."""
    figure, (left, right) = canvas(title, 2, 3.4)
    values: list[float] = []
    for init, dashes in ((WITH, "-"), (WITHOUT, "--")):
        chosen = records.of(records.runs.index[records.runs["init"] == init])
        for arm in arms_in(chosen.runs):
            average = over_seeds(chosen, arm, "train_error_percent")
            if average is not None and average.n:
                colour = ARMS[arm].colour
                style = {"linestyle": dashes, "linewidth": 1.3, "markersize": 4}
                marked = {"marker": ARMS[arm].marker, "markevery": marks(arm, len(average.x))}
                left.plot(average.x, average.mean, color=colour, **style, **marked)
                values += list(average.mean)
    log_errors(left, values)
    whole_numbers(left)
    left.set_xlabel("epoch")
    left.set_ylabel("training error (%)")
    for text, dashes, height in (("with init", "-", 0.17), ("without", "--", 0.08)):
        ends, place = ((0.05, 0.16), (height, height)), left.transAxes
        left.plot(*ends, dashes, color=rcParams[INK], linewidth=1.3, transform=place)
        left.text(0.19, height, text, transform=place, va="center", fontsize=9.5)
    _draw_differences(right, init_differences(records, "test_error_percent"))
    return figure


def _draw_differences(axes: Axes, found: dict[str, Interval | None]) -> None:
    axes.axvline(0, color=rcParams[INK], linewidth=0.9)
    for row, (arm, each) in enumerate(reversed(found.items())):
        if each is None:
            axes.text(0, row, "  no pair of seeds yet", va="center", fontsize=9)
            continue
        colour = ARMS[arm].colour
        if each.n > 1:
            axes.plot((each.low, each.high), (row, row), color=colour)
        axes.plot(each.estimate, row, ARMS[arm].marker, color=colour)
    names = [ARMS[arm].short.replace(" + ", " +\n") for arm in reversed(found)]
    axes.set_yticks(range(len(found)), names)
    for text, arm in zip(axes.get_yticklabels(), reversed(found), strict=True):
        text.set_color(ARMS[arm].colour)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("test error with − without init\n(percentage points)")


def draw_optimisers(records: Records, title: str, columns: tuple[str, ...]) -> Figure:
    """One column of points per optimiser, one colour and marker per arm: mean, interval and seeds.

    A cross above the axes where seeds diverged.
    """
    figure, panels = canvas(title, len(columns), 3.5)
    present = [name for name in OPTIMISER_LABELS if name in set(records.runs["optimizer"])]
    arms = arms_in(records.runs)
    for axes, column in zip(panels, columns, strict=True):
        drawn: list[float] = []
        for place, optimiser in enumerate(present):
            for index, arm in enumerate(arms):
                x = place + 0.22 * (index - (len(arms) - 1) / 2)
                drawn += _draw_seeds(axes, x, records, optimiser, arm, column)
        log_errors(axes, drawn)
        names = [OPTIMISER_LABELS[name] for name in present]
        axes.set_xticks(range(len(present)), names, fontsize=9.5, rotation=30, ha="right")
        axes.tick_params(axis="x", pad=1)
        axes.set_xlim(-0.5, len(present) - 0.5)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(YLABELS[column])
        if not records.diverged.empty:
            axes.set_xlabel(DIVERGED)
    edge, bottom = panels[-1].get_xlim()[1], panels[-1].get_ylim()[0]
    known = [ARMS[arm] for arm in reversed(arms)]
    label_ends(panels[-1], [End(edge, bottom, arm.short, arm.colour, arm.marker) for arm in known])
    return figure


def _draw_seeds(
    axes: Axes, x: float, records: Records, optimiser: str, arm: str, column: str
) -> list[float]:
    """What the axis has to show."""
    runs = records.runs
    chosen = runs[(runs["optimizer"] == optimiser) & (runs["arm"] == arm)]
    values = list(finite(finals(chosen, column)).values())
    colour = ARMS[arm].colour
    if (chosen["status"] == "diverged").any():
        above = axes.get_xaxis_transform()
        axes.plot(x, DIVERGED_HEIGHT, "x", color=colour, transform=above, clip_on=False)
    if not values:
        return []
    each = t_interval(values)
    shown = [*values, each.estimate]
    if each.n > 1:
        low, high = max(each.low, each.estimate / 1.5), min(each.high, 100)
        axes.plot((x, x), (low, high), color=colour, linewidth=1.2)
        shown += (low, high)
    axes.plot([x] * len(values), values, ".", color=colour, markersize=3, alpha=0.6)
    axes.plot(x, each.estimate, ARMS[arm].marker, color=colour)
    return shown
