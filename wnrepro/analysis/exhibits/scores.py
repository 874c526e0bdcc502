"""Scores of games, where more is better: their curves, three numbers of each run, their rates."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from wnrepro.analysis import canvas, exhibit
from wnrepro.analysis.exhibits import learning_rates
from wnrepro.analysis.exhibits.error_curves import BAND, draw_arms
from wnrepro.analysis.lines import by_setting
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Number, Records, arms_in, finite, over_epochs, tested
from wnrepro.analysis.settings import DQN_GAMES
from wnrepro.arms import ARMS
from wnrepro.intervals import WELCH, Interval, welch_difference

AREA = "area under the curve"
DIFFERENCE = "weight norm with the data-dependent init − plain without"
"""The paper's comparison."""
SAYS = (
    "Of each run's evaluations (mean scores of the games that ended): area under the curve, their "
    "mean; largest above its neighbours, the largest minus the mean of those before and after it, "
    f"by about which noise lifts it. {exhibit.MEAN}; of the difference: {WELCH}."
)


def above_neighbours(scores: pd.Series) -> float:
    """The largest score minus the mean of the evaluations before and after it; NaN for one score.

    By about so much its noise lifts the largest of many.
    """
    values = scores.to_numpy(float)
    place = int(values.argmax())
    beside = [*values[max(place - 1, 0) : place], *values[place + 1 : place + 2]]
    return float(values[place] - np.mean(beside)) if beside else math.nan


NUMBERS: Mapping[str, Number] = {
    AREA: "mean",
    "last score": "last",
    "largest score": "max",
    "largest above its neighbours": above_neighbours,
}
"""Of a run's evaluations."""


def by_game(records: Records) -> dict[str, Records]:
    """ "Space Invaders" → its runs."""
    names = records.runs["data"].str.partition("_")[2].str.replace("_", " ").str.title()
    return {str(name): records.of(runs.index) for name, runs in records.runs.groupby(names)}


def draw(records: Records, _: Paper, title: str) -> Drawing:
    """A panel for each game."""
    games = by_game(records)
    figure, panels = canvas.begin(title, len(games), 3.4)
    ends: dict[str | canvas.Line, canvas.Point] = {}
    for axes, (game, own) in zip(panels, games.items(), strict=True):
        ends = draw_arms(axes, own, tested(own.task))
        axes.set_title(game, fontsize=10.5)
        canvas.whole_numbers(axes, 4)
        canvas.fit(axes, own.task)
    for axes in panels[1:]:
        axes.set_ylabel("")
    canvas.name_lines(panels[-1], ends)
    return figure


def draw_rates(records: Records, _: Paper, title: str) -> Drawing:
    """The area under the curve by learning rate and arm, a panel for each game.

    Bars reach from the lowest seed to the highest: of two seeds an interval hides all else.
    """
    games = by_game(records)
    title = title.replace("mean and 95 % t interval", "mean and range")
    figure, panels = canvas.begin(title, len(games), 3.4)
    ends: dict[str, canvas.Point] = {}
    for axes, (game, own) in zip(panels, games.items(), strict=True):
        area = own.curves.groupby("identity")[tested(own.task)].mean()
        runs, arms = own.runs.assign(area=area), arms_in(own.runs)
        ends = {
            arm: learning_rates.draw_arm(axes, runs, arm, "area", row, lambda v: (min(v), max(v)))
            for row, arm in enumerate(arms)
        }
        axes.set_title(game, fontsize=10.5)
        axes.set_ylabel("")
        canvas.log_rates(axes, runs["learning_rate"])
        canvas.fit(axes, own.task)
    panels[0].set_ylabel("mean of all evaluations")
    canvas.name_lines(panels[-1], ends)
    canvas.explain_crosses(panels[0], records)
    return figure


def rows(records: Records, paper: Paper) -> exhibit.Rows:
    """`NUMBERS` by game and setting, then the paper's comparison; beside them the paper's largest,
    where it has the game."""
    for game, own in by_game(records).items():
        found: list[tuple[str, str, dict[str, Interval | None]]] = []
        for _line, told, part in by_setting(own):
            arm = str(part.runs["arm"].iloc[0])
            intervals = {
                by: exhibit.interval_of(over_epochs(part, part.runs, of))
                for by, of in NUMBERS.items()
            }
            found.append((arm, ", ".join(filter(None, (ARMS[arm].label, told))), intervals))
        difference = {by: _welch(own, of) for by, of in NUMBERS.items()}
        found.append((DIFFERENCE, DIFFERENCE, difference))
        theirs = dict(paper.table2.get(str(own.runs["data"].iloc[0]), {}))
        if theirs:
            theirs[DIFFERENCE] = theirs["wn"] - theirs["plain"]
            found.append(("mnih_2015", "Mnih et al. (2015)", {}))
        for key, name, intervals in found:
            row = {"game": game, "arm": name}
            n = max((each.n for each in intervals.values() if each), default=0)
            said = {by: exhibit.with_interval(each) for by, each in intervals.items()}
            beside = {"the paper's largest": exhibit.number(theirs[key], 0)} if theirs else {}
            values: dict[str, Any] = dict(row)
            for by, each in intervals.items():
                values |= exhibit.interval_values(by.replace(" ", "_"), each)
            values |= {"largest_score_paper": theirs[key]} if theirs else {}
            values["evidence"] = own.runs["evidence"].iloc[0]
            yield row | said | {"n": str(n)} | beside, values


def _welch(records: Records, of: Number) -> Interval | None:
    """Of the paper's comparison."""
    sides = []
    for arm, init in (("wn", "data_dependent"), ("plain", "none")):
        runs = records.runs[(records.runs["arm"] == arm) & (records.runs["init"] == init)]
        sides.append(list(finite(over_epochs(records, runs, of)).values()))
    return welch_difference(*sides) if all(sides) else None


def rows_of_rates(records: Records, paper: Paper) -> exhibit.Rows:
    """The area under the curve by game, learning rate and arm."""
    for game, own in by_game(records).items():
        area = AREA.replace(" ", "_")
        for pair in learning_rates.rows(own, paper, area, NUMBERS[AREA]):
            yield tuple({"game": game} | part if part else {} for part in pair)


_OWN = " The rate with the largest mean is the arm's own in that game."
_RATES = (  # evidence, what its title and its table say besides
    ("minatar_rates", "", _OWN),
    ("minatar_batch_norm", ", batch norm", ""),
)

FIGURES = (
    exhibit.Figure(
        name="figure5_minatar",
        title="DQN on MinAtar: scores by epoch",
        evidence=("minatar_small",),
        says=f"{BAND} An epoch is 12,500 frames.",
        draw=draw,
    ),
    *(
        exhibit.Figure(
            name=name,
            title=f"DQN on MinAtar: {AREA} of scores by learning rate{which}",
            evidence=(name,),
            says="Markers: means over seeds; bars: from the lowest seed to the highest.",
            draw=draw_rates,
        )
        for name, which, _ in _RATES
    ),
)
TABLES = (
    exhibit.Table(
        name="table2",
        title="DQN on Atari: scores, ours and the paper's table 2",
        evidence=tuple(f"dqn_{game}" for game in DQN_GAMES),
        says=SAYS,
        rows=rows,
    ),
    exhibit.Table(
        name="table2_small",
        title="DQN on Space Invaders, reduced: scores (not table 2)",
        evidence=("atari_small",),
        says=f"{SAYS} The paper's: of 200 epochs of 250,000 steps.",
        rows=rows,
    ),
    exhibit.Table(
        name="table2_minatar",
        title="DQN on MinAtar: scores",
        evidence=("minatar_small",),
        says=SAYS,
        rows=rows,
    ),
    *(
        exhibit.Table(
            name=name,
            title=f"DQN on MinAtar: {AREA} of scores by learning rate{which}",
            evidence=(name,),
            says=f"{exhibit.MEAN}.{own}",
            rows=rows_of_rates,
        )
        for name, which, own in _RATES
    ),
)
