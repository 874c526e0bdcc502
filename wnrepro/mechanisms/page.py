"""The page of results: every claim with its expectation, figure, numbers and verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wnrepro.mechanisms import tables
from wnrepro.mechanisms.experiment import Experiment, Verdict

PAGE = "README.md"

_INTRODUCTION = """\
# Why weight normalisation should work: the paper's arguments, tested one by one

A layer of a neural network computes φ(w·x + b) per unit, with a weight vector w, a shift b and a
nonlinearity φ. *Weight normalisation* (Salimans & Kingma, NIPS 2016) writes

$$w = \\frac{g}{\\lVert v\\rVert}\\,v$$

and trains the length g and the vector v by gradient descent in place of w. The network can
represent the same functions as before; what changes is the path that training takes. The paper
argues for this path with a few statements about norms, gradients and variances. Each is measured
here on its own, on small networks that two CPU cores train in minutes.

For each experiment the expectation and the criteria of the verdict were written before the run that
is shown; where settings were chosen after trial runs, the setup says so, and what was understood
only from the results stands under *afterwards*. The texts are those of the module of the
experiment's name in `wnrepro/mechanisms/`, which also computes the verdict from the CSV files
beside this page. A verdict needs at least three seeds (a seed fixes the
starting weights and the order of the data). *Arms* are the networks compared: *plain* (w itself is
trained), *weight norm*, *batch norm* (each pre-activation is shifted and scaled to mean 0 and
variance 1 over the batch), *mean-only batch norm* (only shifted), and *weight norm + mean-only
batch norm*. A *step size* or *learning rate* η is the factor before the gradient; 1 *nat* is
1/ln 2 bits.
"""


def write(
    path: Path,
    judged: Sequence[tuple[Experiment, Verdict | None, str]],
    results: Path,
    command: str,
) -> None:
    """Write the page. judged: each experiment, its verdict (None: not run yet) and the caption."""
    parts = [_INTRODUCTION, _summary(judged)]
    for number, (experiment, verdict, caption) in enumerate(judged, 1):
        parts.append(_section(number, experiment, verdict, caption, results))
    parts.append(
        f"## Again\n\n    {command}\n\nmeasures what is missing, and writes the tables, the "
        "figures and this page; `--figures-only` judges and draws again from the tables.\n"
    )
    path.write_text("\n".join(parts), encoding="utf-8")


def _summary(judged: Sequence[tuple[Experiment, Verdict | None, str]]) -> str:
    lines = ["| | experiment | verdict | because |", "|---|---|---|---|"]
    for number, (experiment, verdict, _) in enumerate(judged, 1):
        outcome = f"**{verdict.outcome}**" if verdict else "not run"
        because = _cell(verdict.because) if verdict else ""
        lines.append(f"| {number} | {experiment.title} | {outcome} | {because} |")
    return "\n".join(lines) + "\n"


def _section(
    number: int, experiment: Experiment, verdict: Verdict | None, caption: str, results: Path
) -> str:
    e = experiment
    text = [
        f"## {number}. {e.title}",
        f"**Claim** ({e.source}). {e.claim.strip()}",
        e.equation.strip(),
        f"**Setup.** {e.setup.strip()}",
        f"**Expected.** {e.expectation.strip()}",
        f"*Reproduced if* {e.reproduced_if.strip()}",
        f"*Not reproduced if* {e.not_reproduced_if.strip()} Anything else is inconclusive.",
    ]
    if verdict is None:
        return "\n\n".join([*text, "**Not run yet.**"]) + "\n"
    rows = [
        f"| {_cell(f.what)} | {_cell(f.value)} | {_cell(f.interval)} | {_cell(f.n)} |"
        for f in verdict.findings
    ]
    text += [
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{e.name}-dark.svg">'
        f'<img src="{e.name}.png" alt="{e.title}"></picture>',
        f"*{caption.strip()}*",
        "\n".join(["| measured | value | interval | n |", "|---|---|---|---|", *rows]),
        f"**Verdict: {verdict.outcome}.** {verdict.because}",
        *([f"**Afterwards.** {e.afterwards.strip()}"] if e.afterwards else []),
        _origin(e.name, tables.provenance(e.name, results), results),
    ]
    return "\n\n".join(text) + "\n"


def _origin(name: str, provenance: Mapping[str, Any], results: Path) -> str:
    files = ", ".join(f"[{table}.csv]({table}.csv)" for table in tables.read(name, results))
    sources = []
    for source in provenance.get("sources", ()):
        commit = (source.get("commit") or "no commit")[:10]
        changed = ", with changes" if source.get("dirty") else ""
        sources.append(
            f"torch {source.get('torch')}, {source.get('cpu')}, commit {commit}{changed} "
            f"({source['pieces']} of {provenance['pieces']} pieces)"
        )
    spent = f"{provenance.get('core_seconds', 0) / 60:.1f} core-minutes; " if provenance else ""
    return f"<sub>Data: {files}. {spent}{'; '.join(sources)}. Float32, one thread per piece.</sub>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
