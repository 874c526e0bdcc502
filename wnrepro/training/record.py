"""What any training records beside its task's metrics."""

import resource
import sys

import torch
from torch import Tensor, nn

from wnrepro.nn import NormalizedLayer


@torch.no_grad()
def layer_norms(model: nn.Module) -> dict[str, dict[str, float | None]]:
    """`Epoch.layers` of the model's `NormalizedLayer`s; read in one transfer."""
    names: list[tuple[str, str]] = []
    values: list[Tensor] = []
    for name, layer in model.named_modules():
        if not isinstance(layer, NormalizedLayer):
            continue
        v = layer.v
        quantities = {"v_norm": v, "g": layer.g, "grad_norm": v.grad}
        for quantity, tensor in quantities.items():
            if tensor is not None:
                names.append((name, quantity))
                values.append(
                    layer.by_unit(tensor).flatten(1).norm(dim=1).mean()
                    if tensor.ndim > 1
                    else tensor.abs().mean()
                )
    read = torch.stack(values).tolist() if values else []
    layers: dict[str, dict[str, float | None]] = {}
    for (name, quantity), value in zip(names, read, strict=True):
        layers.setdefault(name, dict.fromkeys(("v_norm", "g", "grad_norm")))[quantity] = value
    return layers


def peak_memory_mib(device: torch.device) -> float:
    """The most that tensors took on a GPU so far; on a CPU, that the process had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB on Linux
