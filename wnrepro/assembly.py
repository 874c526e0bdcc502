"""From a config to a training on a device of this machine."""

import functools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wnrepro.config import Config, cpu_threads
from wnrepro.errors import RunError
from wnrepro.tasks import part_of
from wnrepro.training import Training

_NO_MEMORY = re.compile("out of memory|(allocate|enough) memory|Storage size")


def training(config: Config, device: torch.device) -> Training:
    """The config's training at its start, not initialised from data.

    Sets torch's threads and float32 precision for the process. Raises WnreproError: data that are
    missing or damaged.
    """
    prepare(config)
    return part_of(config.task.name, "assembly").training(config, device)


def prepare(config: Config) -> None:
    """Set torch's threads and float32 precision for the process."""
    torch.set_num_threads(threads(config))
    tf32 = config.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True  # batches are of one size: the fastest algorithm for it


def device(config: Config) -> torch.device:
    """Where the config is to be trained here. Raises RunError: not possible on this machine."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise RunError("device=cuda, but torch sees no GPU here: use device=auto or device=cpu")
    device = torch.device("cuda" if available and config.device != "cpu" else "cpu")
    if config.precision == "tf32" and device.type == "cpu":
        raise RunError("precision=tf32 is a GPU's; on a CPU use precision=float32 or bf16")
    if config.compile and device.type == "cpu" and not (shutil.which("c++") or shutil.which("g++")):
        raise RunError("compile=true needs a C++ compiler here: install g++, or use compile=false")
    return device


@contextmanager
def memory_errors_in_one_line() -> Iterator[None]:
    """A network that is too large is no defect. torch's own errors for it are RuntimeErrors."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(said):
            raise
        smaller = "use a smaller model.width or batch_size"
        raise RunError(f"too little memory for this run: {smaller} ({said})") from error


def gpu_name(device: torch.device) -> str | None:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


@functools.cache
def _default_threads() -> int:
    return torch.get_num_threads()


def threads(config: Config) -> int:
    """With how many CPU threads torch is to compute."""
    default = _default_threads()  # asked before any run of this process changes it
    return cpu_threads(config) or default
