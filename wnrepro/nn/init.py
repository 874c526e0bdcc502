"""Data-dependent initialisation (paper, sec. 3, eq. 5 and 6)."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.hooks import RemovableHandle

from wnrepro.arms import ARMS
from wnrepro.nn.checks import refuse_shared
from wnrepro.nn.layers import WeightNormLayer
from wnrepro.nn.linear_map import is_plain, linear_map
from wnrepro.nn.mean_only_batch_norm import MeanOnlyBatchNorm
from wnrepro.nn.normalized_layer import FrozenScale, NormalizedLayer
from wnrepro.nn.processes import pooled, process_groups, refuse_unready
from wnrepro.nn.restore import restored, uncompiled

Constant = Literal["refuse", "leave"]


def data_dependent_init(
    model: nn.Module, batch: Any, constant: Constant = "refuse", std: float = 1.0
) -> list[str]:
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
    An arm for which no such init is defined (`bn`, `layer_norm`) stays as it is, so that a loop
    over arms may call it for each of them. In a subclass of a layer, t is what the linear map
    gives, whatever its `forward` does around it (an activation, a mask on the weight).

    The pass is run in the modes that the model is in (the paper's protocol: `model.train()`,
    noise and dropout on), but mean-only batch norm always takes the batch's own mean. No gradient
    is recorded. All else in the model is afterwards what it was: training modes, running averages,
    what a `forward` has replaced or changed, torch's random streams and the modules' own
    generators. So a forward pass in training mode straight afterwards draws the same noise as the
    init did. What is compiled (`torch.compile`) runs uncompiled in it. The pass takes a copy of the
    model's tensors.

    On several processes: a model in DistributedDataParallel is initialised by all of them, each
    with its own examples; μ and σ are those of all examples together, g and b the same everywhere.
    For FSDP and tensor parallelism, initialise first, from the same values and batch on each
    process, and wrap afterwards.

    model: called as `model(batch)`; `model(*batch)` for a tuple or list, `model(**batch)` for a
        mapping. batch: at least two examples; the paper's protocol has 500.
    constant: what to do with a unit of variance 0 on this batch, as those of a last layer that
        starts from zeros: "refuse" raises; "leave" keeps its g and b, and a warning names it.
    std: what the standard deviation becomes, in the place of 1 (openai/iaf: 0.1).
    Returns the names of the layers that were initialised, in the order in which they were called;
    none for a model that has layers only of arms without the init.
    Raises ValueError, and leaves the model as it was, if a unit's variance is 0 or not finite (it
    names layer and unit), if the model has no layer to initialise or called none, if a subclass
    puts something between its linear map and its g or b, if a tensor is not there yet (a lazy
    module, the meta device) or sharded, if the model is part of a DistributedDataParallel that was
    not given, or if a g, b or w that would be changed is shared with another module or pruned.
    Raises TypeError, likewise, if a layer to be initialised returns anything but a tensor.
    """
    if not 0 < std < math.inf:
        raise ValueError(f"std must be a number above 0, got {std}")
    if constant not in get_args(Constant):
        raise ValueError(f"constant must be 'refuse' or 'leave', got {constant!r}")
    refuse_unready(model)
    targets = list(_targets(model, constant == "leave", std))
    if not targets and any(isinstance(m, NormalizedLayer) for m in model.modules()):
        return []
    for scale in ("g", "weight"):
        layers = [(each.name, each.layer) for each in targets if each.scale == scale]
        refuse_shared(model, layers, (scale, "bias"), "and would be rescaled twice")
    own = [tensor for each in targets for tensor in each.own()]
    called: list[_Target] = []
    with restored(model, own), uncompiled(), torch.no_grad():
        for module in model.modules():
            if isinstance(module, MeanOnlyBatchNorm):
                module.training = True
        hooks = [each.register(model, called) for each in targets]
        try:
            _call(model, batch)
        finally:
            for hook in hooks:
                hook.remove()
            # inside autocast, torch keeps half-precision copies of the parameters as they were
            torch.clear_autocast_cache()
        if not called:
            raise ValueError(
                "nothing to initialise: the model called no weight-normalised layer and no layer "
                "of an arm that takes the data-dependent init"
            )
    for each in called:
        if left := each.left.nonzero().flatten().tolist():
            units = "all" if each.left.all() else ", ".join(map(str, left))
            warnings.warn(
                f"data-dependent init: {len(left)} of {len(each.left)} units of layer "
                f"{each.name!r} are constant on this batch and were left alone: {units}",
                stacklevel=2,
            )
    return [each.name for each in called if not each.left.all()]


class _Moments(NamedTuple):
    """Of each unit's pre-activation: mean, biased standard deviation, whether it is constant.

    shape: of one value per unit, beside the pre-activations. n: values of a unit.
    """

    mean: Tensor
    std: Tensor
    constant: Tensor
    shape: list[int]
    n: int


@dataclass(eq=False)
class _Target:
    """A layer to be initialised.

    scale: the name of the tensor that is divided by σ. rescale: takes μ and σ, and sets that and
    the bias. group: the processes that train the layer together, or None. wanted: the standard
    deviation of its pre-activations afterwards.
    """

    name: str
    layer: nn.Module
    scale: Literal["g", "weight"]
    rescale: Callable[[Tensor, Tensor], None]
    group: Any
    leave: bool
    wanted: float
    left: Tensor = field(init=False)

    def own(self) -> Iterator[Tensor]:
        """The tensors that the init sets. ValueError if one of them is none of the layer's own."""
        for name in (self.scale, "bias"):
            if is_parametrized(self.layer, name):
                originals = cast(Any, self.layer.parametrizations)[name]
                yield from (*originals.parameters(recurse=False), *originals.buffers(recurse=False))
            elif name not in {**self.layer._parameters, **self.layer._buffers}:
                raise ValueError(
                    f"data-dependent init: {name} of layer {self.name!r} is computed from another "
                    "tensor (pruning, torch's older weight norm?): make it a parameter first"
                )
            elif isinstance(tensor := getattr(self.layer, name), Tensor):
                yield tensor

    def register(self, model: nn.Module, called: list["_Target"]) -> RemovableHandle:
        """A hook that initialises the layer at its first call, and then adds it to `called`."""

        def after(module: nn.Module, args: object, t: Tensor) -> Tensor | None:
            if self in called:
                return None
            t = self.normalise(t)
            called.append(self)
            return t

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self in called:
                return
            self.normalise(linear_map(model, module, args, kwargs))
            torch.clear_autocast_cache()
            self.confirm(linear_map(model, module, args, kwargs))
            called.append(self)

        if is_plain(self.layer):
            return self.layer.register_forward_hook(after, prepend=True)
        return self.layer.register_forward_pre_hook(before, with_kwargs=True)

    def normalise(self, t: Tensor) -> Tensor:
        """Sets the layer so that what was t becomes wanted·(t − μ[t])/σ[t]; returns that."""
        mean, std, constant, shape, n = self.moments(t)
        self.left = constant if self.leave else torch.zeros_like(constant)
        mean, std = mean.masked_fill(self.left, 0), (std / self.wanted).masked_fill(self.left, 1)
        bad = ~torch.isfinite(std) | ~torch.isfinite(mean) | (constant & ~self.left)
        if bad.any():
            unit = int(bad.nonzero()[0])
            what = "0" if constant[unit] else "not finite"
            raise ValueError(
                f"data-dependent init: the pre-activation of unit {unit} of layer {self.name!r} "
                f"has variance {what} on this batch ({n} values; {int(bad.sum())} of {len(bad)} "
                "units): use another or a larger batch, or another v, or constant='leave' for "
                "units that are to start constant"
            )
        dtype = getattr(self.layer, self.scale).dtype
        self.rescale(mean.to(dtype), std.to(dtype))
        precise = _precise(t)
        if self.layer.bias is not None:
            precise = precise - mean.view(shape)
        return (precise / std.view(shape)).to(t.dtype)

    def confirm(self, t: Tensor) -> None:
        """Raises ValueError if t, of the layer as it is set now, is not normalised."""
        mean, std, *_ = self.moments(t)
        mean, std = mean[~self.left] / self.wanted, std[~self.left] / self.wanted
        tolerance = max(0.01, 16 * torch.finfo(t.dtype).eps)
        shifted = self.layer.bias is not None and bool((mean.abs() > tolerance).any())
        if shifted or not ((std - 1).abs() <= tolerance).all():
            kind = f"{type(self.layer).__name__}.forward"
            raise ValueError(
                f"data-dependent init: {kind} of layer {self.name!r} does more than a linear map, "
                f"so that {self.scale} and bias do not set its mean and variance: let it call "
                "super().forward, or move the rest out of the layer"
            )

    def moments(self, t: Tensor) -> _Moments:
        if not isinstance(t, Tensor):
            raise TypeError(
                f"data-dependent init: layer {self.name!r} ({type(self.layer).__name__}) returns "
                f"{type(t).__name__}, not a tensor"
            )
        axis = _output_axis(self.layer, t)
        n = t.numel() // max(t.shape[axis], 1)
        precise = _precise(t)
        var, mean = torch.var_mean(precise, [a for a in range(t.ndim) if a != axis], correction=0)
        if self.group is not None:
            n, mean, var = pooled(n, mean, var, self.group)
        std = var.sqrt()
        # A constant unit's variance is 0 only up to the rounding of its mean.
        constant = std <= 8 * torch.finfo(precise.dtype).eps * mean.abs()
        return _Moments(mean, std, constant, [-1 if a == axis else 1 for a in range(t.ndim)], n)


def _targets(model: nn.Module, leave: bool, std: float) -> Iterator[_Target]:
    """The layers that carry a scale (and a shift) of their own."""
    groups = process_groups(model)
    for name, module in model.named_modules():
        if isinstance(module, WeightNormLayer | FrozenScale):
            rescale = module.scale_output_
            yield _Target(name, module, "g", rescale, groups.get(module), leave, std)
        elif isinstance(module, NormalizedLayer) and ARMS[module.arm].init_scales == "w":
            path, rescale = f"{name}.linear" if name else "linear", module.scale_weight_
            group = groups.get(module)
            yield _Target(path, module.linear, "weight", rescale, group, leave, std)


def _output_axis(layer: nn.Module, t: Tensor) -> int:
    if isinstance(layer, WeightNormLayer | FrozenScale):
        return layer.output_axis % t.ndim
    # a linear map's channels come before its weight's kernel axes, with a batch axis or without
    return t.ndim - cast(Tensor, layer.weight).ndim + 1


def _precise(t: Tensor) -> Tensor:
    return t.float() if t.dtype in (torch.float16, torch.bfloat16) else t


def _call(model: nn.Module, batch: Any) -> None:
    if isinstance(batch, Mapping):
        model(**batch)
    elif isinstance(batch, tuple | list):
        model(*batch)
    else:
        model(batch)
