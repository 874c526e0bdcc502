"""Peak memory of a training step beyond what it cannot do without, per arm.

In MiB: what a step of the CIFAR-10 network takes at its peak over what is there before it (data,
weights, gradients and optimiser state, all of them already made by a first step), less the
activations that autograd saves for the backward pass, each storage counted once. A GPU's is
what torch allocated; a CPU's is how far the peak of resident memory grew in a process of its own,
which also counts what the system's allocator does not give back, and what libraries set up for
the first batch of this size. The step is eager, at the paper's width, in the precision of a run.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import wnrepro
from wnrepro.arms import ARMS, PAPER_ARMS
from wnrepro.benchmarks.row import Row
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.tasks import cifar
from wnrepro.classification import Sums, loss_and_errors
from wnrepro.data import Dataset, Split
from wnrepro.engine import Training
from wnrepro.step import Step

MIB = 2**20


def memory(setting: Setting) -> Iterator[Row]:
    task = cifar(setting, 96)
    for arm in setting.pick(PAPER_ARMS, PAPER_ARMS[:2]):
        found = [_in_a_process(setting, arm) for _ in range(setting.pick(3, 1))]
        beyond = [each["growth_mib"] - each["saved_mib"] for each in found]
        held, saved = found[0]["held_mib"], found[0]["saved_mib"]
        assert saved > 0, "autograd saved nothing"
        yield Row(
            f"memory of a step beyond what it holds and saves, {ARMS[arm].label}, {task.name}",
            *("MiB", beyond),
            note=f"weights, gradients and Adam's state {held:.1f} MiB, saved {saved:.1f} MiB",
        )


def measure(setting: Setting, arm: str) -> dict[str, float]:
    """held_mib: weights, gradients, state. saved_mib: activations. growth_mib: beyond `held`."""
    task = cifar(setting, 96)
    device = setting.device
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(task.batch_size, 3, 32, 32, generator=generator).to(device)
    labels = torch.arange(task.batch_size, device=device) % 10
    split = Split(images, labels)
    dataset = Dataset("cifar10", split, split, "test", 10, "")
    training = task.training(setting, dataset, arm)
    step = Step(training.model, training.optimizer, Sums(device), training.autocast)
    step(images[:2], labels[:2])  # makes gradients, Adam's state and what libraries keep
    held = sum(_bytes(each) for each in _held(training))
    before = _resident(device)
    step(images, labels)
    growth = _peak(device) - before
    return {
        "held_mib": held / MIB,
        "saved_mib": _saved(training, images, labels) / MIB,
        "growth_mib": growth / MIB,
    }


def _saved(training: Training, images: Tensor, labels: Tensor) -> int:
    """Bytes that autograd keeps between forward and backward, but for images and weights."""
    given = {each.untyped_storage().data_ptr() for each in (images, labels, *_held(training))}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), training.autocast():
        # The loss holds the graph, and so every storage, until all are counted.
        loss, _ = loss_and_errors(training.model(images), labels)
    total = sum(storages.values())
    del loss
    return total


def _held(training: Training) -> Iterator[Tensor]:
    for parameter in training.model.parameters():
        yield parameter
        if parameter.grad is not None:
            yield parameter.grad
        for state in training.optimizer.state[parameter].values():
            if isinstance(state, Tensor):
                yield state
    yield from training.model.buffers()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _resident(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    return _linux("VmRSS")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    return _linux("VmHWM")


def _linux(key: str) -> int:
    """Resident bytes of this process, now or at the peak.

    Not `ru_maxrss`, in which a process inherits the peak of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        raise RuntimeError("the memory of a CPU's step is measured on Linux only") from None
    kib = next(line.split()[1] for line in lines if line.startswith(f"{key}:"))
    return int(kib) * 2**10


def _in_a_process(setting: Setting, arm: str) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, arm, "--device", setting.device.type]
    command += ["--smoke"] if setting.smoke else []
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    """For a Python process that shall find this package, installed or not."""
    checkout = str(Path(wnrepro.__file__).resolve().parents[1])
    path = [checkout, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arm")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    setting = Setting(torch.device(options.device), options.smoke)
    print(json.dumps(measure(setting, options.arm)))


if __name__ == "__main__":
    main()
