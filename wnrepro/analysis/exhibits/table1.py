"""Table 1: test error at the paper's whole protocol, ours beside the paper's."""

import pandas as pd

from wnrepro.analysis.canvas import TEST
from wnrepro.analysis.exhibit import (
    MEAN,
    MISSING,
    Cells,
    Table,
    count,
    interval_of,
    interval_values,
    listed,
    number,
    with_interval,
)
from wnrepro.analysis.exhibits.figure1 import PROTOCOL
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, finals, finite
from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.statistics import Interval, bootstrap_interval


def tabulate(chosen: dict[str, Records], paper: Paper) -> Cells:
    """Test error by arm, for each experiment, beside the paper's; all arms of the paper."""
    words, values = [], []
    for arm in (*PAPER_ARMS, "plain_frozen_scale"):
        own = {name: each.runs[each.runs["arm"] == arm] for name, each in chosen.items()}
        own = {name: runs for name, runs in own.items() if len(runs)}
        if not own and arm in PAPER_ARMS:
            words.append(_words(arm, paper, None, {}, None))
        for name, runs in own.items():
            seeds, precision = finals(runs), runs["precision"].iloc[0]
            known = list(finite(seeds).values())
            t, bootstrap = interval_of(seeds), bootstrap_interval(known) if known else None
            words.append(_words(arm, paper, precision, seeds, bootstrap))
            values.append(
                {"arm": arm, "precision": precision}
                | {"n": len(known), "diverged": len(seeds) - len(known)}
                | interval_values(TEST, t)
                | interval_values(f"{TEST}_bootstrap", bootstrap)
                | {"values": " ".join(map(str, seeds.values())), "paper": paper.table1.get(arm)}
                | dict(
                    zip(("difference", "paper_in_t_interval"), _beside(t, arm, paper), strict=True)
                )
                | {"rmsnorm_2019_rerun": paper.rerun.get(arm), "evidence": name}
            )
    return Cells(pd.DataFrame(words), pd.DataFrame(values))


def _words(
    arm: str,
    paper: Paper,
    precision: str | None,
    seeds: dict[int, float],
    bootstrap: Interval | None,
) -> dict[str, str]:
    t = interval_of(seeds)
    difference, inside = _beside(t, arm, paper)
    ends = bootstrap is not None and bootstrap.n > 1
    return {
        "arm": ARMS[arm].label,
        "precision": precision or MISSING,
        "test error (%)": with_interval(t),
        "bootstrap": f"[{number(bootstrap.low)}, {number(bootstrap.high)}]" if ends else MISSING,
        "n": count(seeds),
        "all values": listed(seeds.values()),
        "paper": number(paper.table1.get(arm)),
        "ours − paper": number(difference),
        "paper in our t interval": {True: "yes", False: "no", None: MISSING}[inside],
        "2019 re-run": number(paper.rerun.get(arm)),
    }


def _beside(t: Interval | None, arm: str, paper: Paper) -> tuple[float | None, bool | None]:
    """Ours minus the paper's; whether the paper's lies in our interval. None: not known."""
    theirs = paper.table1.get(arm)
    if t is None or theirs is None:
        return None, None
    return t.estimate - theirs, t.contains(theirs) if t.n > 1 else None


TABLES = (
    Table(
        name="table1",
        title="CIFAR-10: test error in percent after 200 epochs, ours and the paper's",
        evidence=(*PROTOCOL, "cifar_frozen_scale_bf16", "cifar_frozen_scale"),
        says=f"{MEAN}; bootstrap: 95 % percentile bootstrap interval of the mean over seeds, "
        "which with 3 seeds is their range. The paper's table 1 has one number per arm and no "
        "interval. 2019 re-run: the authors' code run by Zhang & Sennrich (RMSNorm, table 10).",
        build=tabulate,
    ),
)
