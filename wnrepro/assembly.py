"""From a config to a training at its start: data on the device, network, optimiser, engine."""

import functools
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from wnrepro.config import Config, as_dict, compiles, cpu_threads
from wnrepro.data import load
from wnrepro.engine import Training
from wnrepro.errors import RunError
from wnrepro.models import build
from wnrepro.optim import build as build_optimizer
from wnrepro.randomness import Streams

log = logging.getLogger("wnrepro.train")

_NO_MEMORY = re.compile("out of memory|(allocate|enough) memory|Storage size")


def training(config: Config, device: torch.device) -> Training:
    """Data on the device → model of the arm → optimiser → training, not initialised from data.

    Sets torch's threads and float32 precision for the process. Raises WnreproError: data that are
    missing or damaged.
    """
    torch.set_num_threads(threads(config))
    tf32 = config.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True  # batches are of one size: the fastest algorithm for it
    dtype = torch.float64 if config.precision == "float64" else torch.float32
    autocast = nullcontext
    if config.precision == "bf16":
        autocast = functools.partial(torch.autocast, device.type, torch.bfloat16)
    data, model = config.data, config.model
    dataset = load(
        data.name,
        root=data.root,
        whiten=data.whiten,
        held_out=data.held_out,
        train_size=data.train_size,
        evaluation_size=data.evaluation_size,
        device=device,
        dtype=dtype,
    )
    streams = Streams(config.seed, device)
    options = {} if model.depth is None else {"depth": model.depth}
    network = build(
        model.name,
        config.norm.name,
        dataset.image_shape,
        dataset.n_classes,
        width=model.width,
        noise_std=model.noise_std,
        dropout=model.dropout,
        streams=streams,
        **options,
    ).to(device, dtype)
    optimizer, schedule = build_optimizer(
        params=network.parameters(),
        epochs=config.epochs,
        constant=config.schedule.name == "constant",
        **as_dict(config)["optim"],
    )
    compile = compiles(config, device.type)
    if compile:
        log.info("compiling the network: the first steps take up to a minute")
    return Training(
        *(network, optimizer, dataset, schedule, streams, config.batch_size, autocast),
        compile=compile,
    )


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
