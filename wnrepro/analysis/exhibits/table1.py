"""Table 1: test error at the paper's whole protocol, ours beside the paper's."""

from wnrepro.analysis import exhibit
from wnrepro.analysis.canvas import TEST
from wnrepro.analysis.exhibits.figure1 import PROTOCOL
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records, finals, finite
from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.intervals import bootstrap_interval

EVIDENCE = (*PROTOCOL, "cifar_frozen_scale_bf16", "cifar_frozen_scale")
_INSIDE = {True: "yes", False: "no", None: exhibit.MISSING}


def rows(records: Records, paper: Paper) -> exhibit.Rows:
    """Test error by arm, for each experiment, beside the paper's; all arms of the paper."""
    for arm in (*PAPER_ARMS, "plain_frozen_scale"):
        own = records.runs[records.runs["arm"] == arm]
        theirs, rerun = paper.table1.get(arm), paper.rerun.get(arm)
        present = [(name, own[own["evidence"] == name]) for name in EVIDENCE]
        present = [(name, runs) for name, runs in present if name in set(own["evidence"])]
        for name, runs in present or [("", own)] * (arm in PAPER_ARMS):
            seeds, precision = finals(runs), runs["precision"].max()
            known = list(finite(seeds).values())
            t, bootstrap = exhibit.interval_of(seeds), bootstrap_interval(known) if known else None
            difference = t.estimate - theirs if t and theirs else None
            inside = t.contains(theirs) if t and t.n > 1 and theirs else None
            ends = exhibit.MISSING
            if bootstrap and bootstrap.n > 1:
                ends = f"[{exhibit.number(bootstrap.low)}, {exhibit.number(bootstrap.high)}]"
            words = {
                "arm": ARMS[arm].label,
                "precision": precision if name else exhibit.MISSING,
                "test error (%)": exhibit.with_interval(t),
                "bootstrap": ends,
                "n": exhibit.count(seeds),
                "all values": exhibit.listed(seeds.values()),
                "paper": exhibit.number(theirs),
                "ours − paper": exhibit.number(difference),
                "paper in our t interval": _INSIDE[inside],
                "2019 re-run": exhibit.number(rerun),
            }
            values = {"arm": arm, "precision": precision} | exhibit.counts(seeds)
            values |= exhibit.interval_values(TEST, t)
            values |= exhibit.interval_values(f"{TEST}_bootstrap", bootstrap)
            values |= exhibit.each_seed(seeds) | {"paper": theirs}
            values |= {"difference": difference, "paper_in_t_interval": inside}
            values |= {"rmsnorm_2019_rerun": rerun, "evidence": name}
            yield words, values if name else {}


TABLES = (
    exhibit.Table(
        name="table1",
        title="CIFAR-10: test error in percent after 200 epochs, ours and the paper's",
        evidence=EVIDENCE,
        says=f"{exhibit.MEAN}; bootstrap: 95 % percentile bootstrap interval of the mean over "
        "seeds, which with 3 seeds is their range. The paper's table 1 has one number per arm and "
        "no interval. 2019 re-run: the authors' code run by Zhang & Sennrich (RMSNorm, table 10).",
        rows=rows,
    ),
)
