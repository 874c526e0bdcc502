"""Where and how large everything is measured."""

import os
from dataclasses import dataclass
from typing import TypeVar

import torch

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

    @property
    def workers(self) -> int:
        """Processes of a DataLoader: as many as there are cores."""
        return self.pick(cores(), 1)

    def on_gpu_or_cpu(self, gpu: T, cpu: T) -> T:
        return gpu if self.gpu else cpu


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
