"""A forward pass that leaves a model as it was."""

import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def restored(model: nn.Module, own: Collection[Tensor]) -> Iterator[None]:
    """Puts back, by name, object and value, what a forward pass changes in the model.

    That is its parameters, buffers and submodules, every other attribute of its modules (a counter,
    a flag, a tensor that is no buffer), what a list or dict among these holds, and its random
    streams. What lies deeper is not looked at.

    own: tensors of the model that keep their new values, unless there is an error.
    """
    held: list[Any] = [vars(module) for module in model.modules()]
    held += [value for attributes in held for value in attributes.values()]
    dicts = [(each, dict(each)) for each in held if isinstance(each, dict)]
    lists = [(each, list(each)) for each in held if isinstance(each, list)]
    inside = [value for _, each in dicts for value in each.values()]
    inside += [value for _, each in lists for value in each]
    tensors = {
        id(t): t
        for t in (*model.parameters(), *model.buffers(), *inside)
        if isinstance(t, Tensor) and t.layout == torch.strided
    }
    values = [(t, t.detach().clone()) for t in tensors.values()]
    kept: set[int] = set()
    try:
        with same_draws(model):
            yield
        kept = {id(t) for t in own}
    finally:
        for now, before in dicts:
            now.clear()
            now.update(before)
        for now, before in lists:
            now[:] = before
        with torch.no_grad():
            for tensor, value in values:
                if id(tensor) in kept:
                    continue
                if (tensor.shape, tensor.dtype) != (value.shape, value.dtype):
                    tensor.data = value
                elif not torch.equal(tensor, value):  # else a graph may need this version of it
                    tensor.copy_(value)


@contextmanager
def same_draws(model: nn.Module) -> Iterator[None]:
    """Torch's random streams, and any module's own generators, are afterwards what they were."""
    held = (value for module in model.modules() for value in vars(module).values())
    generators = {id(g): g for g in held if isinstance(g, torch.Generator)}
    states = [(g, g.get_state()) for g in generators.values()]
    devices = {t.device for t in (*model.parameters(), *model.buffers()) if t.is_cuda}
    try:
        with torch.random.fork_rng(sorted({d.index or 0 for d in devices})):
            yield
    finally:
        for generator, state in states:
            generator.set_state(state)


def uncompiled() -> AbstractContextManager[object]:
    """In it torch.compile does nothing: what is compiled already passes the layers' hooks by."""
    # set_stance takes seconds to import the compiler, without which nothing is compiled
    imported = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if imported else nullcontext()
