"""Doing an experiment piece by piece, so that a command that was killed goes on.

A piece leaves `<work>/<experiment>/<hash>.json` in one step. The hash is of all that its numbers
depend on by declaration: the experiment's name and version and the part.
"""

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wnrepro import processes
from wnrepro.errors import RunError
from wnrepro.mechanisms import load
from wnrepro.mechanisms.experiment import Experiment, Part
from wnrepro.replacement import replace_file
from wnrepro.runs.interruption import interrupts_ignored


@dataclass(frozen=True)
class Piece:
    """One part of an experiment and the file it leaves."""

    experiment: str
    part: Part
    path: Path

    def measure(self, provenance: Mapping[str, Any]) -> None:
        start = time.perf_counter()
        tables = load(self.experiment).measure(self.part)
        record = {
            "experiment": self.experiment,
            "part": self.part,
            "seconds": round(time.perf_counter() - start, 3),
            "provenance": provenance,
            "tables": tables,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, json.dumps(record, ensure_ascii=False))


def pieces(experiment: Experiment, smoke: bool, work: Path) -> list[Piece]:
    """All pieces of an experiment, in the order of its parts."""
    name = experiment.name
    return [
        Piece(name, part, work / name / f"{identity(experiment, part)}.json")
        for part in experiment.parts(smoke)
    ]


def identity(experiment: Experiment, part: Part) -> str:
    text = json.dumps([experiment.name, experiment.version, part], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run(
    todo: Sequence[Piece], jobs: int, provenance: Mapping[str, Any]
) -> Iterator[tuple[Piece, str | None]]:
    """Measure pieces in `jobs` processes of one thread; each as it is done, with its error.

    A piece that fails stops no other. Closing the iterator, or Ctrl-C, leaves the rest undone.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes when they import torch
    with interrupts_ignored():
        processes.prepare([__name__])
    with ProcessPoolExecutor(jobs, processes.context(), torch.set_num_threads, (1,)) as pool:
        with interrupts_ignored():
            waiting = {pool.submit(piece.measure, provenance): piece for piece in todo}
        try:
            for future in as_completed(waiting):
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise RunError(
                        "a measuring process died (out of memory?); the same command goes on"
                    ) from error
                yield waiting[future], None if error is None else f"{type(error).__name__}: {error}"
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # a piece is written whole or not at all
            raise
