"""A caption says what stands behind a figure."""

import math
from pathlib import Path

from example import configs, run, write

from wnrepro.analysis import captions
from wnrepro.analysis.evidence import select
from wnrepro.analysis.records import Records, load

NAME = "digits_arms"


def records(tmp_path: Path, *runs) -> Records:
    return select(load(write(tmp_path / "results", runs)), NAME)


def test_all_that_is_to_be_said_of_a_part_of_a_sweep(tmp_path: Path) -> None:
    wn = [c for c in configs(NAME) if c["norm"]["name"] == "wn"]
    plain = [c for c in configs(NAME) if c["norm"]["name"] == "plain"]
    found = records(
        tmp_path,
        run(wn[0], dirty="True"),
        run(wn[1], diverged=True),
        run(wn[2], gpu="A GPU", device="cuda", commit="a" * 40 + " + " + "b" * 40),
        run(plain[0]),
    )
    assert captions.seeds_by_arm(found.runs) == "n = 1 to 2 seeds (plain 1, wn 2)"
    title = captions.heading(NAME, found)
    assert title.endswith("mean and 95 % t interval, n = 1 to 2 seeds, 1 run diverged")
    said = captions.caption(NAME, found)
    assert (
        "Diverged (1 of 4 runs): wn seed 1, learning rate 0.003, in epoch 3. No mean includes them."
        in said
    )
    assert "4 of 25 planned runs" in said
    assert "python -m wnrepro.train -m +sweep=digits_arms" in said
    assert "1 of 4 runs were not made from a clean commit" in said
    assert "A CPU and A GPU" in said
    assert "commit 0123456 and aaaaaaa and bbbbbbb" in said


def test_nothing_is_said_of_what_is_as_it_should_be(complete_records: Records) -> None:
    said = captions.caption(NAME, select(complete_records, NAME))
    assert "No run diverged." in said
    assert "planned" not in said
    assert "clean" not in said


def test_n_is_that_of_each_setting(tmp_path: Path) -> None:
    """Five seeds at one learning rate and one at another are not five seeds."""
    wn = [c for c in configs("mnist_lr_robustness") if c["norm"]["name"] == "wn"]
    found = load(write(tmp_path / "results", [run(c) for c in wn[:6]]))
    assert captions.seeds(found.runs) == "n = 1 to 5 seeds"
    assert captions.seeds(found.runs[found.runs["learning_rate"] == 1e-5]) == "n = 5 seeds"
    one = found.runs[found.runs["learning_rate"] == 3e-5]
    assert captions.seeds(one) == captions.seeds_by_arm(one) == "n = 1 seed"


def test_many_that_diverged_are_counted_by_arm(complete_records: Records) -> None:
    runs = select(complete_records, "mnist_lr_robustness").runs
    assert captions.divergence(runs) == (
        "21 of 325 runs diverged (10 of plain, 11 of wn). No mean includes them."
    )


def test_an_arm_that_diverged_in_every_seed_has_n_0(tmp_path: Path) -> None:
    wn, plain = (
        [c for c in configs(NAME) if c["norm"]["name"] == arm][:2] for arm in ("wn", "plain")
    )
    found = records(tmp_path, *(run(c, diverged=True) for c in wn), *map(run, plain))
    assert captions.seeds_by_arm(found.runs) == "n = 0 to 2 seeds (plain 2, wn 0)"


def test_one_run_each_has_no_mean(tmp_path: Path) -> None:
    found = records(tmp_path, run(configs(NAME)[0]))
    assert "n = 1 seed. One run each: no mean, no interval." in captions.caption(NAME, found)


def test_times_that_do_not_compare_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    chosen = configs(NAME)
    found = records(
        tmp_path,
        run(chosen[0], cpu="another CPU"),
        *map(run, chosen[1:4]),
        run(chosen[4], commit="f" * 40),
    )
    assert "left out" not in captions.caption(NAME, found)
    said = captions.caption(NAME, found, timed=True)
    assert "2 of 5 runs are left out, from other hardware, torch or commit" in said
    assert "another CPU" not in said
    assert "5 of 25 planned runs" in said


def test_hardware_and_commit_of_a_run():
    run = {"gpu": None, "cpu": "Xeon", "threads": 2.0, "dirty": True, "commit": "0123456789ab"}
    assert captions.hardware(run) == "Xeon, 2 threads"
    assert captions.hardware(run | {"threads": math.nan}) == "Xeon"
    assert captions.hardware(run | {"gpu": "H100"}) == "H100"
    assert captions.commit(run) == "0123456789 with changes"
    assert captions.commit(run | {"commit": None, "dirty": False}) == "no commit"
    assert (
        captions.commit(run | {"commit": "a" * 40 + " + " + "b" * 40})
        == f"{'a' * 10} + {'b' * 10} with changes"
    )
