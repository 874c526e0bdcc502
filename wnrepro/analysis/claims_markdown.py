"""The table of claims as Markdown."""

from collections import Counter
from collections.abc import Sequence

from wnrepro.analysis.claims_mechanisms import NO_VERDICTS
from wnrepro.analysis.claims_row import MECHANISM, NEAREST, VERDICT, Row

_INTRODUCTION = """\
# The paper's claims, and what we found

Salimans & Kingma, *Weight Normalization*, NIPS 2016. Written by `python scripts/make_figures.py`
from the tables beside this page; the criteria stand in `wnrepro/analysis/claims_paper.py`.

A claim is a region for one number. It is **reproduced** if the whole 95 % interval of our number
lies in the region, **not reproduced** if the whole interval lies outside, **inconclusive**
otherwise, and always with fewer than 3 seeds. So that two arms are *equal* is confirmed only by an
interval within a margin, and that one is *lower* has a least difference that counts. A verdict on
CIFAR-10 rests on runs of the paper's whole protocol alone; *nearest evidence* is the same number
from something smaller, for which the criterion was not made, or from the benchmark, and gives no
verdict. Intervals are over seeds, with the one test set that there is, and not widened for the
number of claims: of twenty, one may be wrong by chance.

A run that diverged is never left out in silence: what it counts as is said in
`wnrepro/analysis/claims_measures.py`. `plain` is here what the paper's text says; the released
code's plain network is another (README, *Differences from the paper*).
"""
_OUTLOOK = """\
The paper's other experiments (VAE, DRAW, DQN; sections 5.2 to 5.4) were not tried.
"""


def as_markdown(rows: Sequence[Row]) -> str:
    """The verdicts as two tables, then every claim with its criterion and evidence."""
    verdicts = [row for row in rows if row.role == VERDICT]
    mechanisms = [row for row in rows if row.role == MECHANISM]
    nearest = [row for row in rows if row.role == NEAREST]
    parts = [
        _INTRODUCTION,
        f"## The experiments: {summary(verdicts)}\n",
        _table(
            ("", "claim", "the paper", "ours", "n", "verdict"),
            [
                (r.id, r.claim, r.paper, r.ours or r.because, r.n, f"**{r.verdict}**")
                for r in verdicts
            ],
        ),
        _OUTLOOK,
        f"## The arguments: {summary(mechanisms)}\n",
        "Each tested on its own, on small networks. Claim 7, on the noise of batch statistics, is "
        "M7. Criteria, figures and every number with its interval: "
        "[mechanisms/README.md](mechanisms/README.md).\n",
        _table(
            ("", "argument", "ours", "n", "verdict"),
            [(r.id, r.quantity, r.ours or r.settle, r.n, f"**{r.verdict}**") for r in mechanisms],
        )
        if mechanisms
        else f"{NO_VERDICTS}\n",
        "## Each claim\n",
        *(_section(row, [each for each in nearest if each.id == row.id]) for row in verdicts),
    ]
    return "\n".join(parts)


def summary(rows: Sequence[Row]) -> str:
    counts = Counter(row.verdict for row in rows)
    outcomes = ("reproduced", "not reproduced", "inconclusive")
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in outcomes)


def _section(row: Row, nearest: Sequence[Row]) -> str:
    lines = [
        f"### {row.id}. {row.claim}\n",
        f"- {row.source}. The paper: {row.paper}.",
        f"- Our number: {row.quantity}. *Reproduced if* it lies {row.criterion}.",
        f"- **{row.verdict}**: {row.because}. {_evidence(row)}".rstrip(),
    ]
    if row.settle:
        lines.append(f"- Would settle it: {_code(row.settle)}")
    lines += [f"- Nearest evidence, no verdict: {_evidence(each)}" for each in nearest]
    return "\n".join(lines) + "\n"


def _evidence(row: Row) -> str:
    if row.n == "0":
        return ""
    note = f" {row.because}." if row.role == NEAREST and row.because else ""
    n = f"{row.n} seed{'s' * (row.n != '1')}" if row.n.isdigit() else row.n
    return (
        f"{row.judged_on}: {row.ours} ({row.interval}; n = {n}; "
        f"{row.hardware}; commit {row.commit}).{note}"
    )


def _code(settle: str) -> str:
    if not settle.startswith("python"):
        return settle
    return " or ".join(f"`{command}`" for command in settle.split(" or "))


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    cells = [
        heads,
        ["---"] * len(heads),
        *([cell.replace("|", "\\|") for cell in line] for line in lines),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"
