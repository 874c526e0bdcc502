"""The paper's arguments as rows of the table of claims: the verdicts of `wnrepro.mechanisms`.

They are read and not computed again: the code that judges imports torch, which the analysis does
without.
"""

from collections.abc import Iterable
from pathlib import Path

from wnrepro.analysis.claims_row import FINDING, MECHANISM, Row
from wnrepro.mechanisms import verdicts
from wnrepro.mechanisms.verdicts import COMMAND, NOT_RUN, Judged

FOLDER = "mechanisms"
PAGE = "README.md"
NO_VERDICTS = (
    f"There is no `{FOLDER}/{verdicts.VERDICTS}`: `{COMMAND}` writes it, with `--figures-only` "
    "from the measurements that are there."
)


def read(results: Path) -> list[Judged]:
    """All experiments in the order of the page, as `wnrepro.mechanisms.verdicts.read`."""
    return verdicts.read(results / FOLDER)


def mechanism_rows(results: Path) -> list[Row]:
    """The experiments, each followed by its findings. Raises RunError as `read`."""
    return [row for each in read(results) for row in _rows(each)]


def _rows(each: Judged) -> Iterable[Row]:
    run = each.verdict != NOT_RUN
    made = {"hardware": each.hardware, "commit": each.commit}
    yield Row(
        MECHANISM,
        f"M{each.number}",
        each.claim,
        source=each.source,
        quantity=each.title,
        criterion=each.criterion,
        judged_on=f"{FOLDER}/{PAGE}, section {each.number}",
        ours=each.because,
        interval="given with each number" if run else "",
        n=str(each.seeds),
        verdict=each.verdict if run else "inconclusive",
        because="" if run else "no evidence yet",
        settle="" if run else f"{COMMAND} {each.name}",
        **made,
    )
    for finding in each.findings:
        yield Row(
            FINDING,
            f"M{each.number}",
            finding.what,
            ours=finding.value,
            interval=finding.interval,
            n=finding.n,
            **made,
        )
