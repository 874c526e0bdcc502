"""The numbers of the tables, from a few runs and by hand."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from example import configs, run, write

from wnrepro.analysis.exhibit import Cells
from wnrepro.analysis.exhibits import TABLES
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, load

BF16, FLOAT32 = "cifar_table1_bf16", "cifar_table1"


def records(
    tmp_path: Path, name: str, errors: Mapping[tuple[str, int], float | None], key: str = "arm"
) -> Records:
    """The runs of (arm, seed) with these test errors; None for one that diverged."""
    runs = []
    for config in configs(name):
        place = (config["norm"]["name"] if key == "arm" else config["init"]["name"], config["seed"])
        if place in errors:
            error = errors[place]
            if error is None:
                runs.append(run(config, diverged=True))
            else:
                part = "held_out" if config["data"]["held_out"] else "test"
                made = run(config, lambda c, epoch, e=error: e)
                made.curve[-1][f"{part}_error_percent"] = repr(error)
                made.row[f"{part}_error_percent"] = repr(error)
                runs.append(made)
    return load(write(tmp_path / "results", runs))


def row(table: Cells, *start: str) -> dict[str, str]:
    (found,) = [each for each in rows(table) if each[: len(start)] == start]
    return dict(zip(table.words, found, strict=True))


def rows(table: Cells) -> list[tuple[str, ...]]:
    return list(table.words.itertuples(index=False, name=None))


def build(name: str, records: Records, theirs: Paper) -> Cells:
    return TABLES[name].cells(records, theirs)


def test_table1_by_hand(tmp_path: Path, theirs: Paper) -> None:
    errors = {("wn", 0): 8.0, ("wn", 1): 8.4, ("wn", 2): 8.8, ("bn", 0): 9.0, ("bn", 1): 9.1}
    errors |= {("bn", 2): 9.2, ("plain", 0): 8.43}
    table = build("table1", records(tmp_path, FLOAT32, errors), theirs)
    # mean 8.4, s = 0.4, n = 3: ± 4.303·0.4/√3 = 0.99
    wn = row(table, "weight norm")
    assert wn["precision"] == "float32"
    assert wn["test error (%)"] == "8.40 [7.41, 9.39]"
    assert wn["bootstrap"] == "[8.00, 8.80]"
    assert wn["all values"] == "8.00, 8.40, 8.80"
    assert (wn["n"], wn["paper"], wn["ours − paper"]) == ("3", "8.46", "−0.06")
    assert wn["paper in our t interval"] == "yes"
    assert wn["2019 re-run"] == "8.28"
    # ± 4.303·0.1/√3 = 0.25; the paper has 8.05
    bn = row(table, "batch norm")
    assert bn["test error (%)"] == "9.10 [8.85, 9.35]"
    assert (bn["ours − paper"], bn["paper in our t interval"]) == ("1.05", "no")
    # One seed says nothing about an interval.
    plain = row(table, "plain")
    assert (plain["test error (%)"], plain["bootstrap"]) == ("8.43", "–")
    assert plain["paper in our t interval"] == "–"
    # An arm without runs has the paper's number and none of ours.
    mean_only = list(row(table, "mean-only batch norm").values())
    assert mean_only[1:] == ["–", "–", "–", "0", "–", "8.52", "–", "–", "–"]
    assert len(rows(table)) == 5
    values = table.values.set_index("arm")
    assert values.loc["wn", "test_error_percent"] == pytest.approx(8.4)
    assert math.isnan(values.loc["plain", "test_error_percent_low"])
    assert values.loc["wn", "values"] == "8.0 8.4 8.8"


def test_table1_keeps_precisions_apart(tmp_path: Path, theirs: Paper) -> None:
    runs = []
    for name, error in ((BF16, 8.0), (FLOAT32, 6.0)):
        for config in configs(name):
            if config["norm"]["name"] == "wn" and config["seed"] < 2:
                made = run(config)
                made.row["test_error_percent"] = repr(error)
                made.curve[-1]["test_error_percent"] = repr(error)
                runs.append(made)
    table = build("table1", load(write(tmp_path / "r", runs)), theirs)
    assert row(table, "weight norm", "bf16")["test error (%)"].startswith("8.00")
    assert row(table, "weight norm", "float32")["test error (%)"].startswith("6.00")


def test_diverged_runs_are_counted_and_named(tmp_path: Path, theirs: Paper) -> None:
    errors = {("wn", 0): 8.0, ("wn", 1): None, ("wn", 2): 8.8, ("bn", 0): None}
    table = build("table1", records(tmp_path, FLOAT32, errors), theirs)
    wn = row(table, "weight norm")
    assert wn["n"] == "2 of 3 (1 diverged)"
    assert wn["all values"] == "8.00, diverged, 8.80"
    assert wn["test error (%)"].startswith("8.40 [")
    bn = row(table, "batch norm")
    assert (bn["test error (%)"], bn["n"]) == ("–", "0 of 1 (1 diverged)")


def test_errors_are_paired_with_plain_by_seed(tmp_path: Path, theirs: Paper) -> None:
    errors = {("plain", 0): 2.0, ("plain", 1): 3.0, ("plain", 2): 4.0}
    errors |= {("wn", 0): 1.0, ("wn", 1): 2.0, ("wn", 2): 3.0, ("wn", 4): 4.9}
    table = build("mnist_arms_errors", records(tmp_path, "mnist_arms", errors), theirs)
    # The differences are −1 each, though the values spread; seed 4 has no partner.
    assert row(table, "weight norm")["test error − plain's"] == "−1.00 [−1.00, −1.00] (3 pairs)"
    values = table.values.set_index("arm").loc["wn"]
    assert (values["n"], values["test_minus_plain_n"]) == (4, 3)
    assert row(table, "plain")["test error − plain's"] == "–"
    assert row(table, "weight norm")["test error (%)"].startswith("2.73 [")


def test_times_of_different_machines_have_no_mean(tmp_path: Path, theirs: Paper) -> None:
    chosen = [c for c in configs("mnist_arms") if c["norm"]["name"] in ("wn", "plain")]
    runs = [
        run(c, cpu="another CPU" if (c["norm"]["name"], c["seed"]) == ("wn", 1) else "A CPU")
        for c in chosen
    ]
    found = load(write(tmp_path / "results", runs))
    values = build("mnist_arms_errors", found, theirs).values.set_index("arm")
    assert values.loc["plain", "time_per_epoch_sec_n"] == 5
    assert values.loc["plain", "time_per_epoch_sec"] > 0
    assert values.loc["wn", "time_per_epoch_sec_n"] == 0
    assert math.isnan(values.loc["wn", "time_per_epoch_sec"])


def test_epochs_that_were_not_reached_are_no_numbers(tmp_path: Path, theirs: Paper) -> None:
    levels = {("plain", 0): 4.0, ("plain", 1): 4.0, ("wn", 0): 0.5, ("wn", 1): 2.0}
    found = records(tmp_path, "mnist_arms", levels)
    table = build("epochs_mnist", found, theirs)
    assert row(table, "plain")["epochs to 5 %"] == "1.0 [1.0, 1.0]"
    assert row(table, "plain")["epochs to 3 %"] == "not in 20"
    assert row(table, "weight norm")["epochs to 1 %"] == "1 of 2 seeds, the first at 1"
    values = table.values.set_index("arm")
    assert math.isnan(values.loc["wn", "epochs_to_1_percent"])
    assert values.loc["wn", "epochs_to_1_percent_reached"] == 1
    assert row(table, "weight norm")["time per epoch / plain's"] == "0.91 [0.91, 0.91]"


def test_epochs_beside_the_papers(tmp_path: Path, theirs: Paper) -> None:
    found = records(tmp_path, FLOAT32, {("wn", 0): 0.5})
    table = build("epochs_cifar_float32", found, theirs)
    assert rows(table)[0][:3] == ("weight norm", "1.0", "36")


def test_first_epochs_beside_the_papers(tmp_path: Path, theirs: Paper) -> None:
    made = [
        run({**config, "seed": seed}) for seed in (0, 1) for config in configs("cifar_first_epochs")
    ]
    made[1] = run(configs("cifar_first_epochs")[1], diverged=True)  # wn, seed 0
    table = build("first_epochs", load(write(tmp_path / "results", made)), theirs)
    # the paper's curve of bn begins at 8 with 14.873, of wn at 12: at 11 it has its edge
    assert [r[1] for r in rows(table) if r[0] == "batch norm"] == ["8", "9", "10", "11", "12"]
    assert [r[1] for r in rows(table) if r[0] == "weight norm"] == ["12"]
    first = row(table, "batch norm", "8")
    assert (first["paper, counting from 1"], first["from 0"], first["n"]) == ("14.87", "–", "2")
    second = row(table, "batch norm", "9")
    assert (second["paper, counting from 1"], second["from 0"]) == ("13.83", "14.87")
    values = [
        float(r["train_error_percent"])
        for m in (made[2], made[7])  # bn
        for r in m.curve
        if r["epoch"] == "9"
    ]
    assert second["training error (%)"].startswith(f"{sum(values) / 2:.2f} [")
    assert row(table, "weight norm", "12")["n"] == "1"
    assert "[" not in row(table, "weight norm", "12")["training error (%)"]
    assert len(table.values) == 5 * 12


def test_learning_rates_count_what_diverged(complete_records: Records, theirs: Paper) -> None:
    table = build("learning_rates", complete_records, theirs)
    assert [each[0] for each in rows(table)][-3:] == ["1", "3", "10"]
    assert row(table, "10")["plain"] == "5 of 5 diverged"
    assert row(table, "1")["weight norm"].endswith("; 1 of 5 diverged")
    assert "diverged" not in row(table, "0.003")["weight norm"]
    values = table.values.set_index(["arm", "learning_rate"])
    assert math.isnan(values.loc[("plain", 10.0), "test_error_percent"])
    assert values.loc[("wn", 1.0), "n"] == 4


def test_inits_are_paired_by_seed(tmp_path: Path, theirs: Paper) -> None:
    errors = {("data_dependent", 0): 2.0, ("data_dependent", 1): 5.0}
    errors |= {("none", 0): 1.5, ("none", 1): 4.5, ("none", 2): 70.0}
    found = records(tmp_path, "mnist_init_ablation", errors, key="init")
    table = build("init_ablation", found, theirs)
    wn = row(table, "weight norm")
    assert wn["with − without"] == "0.50 [0.50, 0.50]"
    assert (wn["n with"], wn["n without"]) == ("2", "3")


def test_optimisers_say_their_learning_rate(complete_records: Records, theirs: Paper) -> None:
    table = build("optimisers", complete_records, theirs)
    assert len(rows(table)) == 15
    assert row(table, "averaged_momentum", "weight norm")["learning rate"] == "0.1"
    # plain at learning rate 0.3 and wn at 0.1 do not diverge; bn's 3 does not either
    assert {each[5] for each in rows(table)} == {"5"}


def test_runs_in_progress_are_in_no_table(tmp_path: Path, theirs: Paper) -> None:
    runs = [run(c, so_far=31 if c["seed"] == 2 else 0) for c in configs(BF16)]
    both = load(write(tmp_path / "both", runs))
    alone = load(write(tmp_path / "alone", [r for r in runs if r.row["status"] == "done"]))
    for name in ("table1", "epochs_cifar_bf16"):
        one, other = (build(name, records, theirs) for records in (both, alone))
        assert one.values.equals(other.values)
        assert one.words.equals(other.words)
    assert TABLES["table1"].lacks(both)[0].startswith(f"{BF16} has 10 of 15 runs")
    going = load(write(tmp_path / "going", [run(c, so_far=31) for c in configs(BF16)]))
    assert TABLES["table1"].used(going) == []


def test_a_run_that_broke_down_is_in_no_mean_and_all_are_shown(
    tmp_path: Path, theirs: Paper
) -> None:
    """An interval of [5.9, 62.8] for four runs near 24 and one at 75 would say nothing."""
    plain = {0: 24.0, 1: 22.8, 2: 75.1, 3: 25.0, 4: 23.5}
    errors = {("plain", seed): error for seed, error in plain.items()}
    errors |= {("wn", seed): 22.0 + seed / 10 for seed in range(5)}
    errors |= {("bn", 0): 18.0, ("bn", 1): 60.0}
    table = build(
        "cifar_small_one_rate_errors", records(tmp_path, "cifar_small_one_rate", errors), theirs
    )
    found = row(table, "plain")
    said = "median 24.00 of 22.80, 23.50, 24.00, 25.00, 75.10; 1 of 5 broke down"
    assert found["test error (%)"] == said
    wn = row(table, "weight norm")
    assert wn["test error (%)"].startswith("22.20 [")
    assert (wn["test error − plain's"], wn["not paired"]) == ("−1.80 of medians", "–")
    assert "broke down" not in row(table, "batch norm")["test error (%)"]  # of two, which?
    values = table.values.set_index("arm")
    assert values["broke_down"].to_dict() == {"plain": 1, "wn": 0, "bn": 0}


def test_welchs_interval_stands_beside_the_paired_one(tmp_path: Path, theirs: Paper) -> None:
    errors = {("plain", seed): 1.0 + seed for seed in range(3)}
    errors |= {("wn", seed): 1.5 + seed for seed in range(3)}
    found = row(
        build("mnist_arms_errors", records(tmp_path, "mnist_arms", errors), theirs), "weight norm"
    )
    assert found["test error − plain's"] == "0.50 [0.50, 0.50]"
    assert found["not paired"] == "0.50 [−1.77, 2.77]"  # ± 2.776·√(2/3)
