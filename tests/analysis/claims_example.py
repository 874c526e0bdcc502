"""Made-up records for the tests of claims, in which the truth is known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from wnrepro.analysis.claims.criteria import CLAIMS, OURS
from wnrepro.analysis.claims.judgement import Row, judge
from wnrepro.analysis.evidence import EVIDENCE
from wnrepro.analysis.records import Records, setting_identity
from wnrepro.analysis.settings import nested
from wnrepro.runs.tables import CURVES_COLUMNS, LAYERS_COLUMNS, RUNS_COLUMNS

ARMS = ("plain", "wn", "bn", "mean_only_bn", "wn_mean_only_bn")
PAPER = {"plain": 8.43, "wn": 8.46, "bn": 8.05, "mean_only_bn": 8.52, "wn_mean_only_bn": 7.31}
NOISE = (0.0, 0.03, -0.02, 0.01, -0.03)
BY_ID = {claim.id: claim for claim in (*CLAIMS, *OURS)}


@dataclass(frozen=True)
class Run:
    """What a synthetic run leaves. Its training error nears `floor` by the factor `decay`."""

    test: float = 8.5
    decay: float = 0.95
    floor: float = 0.1
    epoch_time: float = 10.0
    norms: Sequence[float] = (1.0, 2.0)
    status: str = "done"
    gpu: str = "H100"


DIVERGED = Run(test=math.nan, epoch_time=10.0, status="diverged", decay=1.0)


def records(
    evidence: str, runs: Mapping[tuple[str, float, int], Run], epochs: int = 200
) -> Records:
    """Records with the runs of `evidence`, by arm, learning rate and seed."""
    settings = {(s["norm.name"], s["optim.lr"]): nested(s) for s in EVIDENCE[evidence].settings}
    rows, curves, layers = [], [], []
    for (arm, rate, seed), run in runs.items():
        identity, config = f"{evidence}-{arm}-{rate}-{seed}", {**settings[arm, rate], "seed": seed}
        rows.append(
            {"identity": identity, "arm": arm, "learning_rate": rate, "seed": seed}
            | {"test_error_percent": run.test, "held_out_error_percent": run.test}
            | {"epochs": epochs, "status": run.status, "time_per_epoch_sec": run.epoch_time}
            | {"device": "cuda", "cpu": "Xeon", "gpu": run.gpu, "threads": 1.0, "torch": "2.15.0"}
            | {"commit": "0123456789abcdef", "dirty": False, "config": config}
            | {"setting": setting_identity(config)}
        )
        done = epochs if run.status == "done" else 3
        curves += [
            {"identity": identity, "epoch": e, "train_error_percent": run.floor + 90 * run.decay**e}
            for e in range(1, done + 1)
        ]
        layers += [
            {"identity": identity, "layer": layer, "epoch": e, "v_norm": norm}
            for layer in ("conv1", "dense")
            for e, norm in ((1, run.norms[0]), (done, run.norms[1]))
        ]
    return Records(
        pd.DataFrame(rows, columns=[*RUNS_COLUMNS, "setting"]).set_index("identity"),
        pd.DataFrame(curves, columns=list(CURVES_COLUMNS)),
        pd.DataFrame(layers, columns=list(LAYERS_COLUMNS)),
    )


def table1(seeds: int = 5, arms: Sequence[str] = ARMS, **changes: Run) -> Records:
    """The paper's table 1 with a little noise; `changes` by arm."""
    return records("cifar_table1", table1_runs(seeds, arms, **changes))


def table1_runs(seeds: int, arms: Sequence[str] = ARMS, **changes: Run) -> dict:
    decay = {"plain": 0.942, "wn": 0.93, "bn": 0.92, "mean_only_bn": 0.945, "wn_mean_only_bn": 0.93}
    floor = {"plain": 1.0, "mean_only_bn": 1.2}
    norms = {"plain": (1.0, 1.1)}
    time = {"bn": 11.6, "wn": 10.2}
    # Noise of an arm's own, so that differences have some too.
    return {
        (arm, 0.0003 if arm == "plain" else 0.003, seed): changes.get(
            arm,
            Run(
                PAPER[arm] + NOISE[(seed + k) % 5],
                decay[arm] + NOISE[(seed + k) % 5] / 100,
                floor.get(arm, 0.1),
                time.get(arm, 10.0) + NOISE[seed],
                norms.get(arm, (1.0, 2.0)),
            ),
        )
        for k, arm in enumerate(arms)
        for seed in range(seeds)
    }


def together(*parts: Records) -> Records:
    frames = zip(*((part.runs, part.curves, part.layers) for part in parts), strict=True)
    return Records(*map(pd.concat, frames))


def verdict(id_: str, of: Records) -> Row:
    return judge(BY_ID[id_], of)[0]
