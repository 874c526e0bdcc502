"""Models that are spread over processes and devices: what an initialisation can do with them."""

import gc
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

FIRST = "initialise the model first and wrap it afterwards"


def refuse_unready(model: nn.Module) -> None:
    """ValueError, with what to do, if a tensor of the model is not whole and here."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(f"{name} is not there yet (a lazy module): call the model once first")
        if tensor.is_meta:
            raise ValueError(
                f"{name} has no values here (meta device, or offloaded by a device_map): load the "
                "whole model onto its devices first"
            )
        if hasattr(tensor, "device_mesh"):
            raise ValueError(f"{name} is sharded over devices (a DTensor): {FIRST}")
    for name, module in model.named_modules():
        made_by = [kind.__module__ for kind in type(module).__mro__]
        if getattr(module, "_is_fsdp_managed_module", False) or any(
            each.startswith(("torch.distributed.fsdp", "torch.distributed._composable"))
            for each in made_by
        ):
            what = repr(name) if name else "the model"
            how = "sharded by FSDP or replicated by torch.distributed"
            raise ValueError(f"{what} is {how}: {FIRST}, from the same values everywhere")
        if isinstance(module, DataParallel) and len(module.device_ids) > 1:
            raise ValueError("DataParallel splits the batch: initialise its .module instead")
    if distributed.is_available() and distributed.is_initialized():
        modules, parameters = set(model.modules()), set(model.parameters())
        for each in gc.get_objects():  # a model does not know what wraps it
            if not issubclass(type(each), DistributedDataParallel) or each in modules:
                continue
            if not parameters.isdisjoint(each.parameters()):
                raise ValueError(
                    "the model is inside a DistributedDataParallel: initialise that, on every "
                    "process, for one g and b on all"
                )


def process_groups(model: nn.Module) -> dict[nn.Module, Any]:
    """The process group of each module that lies in a DistributedDataParallel."""
    wrappers = (m for m in model.modules() if isinstance(m, DistributedDataParallel))
    return {module: ddp.process_group for ddp in wrappers for module in ddp.modules()}


def pooled(n: int, mean: Tensor, var: Tensor, group: Any) -> tuple[int, Tensor, Tensor]:
    """Number, mean and biased variance of the values of all processes, from those of each.

    n: of values in this process, per unit. mean, var: (units,). The results are the same, to the
    last bit, on all of them.
    """
    mine = torch.stack([torch.full_like(mean, n), mean, var]).double()
    all_of_them = [torch.empty_like(mine) for _ in range(group.size())]
    distributed.all_gather(all_of_them, mine, group)
    # A process without examples has no mean.
    some = [each for each in all_of_them if each[0].sum() > 0] or all_of_them
    ns, means, variances = torch.stack(some).unbind(1)
    total = ns.sum(0)
    whole = (ns * means).sum(0) / total
    spread = (ns * (variances + (means - whole).square())).sum(0) / total
    return int(total[0]), whole.to(mean.dtype), spread.to(var.dtype)
