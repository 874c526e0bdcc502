"""Data-dependent initialisation (paper, sec. 3, eq. 5 and 6)."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from wnrepro.arms import ARMS
from wnrepro.nn.convert import refuse_shared
from wnrepro.nn.layers import WeightNormLayer
from wnrepro.nn.mean_only_batch_norm import MeanOnlyBatchNorm
from wnrepro.nn.normalized_layer import FrozenScale, NormalizedLayer

Rescale = Callable[[Tensor, Tensor], None]


def data_dependent_init(model: nn.Module, batch: Any) -> list[str]:
    """Give the pre-activations of `model` variance 1 on `batch`, and mean 0, in one forward pass.

    Mean 0 only where the layer has a bias. For each unit, with t its pre-activation over all
    examples (and places) of the batch:

        g ← g/σ[t],    b ← (b − μ[t])/σ[t]                                     (eq. 6)

    with the biased σ and no ε. Starting from g = 1 and b = 0 this is the paper's g = 1/σ[t],
    b = −μ[t]/σ[t] with t = v·x/‖v‖ (eq. 5). It is done layer by layer, as the model calls its
    layers, and each layer is fed the already normalised output of those below.

    What is initialised: the weight-normalised layers of `wnrepro.nn`, in anybody's network, and
    the plain layers inside a `NormalizedLayer`, whose w and b are scaled likewise. A layer without
    a bias is only scaled: its mean is left to what follows, as the mean-only batch norm. A layer
    that the model calls twice is set by its first call; one that it does not call is left alone.

    The pass is run in the modes that the model is in (the paper's protocol: `model.train()`,
    noise and dropout on), but mean-only batch norm always takes the batch's own mean. No gradient
    is recorded. Training modes, running averages, torch's random streams and the `generator` of
    any module are afterwards what they were, so a forward pass in training mode straight
    afterwards draws the same noise as the init did. What is compiled (`torch.compile`) runs
    uncompiled in it.

    model: called as `model(batch)`; `model(*batch)` for a tuple or list, `model(**batch)` for a
        mapping. batch: at least two examples; the paper's protocol has 500.
    Returns the names of the layers that were initialised, in the order in which they were called.
    Raises ValueError, and leaves the model as it was, if a unit's variance is 0 or not finite (it
    names layer and unit), if no layer was initialised, if a lazy module has had no input yet, or if
    a g, b or w that would be changed is shared with another module. Raises TypeError, likewise, if
    a layer to be initialised returns anything but a tensor.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(f"{name} is not there yet (a lazy module): call the model once first")
    targets = dict(_targets(model))
    initialised: dict[str, None] = {}
    layers = [(name, layer) for name, (layer, _) in targets.items()]
    refuse_shared(model, layers, ("g", "bias"), "and would be rescaled twice")
    plain = [each for each in layers if not isinstance(each[1], WeightNormLayer)]
    refuse_shared(model, plain, ("weight",), "and would be rescaled twice")
    with _restored(model, targets), _uncompiled(), torch.no_grad():
        hooks = [
            layer.register_forward_hook(_normalise(name, layer, rescale, initialised), prepend=True)
            for name, (layer, rescale) in targets.items()
        ]
        try:
            _call(model, batch)
        finally:
            for hook in hooks:
                hook.remove()
            # inside autocast, torch keeps half-precision copies of the parameters as they were
            torch.clear_autocast_cache()
        if not initialised:
            raise ValueError(
                "nothing to initialise: the model called no weight-normalised layer and no layer "
                "of an arm that takes the data-dependent init"
            )
    return list(initialised)


def _targets(model: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, Rescale]]]:
    """The layers that carry a scale (and a shift) of their own, and how to change it."""
    for name, module in model.named_modules():
        if isinstance(module, WeightNormLayer | FrozenScale):
            yield name, (module, module.scale_output_)
        elif isinstance(module, NormalizedLayer) and ARMS[module.arm].init_scales == "w":
            path = f"{name}.linear" if name else "linear"
            yield path, (module.linear, module.scale_weight_)


def _output_axis(layer: nn.Module, t: Tensor) -> int:
    if isinstance(layer, WeightNormLayer | FrozenScale):
        return layer.output_axis % t.ndim
    # a linear map's channels come before its weight's kernel axes, with a batch axis or without
    return t.ndim - cast(Tensor, layer.weight).ndim + 1


def _normalise(name: str, layer: nn.Module, rescale: Rescale, initialised: dict[str, None]):
    def hook(module: nn.Module, args: object, t: Tensor) -> Tensor | None:
        if name in initialised:
            return None
        if not isinstance(t, Tensor):
            raise TypeError(
                f"data-dependent init: layer {name!r} ({type(module).__name__}) returns "
                f"{type(t).__name__}, not a tensor"
            )
        axis = _output_axis(layer, t)
        precise = t.float() if t.dtype in (torch.float16, torch.bfloat16) else t
        others = [a for a in range(t.ndim) if a != axis]
        var, mean = torch.var_mean(precise, others, correction=0)
        std = var.sqrt()
        _check(name, mean, std, precise, others)
        rescale(mean.to(_dtype(layer)), std.to(_dtype(layer)))
        initialised[name] = None
        shape = [-1 if a == axis else 1 for a in range(t.ndim)]
        if layer.bias is not None:
            precise = precise - mean.view(shape)
        return (precise / std.view(shape)).to(t.dtype)

    return hook


def _dtype(layer: nn.Module) -> torch.dtype:
    return next(layer.parameters()).dtype


def _check(name: str, mean: Tensor, std: Tensor, t: Tensor, others: list[int]) -> None:
    # A constant unit's variance is 0 only up to the rounding of its mean.
    constant = std <= 8 * torch.finfo(t.dtype).eps * mean.abs()
    bad = constant | ~torch.isfinite(std) | ~torch.isfinite(mean)
    if not bad.any():
        return
    unit = int(bad.nonzero()[0])
    what = "0" if constant[unit] else "not finite"
    values = t.numel() // std.numel()
    raise ValueError(
        f"data-dependent init: the pre-activation of unit {unit} of layer {name!r} has variance "
        f"{what} on this batch ({values} values; {int(bad.sum())} of {bad.numel()} units): use "
        "another or a larger batch, or another v"
    )


def _uncompiled() -> AbstractContextManager[object]:
    """In it torch.compile does nothing: what is compiled already passes the layers' hooks by."""
    # set_stance takes seconds to import the compiler, without which nothing is compiled
    imported = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if imported else nullcontext()


def _call(model: nn.Module, batch: Any) -> None:
    if isinstance(batch, Mapping):
        model(**batch)
    elif isinstance(batch, tuple | list):
        model(*batch)
    else:
        model(batch)


@contextmanager
def _restored(model: nn.Module, targets: Mapping[str, tuple[nn.Module, Rescale]]):
    """Put back what the pass must not change; after an error, the targets' tensors too."""
    layers = [layer for layer, _ in targets.values()]
    own = {id(t) for layer in layers for t in (*layer.parameters(), *layer.buffers())}
    tensors = [*model.parameters(), *model.buffers()]
    before = [(t, t.detach().clone()) for t in tensors if id(t) in own]
    statistics = [(t, t.detach().clone()) for t in model.buffers() if id(t) not in own]
    mean_only = [m for m in model.modules() if isinstance(m, MeanOnlyBatchNorm) and not m.training]
    held = (getattr(m, "generator", None) for m in model.modules())
    generators = {id(g): g for g in held if isinstance(g, torch.Generator)}
    states = [(g, g.get_state()) for g in generators.values()]
    devices = sorted({t.device.index or 0 for t in tensors if t.device.type == "cuda"})
    try:
        for module in mean_only:
            module.training = True
        with torch.random.fork_rng(devices):
            yield
    except BaseException:
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)
        raise
    finally:
        with torch.no_grad():
            for tensor, value in statistics:
                tensor.copy_(value)
        for generator, state in states:
            generator.set_state(state)
        for module in mean_only:
            module.training = False
