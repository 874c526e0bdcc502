"""Where and how large everything is measured."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch

from wnrepro.runs.manifest import processor

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """device: that of all rows. smoke: tiny sizes, so that everything runs in two minutes.

    root: folder of the data sets; None for $WNREPRO_DATA, else ./data.
    """

    device: torch.device
    smoke: bool = False
    root: str | None = None

    def pick(self, full: T, smoke: T) -> T:
        return smoke if self.smoke else full

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    def on_gpu_or_cpu(self, gpu: T, cpu: T) -> T:
        return gpu if self.gpu else cpu

    @property
    def precision(self) -> str:
        """That of a run on this device."""
        return self.on_gpu_or_cpu("bf16", "float32")

    @property
    def workers(self) -> int:
        """Processes of a DataLoader: as many as there are cores."""
        return self.pick(cores(), 1)

    @cached_property
    def matrix_units(self) -> bool:
        """Whether this is a CPU with AMX for bf16. The goals for bf16 on a CPU are its alone."""
        return not self.gpu and "amx_bf16" in (processor()["cpu_instructions"] or ())

    @property
    def no_bf16(self) -> str:
        """Why bf16 is not measured here; empty where it is. Without instructions a step takes
        minutes."""
        if self.gpu or self.smoke or torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return ""
        return "the processor has no instructions for bf16"


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
