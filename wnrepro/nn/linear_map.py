"""What the linear map of a layer gives, whatever a subclass does around it."""

from typing import Any, get_args

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from wnrepro.nn.normalized_layer import FrozenScale, Linear
from wnrepro.nn.restore import same_draws

_FUNCTIONS = (
    *(F.linear, F.conv1d, F.conv2d, F.conv3d),
    *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
)


def is_plain(layer: nn.Module) -> bool:
    """Whether the layer's output is what its linear map gives: its forward is the kind's own."""
    kinds = (*get_args(Linear), FrozenScale)
    kind = next((kind for kind in kinds if isinstance(layer, kind)), None)
    return all(
        getattr(getattr(layer, name, None), "__func__", None) is getattr(kind, name, None)
        for name in ("forward", "_conv_forward")
    )


def linear_map(
    model: nn.Module, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor:
    """What the layer's linear map gives for the arguments of its forward; model: it lies in that.

    That is the result of the first of torch's linear maps that gets the layer's bias, and a weight
    of its shape; else the layer's output. Random streams are left alone.
    """
    with same_draws(model), _Watch(layer) as watch:
        output = layer.forward(*args, **kwargs)
    return output if watch.seen is None else watch.seen


class _Watch(TorchFunctionMode):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.bias = layer.bias
        self.shape = getattr(getattr(layer, "weight", None), "shape", None)
        self.seen: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if self.seen is None and func in _FUNCTIONS:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | (kwargs or {})
            if given["weight"].shape == self.shape and given.get("bias") is self.bias:
                self.seen = output.clone()  # what follows may change it in place
        return output
