"""The numbers of the project's README, written between its markers from the records."""

import re
from pathlib import Path

import pandas as pd

from wnrepro.analysis import exhibit
from wnrepro.analysis.canvas import TEST
from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.publication import markdown
from wnrepro.analysis.records import Records, finals, finite
from wnrepro.arms import PAPER_ARMS
from wnrepro.errors import RunError
from wnrepro.intervals import paired_difference
from wnrepro.replacement import replace_file

PLAIN_RATE = 0.001
"""On MNIST its held-out error is lowest there, by one seed; `mnist_lr_selection` asks three."""


def write(path: Path, found: Records, paper: Paper) -> None:
    """Put every part of `PARTS` between `<!-- name -->` and `<!-- /name -->` of the file.

    Raises RunError where a marker is missing.
    """
    text = path.read_text(encoding="utf-8")
    for name, build in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        part = f"{begin}{build(found, paper)}{end}"
        text, times = re.subn(f"{begin}.*?{end}", lambda _, part=part: part, text, flags=re.DOTALL)
        if times != 1:
            raise RunError(f"{path} has no {begin.strip()} … {end} to put numbers between")
    replace_file(path, text)


def _table1(found: Records, paper: Paper) -> str:
    rows = {
        "the paper's table 1": _numbers(paper.table1),
        "the authors' code, run by others in 2019": _numbers(paper.rerun),
        "ours, 200 epochs": _ours(found, "cifar_table1_bf16"),
        "ours, the first 12 of them, float32": _ours(found, "cifar_first_epochs"),
    }
    said = "After the last epoch: mean, 95 % t interval, and in round brackets n."
    return f"{_by_arm('CIFAR-10, test error (%)', rows)}\n{said}\n"


def _small(found: Records, paper: Paper) -> str:
    names = {
        "CIFAR-10, width 24, 10 epochs, each arm at the paper's rate": "cifar_small",
        "the same, all at 0.003": "cifar_small_one_rate",
        "MNIST, MLP, all at 0.003": "mnist_arms",
        "Fashion-MNIST, MLP, all at 0.003": "fashion_mnist_arms",
    }
    rows = {title: _ours(found, name) for title, name in names.items()}
    said = (
        "None of these is an experiment of the paper. One rate for all arms is nobody's best. A "
        f"run broke down that ends with over {exhibit.BROKEN} times its arm's median test error. "
        f"{_own_rate(found)}"
    )
    return f"{_by_arm('test error (%)', rows)}\n{said}\n"


def _own_rate(found: Records) -> str:
    """wn − plain on MNIST at one common rate, and what is left of it at a rate of plain's own."""
    runs = select(found, "mnist_lr_robustness").runs

    def errors(arm: str, rate: float) -> dict[int, float]:
        return finite(finals(runs[(runs["arm"] == arm) & (runs["learning_rate"] == rate)], TEST))

    ours = errors("wn", 0.003)
    at_one, own = (errors("plain", rate) for rate in (0.003, PLAIN_RATE))
    if not (ours.keys() & at_one.keys() and ours.keys() & own.keys()):
        return ""
    said = [exhibit.with_interval(paired_difference(ours, each)) for each in (at_one, own)]
    return (
        f"On MNIST `wn` − `plain` is {said[0]} points at one rate, and {said[1]} with `plain` at "
        f"{PLAIN_RATE:g}, which its held-out images prefer (one seed; LOG.md)."
    )


PARTS = {"table1": _table1, "small": _small}


def _numbers(by_arm: dict[str, float]) -> list[str]:
    return [exhibit.number(by_arm.get(arm)) for arm in PAPER_ARMS]


def _ours(found: Records, name: str) -> list[str]:
    """Test errors after the last epoch, by arm; those planned runs alone whose seeds are."""
    runs = select(found, name).runs
    cells = []
    for arm in PAPER_ARMS:
        seeds = finals(runs[(runs["arm"] == arm) & runs["seed"].isin(EVIDENCE[name].seeds)], TEST)
        said = exhibit.summary(seeds, exhibit.broken(seeds))
        cells.append(f"{said} ({exhibit.count(seeds)})" if seeds else said)
    return cells


def _by_arm(title: str, rows: dict[str, list[str]]) -> str:
    frame = pd.DataFrame(rows.values(), columns=[f"`{arm}`" for arm in PAPER_ARMS])
    frame.insert(0, title, list(rows))
    return markdown(frame)
