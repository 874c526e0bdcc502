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
from wnrepro.analysis.settings import OWN_RATES
from wnrepro.arms import PAPER_ARMS
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import RunError
from wnrepro.intervals import paired_difference
from wnrepro.replacement import replace_file


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
        f"{_own_rates(found)}"
    )
    return f"{_by_arm('test error (%)', rows)}\n{said}\n"


def _own_rates(found: Records) -> str:
    """wn − plain at the one rate of the table, and with each at a rate of its own."""
    said = []
    for data in OWN_RATES:
        at_one, own = (_difference(found, f"{data}_{runs}") for runs in ("arms", "own_rates"))
        if at_one and own:
            rates = " and ".join(f"{OWN_RATES[data][arm]:g}" for arm in ("wn", "plain"))
            said.append(
                f"on {CATALOGUE[data].title} {own} points at {rates}, against {at_one} at one rate"
            )
    if not said:
        return ""
    return (
        "`wn` − `plain` with each at its own learning rate, chosen by three seeds on held-out "
        f"images: {'; '.join(said)}."
    )


def _difference(found: Records, name: str) -> str:
    """In test error, paired by seed; empty without runs of both arms."""
    runs = select(found, name).runs
    wn, plain = (finals(runs[runs["arm"] == arm], TEST) for arm in ("wn", "plain"))
    pair = paired_difference(finite(wn), finite(plain))
    return exhibit.with_interval(pair) if pair else ""


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
