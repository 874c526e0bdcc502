"""DQN, where more is better: three numbers of each run, the paper's table 2, verdicts."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from claims_example import BY_ID, verdict
from example import PAPER, configs, run, write
from matplotlib import style

from wnrepro import drawing
from wnrepro.analysis import records
from wnrepro.analysis.claims.judgement import judge
from wnrepro.analysis.claims.seeds import of_pilot, welch_power
from wnrepro.analysis.exhibit import Cells
from wnrepro.analysis.exhibits import FIGURES, TABLES
from wnrepro.analysis.exhibits.scores import DIFFERENCE, above_neighbours
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import DIVERGED, Records
from wnrepro.intervals import t_interval, welch_difference

NOISE = (0.3, -0.4, 0.1, 0.2, -0.2)
CURVE = (2.0, 30.0, 10.0, 14.0)
"""Mean 14, last 14, largest 30, which is 24 above the mean of its neighbours."""
GAMES = ("breakout", "seaquest", "space_invaders")


def scores(
    tmp_path: Path, evidence: str, ahead: Callable[[dict[str, Any]], float], noise: float = 1
) -> Records:
    """Curves of a few epochs, all of them, moved up by `ahead`; noise of each arm's own."""

    def score(config: dict[str, Any], epoch: int) -> float:
        arm = config["norm"]["name"]
        own = noise * NOISE[(config["seed"] + (arm == "wn")) % 5] * (2 if arm == "wn" else 1)
        return CURVE[epoch - 1] + ahead(config) + own - 100  # to which `run` adds 100

    runs = [run(config, score, so_far=len(CURVE)) for config in configs(evidence)]
    found = records.load(write(tmp_path / "results", runs))
    return replace(found, runs=found.runs.assign(status="done"))


def is_wn(config: dict[str, Any]) -> bool:
    return (config["norm"]["name"], config["init"]["name"]) == ("wn", "data_dependent")


def better_in(*games: str, by: float = 5) -> Callable[[dict[str, Any]], float]:
    names = [f"minatar_{game}" for game in games]
    return lambda config: by if is_wn(config) and config["data"]["name"] in names else 0


def row(table: Cells, game: str, arm: str) -> dict[Any, Any]:
    rows = table.words.to_dict("records")
    (found,) = [each for each in rows if (each["game"], each["arm"]) == (game, arm)]
    return found


@pytest.mark.parametrize(
    ("curve", "above"),
    [
        ([1, 5, 2], 3.5),
        ([9, 5, 2], 4.0),
        ([1, 5, 9], 4.0),
        ([4, 4, 4], 0.0),
        ([3, 3, 1], 0.0),
        ([2], math.nan),
    ],
)
def test_how_far_the_largest_stands_above_its_neighbours(curve: list[float], above: float) -> None:
    assert above_neighbours(pd.Series(curve)) == pytest.approx(above, nan_ok=True)


def test_on_equal_curves_the_largest_is_noise_and_shows_by_how_much() -> None:
    """Of 20 evaluations with noise of 1 the largest is 1.87 above the truth, as is known."""
    curves = np.random.default_rng(0).normal(size=(4000, 20))
    seen = np.mean([above_neighbours(pd.Series(curve)) for curve in curves])
    assert curves.max(1).mean() == pytest.approx(1.87, abs=0.03)
    assert seen == pytest.approx(1.87, abs=0.12)


def test_the_numbers_by_game_and_setting_and_the_papers_comparison(
    tmp_path: Path, theirs: Paper
) -> None:
    found = scores(tmp_path, "minatar_small", better_in("seaquest"))
    table = TABLES["table2_minatar"].cells(found, theirs)
    assert len(table.words) == 3 * (4 + 1)
    own = row(table, "Seaquest", "weight norm, init data_dependent")
    for by, middle in (("area under the curve", 14), ("last score", 14), ("largest score", 30)):
        known = t_interval([middle + 5 + 2 * each for each in NOISE])
        assert own[by] == f"{known.estimate:.2f} [{known.low:.2f}, {known.high:.2f}]"
    assert own["largest above its neighbours"] == "24.00 [24.00, 24.00]"
    assert own["n"] == "5"
    difference = row(table, "Seaquest", DIFFERENCE)
    known = welch_difference([5 + 2 * each for each in NOISE], NOISE)
    assert difference["last score"] == f"{known.estimate:.2f} [{known.low:.2f}, {known.high:.2f}]"
    assert row(table, "Breakout", DIFFERENCE)["last score"].startswith("0.00 [−")
    assert "the paper's largest" not in table.words
    assert list(table.values["game"]) == list(table.words["game"])


def test_table_2_stands_beside_ours(tmp_path: Path, theirs: Paper) -> None:
    found = scores(tmp_path, "dqn_enduro", lambda config: 3 * is_wn(config))
    table = TABLES["table2"].cells(found, theirs)
    numbers = pd.read_csv(PAPER / "table2_dqn_max_score.csv").set_index("game").loc["Enduro"]
    beside = table.words.set_index("arm")["the paper's largest"]
    assert beside["weight norm"] == f"{numbers['wn']}" == "1448"
    assert beside["plain"] == f"{numbers['plain']}"
    assert beside["Mnih et al. (2015)"] == f"{numbers['mnih_2015']}"
    assert beside[DIFFERENCE] == "198"
    assert row(table, "Enduro", "plain")["largest score"].startswith("30.00 [")
    assert row(table, "Enduro", "Mnih et al. (2015)")["largest score"] == "–"


def test_a_run_that_diverged_is_in_no_mean(tmp_path: Path, theirs: Paper) -> None:
    found = scores(tmp_path, "dqn_enduro", lambda config: 100 * (config["seed"] == 1))
    runs = found.runs.copy()
    runs.loc[runs["seed"] == 1, "status"] = DIVERGED
    own = row(TABLES["table2"].cells(replace(found, runs=runs), theirs), "Enduro", "plain")
    assert own["largest score"].startswith("30.20 [")
    assert own["n"] == "2"


def test_the_rates_are_told_by_the_area_and_no_high_score_has_broken_down(
    tmp_path: Path, theirs: Paper
) -> None:
    found = scores(tmp_path, "minatar_rates", lambda config: 60 * (config["seed"] == 100))
    table = TABLES["minatar_rates"].cells(found, theirs)
    assert table.words.columns.tolist() == ["game", "learning rate", "plain", "weight norm"]
    assert len(table.words) == 3 * 4
    assert not table.words["plain"].str.contains("broke").any()
    assert set(table.values["n"]) == {2}
    plain = table.values[table.values["arm"] == "plain"]
    assert plain["area_under_the_curve"].tolist() == pytest.approx([44 + (0.3 - 0.4) / 2] * 12)


@pytest.mark.parametrize("name", ["figure5_minatar", "figure5", "figure5_time"])
def test_scores_have_a_linear_axis(name: str, tmp_path: Path, theirs: Paper) -> None:
    evidence = "minatar_small" if name == "figure5_minatar" else "dqn_space_invaders"
    found = scores(tmp_path, evidence, lambda config: -1.6)  # from 0 to 28
    with style.context(["default", drawing._STYLE]):
        figure = FIGURES[name].drawing(found, theirs)
    assert {axes.get_yscale() for axes in figure.axes} == {"linear"}
    if name == "figure5_minatar":
        assert [axes.get_title(loc="left") for axes in figure.axes] == [
            "Breakout",
            "Seaquest",
            "Space Invaders",
        ]
        assert [len([x for x in a.lines if len(x.get_xdata()) > 1]) for a in figure.axes] == [4] * 3


def test_the_papers_figure_5_stands_behind_ours(tmp_path: Path, theirs: Paper) -> None:
    found = scores(tmp_path, "dqn_space_invaders", is_wn)
    with style.context(["default", drawing._STYLE]):
        (axes,) = FIGURES["figure5"].drawing(found, theirs).axes
    dashed = [list(line.get_ydata()) for line in axes.lines if line.is_dashed()]
    table = pd.read_csv(PAPER / "figure5_space_invaders_score.csv")
    for arm, own in table.groupby("arm"):
        assert own["score"].tolist()[:6] in [heights[:6] for heights in dashed], arm
    assert axes.get_ylabel() == "test score of a game"


@pytest.mark.parametrize("id_", ["10b", "10c", "10d", "10e"])
def test_higher_is_reproduced_and_lower_is_not(id_: str, tmp_path: Path) -> None:
    (evidence,) = BY_ID[id_].judged_by
    for by, said in ((8, "reproduced"), (-8, "not reproduced"), (0, "inconclusive")):
        found = scores(tmp_path / said, evidence, lambda config, by=by: by * is_wn(config))
        assert verdict(id_, found).verdict == said
    assert verdict(id_, found.of(found.runs.index[:0])).verdict == "not tested"


@pytest.mark.parametrize(
    ("late", "said"),
    [(164, "reproduced"), (12, "not reproduced"), (148, "inconclusive")],
)
def test_a_reduced_game_is_learnt_by_an_arm_above_random_play(
    late: float, said: str, tmp_path: Path
) -> None:
    """The mean of the second half of a curve is 12."""
    found = scores(tmp_path, "atari_small", lambda config: late - 12 if is_wn(config) else 150)
    noise = [2 * NOISE[k] for k in (1, 2, 3)]
    known = t_interval([late + each for each in noise])
    line = verdict("O15a", found)
    assert (line.verdict, line.n) == (said, "3")
    ends = f"[{known.low:.2f}, {known.high:.2f}]"
    assert line.ours == f"{known.estimate:.2f} points a game {ends}"
    assert (line.criterion, line.power) == ("above 148 points a game", "")
    assert verdict("O15b", found).verdict == "reproduced"


@pytest.mark.parametrize(
    ("works_at", "said"), [((), "reproduced"), ((0.001,), "not reproduced"), (None, "inconclusive")]
)
def test_batch_norm_works_if_it_does_at_one_rate(
    works_at: tuple[float, ...] | None, said: str, tmp_path: Path
) -> None:
    """None: at each the edge of 1 point lies within the interval."""

    def ahead(config: dict[str, Any]) -> float:
        if config["norm"]["name"] == "plain":
            return 0
        if works_at is None:
            return -1
        return -0.5 if config["optim"]["lr"] in works_at else -4

    found = scores(tmp_path, "minatar_batch_norm", ahead, noise=0.1)
    line = verdict("O17", found)
    assert (line.verdict, line.n) == (said, "3")
    if works_at:
        assert line.ours.startswith("−0.50 points [")
        assert "against plain, lr=" in line.ours


def test_rates_are_drawn_with_the_range_of_the_seeds(tmp_path: Path, theirs: Paper) -> None:
    found = scores(tmp_path, "minatar_batch_norm", lambda config: math.log10(config["optim"]["lr"]))
    with style.context(["default", drawing._STYLE]):
        (axes,) = FIGURES["minatar_batch_norm"].drawing(found, theirs).axes
    plain, *_ = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 4]
    noise = NOISE[:3]
    means = [14 + math.log10(rate) for rate in (0.0001, 0.0003, 0.001, 0.003)]
    assert plain == pytest.approx([mean + sum(noise) / 3 for mean in means])
    ends = [tuple(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2]
    assert pytest.approx((means[0] + min(noise), means[0] + max(noise))) in ends
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


def test_batch_norm_is_not_shown_by_runs_of_minatar_small_alone(tmp_path: Path) -> None:
    found = scores(tmp_path, "minatar_batch_norm", lambda _: 0)
    plain = found.runs[found.runs["arm"] == "plain"]
    shared = plain[plain["learning_rate"] == 0.003]
    assert 0 < len(shared) < len(plain)
    for exhibit in (FIGURES["minatar_batch_norm"], TABLES["minatar_batch_norm"]):
        assert exhibit.used(found) == ["minatar_batch_norm"]
        assert exhibit.used(found.of(plain.index)) == ["minatar_batch_norm"]
        assert exhibit.used(found.of(shared.index)) == []


def test_a_reduced_game_is_shown_beside_the_papers(tmp_path: Path, theirs: Paper) -> None:
    found = scores(tmp_path, "atari_small", lambda config: 8 * is_wn(config))
    assert verdict("O16", found).verdict == "reproduced"
    for id_ in ("10d", "10e"):
        lines = judge(BY_ID[id_], found)
        assert [line.verdict for line in lines] == ["not tested", ""]
    with style.context(["default", drawing._STYLE]):
        ours, papers = FIGURES["figure5_small"].drawing(found, theirs).axes
    assert ours.get_ylabel() == papers.get_ylabel() == "test score of a game"
    heights = [list(line.get_ydata()) for line in papers.lines]
    assert list(theirs.curve("figure5", "wn").values()) in heights
    row_of_wn = row(TABLES["table2_small"].cells(found, theirs), "Space Invaders", "weight norm")
    assert row_of_wn["largest score"].startswith("37.93 [")
    assert row_of_wn["the paper's largest"] == "2179"


def test_about_the_same_is_a_margin(tmp_path: Path) -> None:
    for by, said in ((20, "reproduced"), (-20, "reproduced"), (60, "not reproduced")):
        found = scores(tmp_path / f"{by}", "dqn_breakout", lambda config, by=by: by * is_wn(config))
        assert verdict("10a", found).verdict == said


@pytest.mark.parametrize("id_", ["O10b", "O11b", "O12b"])
def test_of_a_game_by_each_measure(id_: str, tmp_path: Path) -> None:
    found = scores(tmp_path, "minatar_small", better_in("seaquest"))
    line = verdict(id_, found)
    known = welch_difference([5 + 2 * each for each in NOISE], NOISE)
    ends = f"[{known.low:+.2f}, {known.high:+.2f}]"
    assert line.ours == f"{known.estimate:+.2f} points {ends}"
    assert line.verdict == "reproduced"
    assert (line.interval, line.n) == ("95 % Welch interval", "5")
    assert verdict(id_.replace("b", "a"), found).verdict == "inconclusive"


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_a_verdict_before_all_planned_seeds_are_in_says_so(seeds: int, tmp_path: Path) -> None:
    found = scores(tmp_path, "minatar_small", better_in("seaquest", by=20))
    line = verdict("O10b", found.of(found.runs.query("seed < @seeds").index))
    assert (line.verdict, line.n) == ("reproduced" if seeds > 2 else "inconclusive", f"{seeds}")
    assert (f"So far {seeds} of the 5 planned seeds" in line.caveat) == (seeds in (3, 4))
    assert line.caveat.startswith(BY_ID["O10b"].caveat)


def test_overall_is_two_games_better_and_none_worse(tmp_path: Path) -> None:
    def overall(name: str, ahead: Callable[[dict[str, Any]], float]) -> tuple[str, str]:
        line = verdict("O9", scores(tmp_path / name, "minatar_small", ahead))
        return line.verdict, line.because

    two = better_in("breakout", "space_invaders")
    worse = better_in("seaquest", by=-5)
    assert overall("all", better_in(*GAMES))[0] == "reproduced"
    said = ("reproduced", "2 of 3 intervals lie within the region")
    assert overall("two", two) == said
    assert overall("one", better_in("seaquest"))[0] == "inconclusive"
    assert overall("none", better_in())[0] == "inconclusive"
    found, because = overall("one worse", lambda config: two(config) + worse(config))
    assert found == "not reproduced"
    assert because == "2 of 3 intervals lie within the region, and one outside"
    criterion = "above 0 points in 2 of 3, and wholly outside in none"
    assert verdict("O9", scores(tmp_path / "x", "minatar_small", two)).criterion == criterion


def test_the_power_that_the_sweep_file_states() -> None:
    for true, chance in {1: 0.27, 1.5: 0.53, 2: 0.78, 2.5: 0.92}.items():
        assert welch_power(5, (1, 1), true, 0, math.inf) == pytest.approx(chance, abs=0.015)
    assert "if truly 2, in standard deviations" in of_pilot(BY_ID["O10a"])
    assert of_pilot(BY_ID["O9"]) == of_pilot(BY_ID["6b"]) == ""


def test_what_is_quoted_is_what_the_paper_has(theirs: Paper) -> None:
    for id_, game in (("10a", "breakout"), ("10b", "enduro"), ("10c", "seaquest")):
        scores = theirs.table2[f"atari_{game}"]
        assert BY_ID[id_].expected == scores["wn"] - scores["plain"]
        assert BY_ID[id_].paper.startswith(f"{scores['wn']:g} and {scores['plain']:g}: ")
    means = [np.mean([*theirs.curve("figure5", arm).values()]) for arm in ("wn", "plain")]
    assert BY_ID["10e"].paper.startswith("means of {:.0f} and {:.0f}: +142".format(*means))
    assert round(means[0] - means[1]) == 142
