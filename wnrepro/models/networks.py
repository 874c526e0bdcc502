"""The networks of the experiments, by name."""

from torch import nn

from wnrepro.models.convpool_cnn_c import ConvPoolCNNC
from wnrepro.models.mlp import MLP

MODELS = {"convpool_cnn_c": ConvPoolCNNC, "mlp": MLP}


def build(
    name: str, arm: str, image_shape: tuple[int, int, int], n_classes: int, **options: object
) -> nn.Module:
    """The network `name` of `arm` for images of shape (C, H, W); raises KeyError for a new name.

    options: of the network; one that is None is left to it.
    """
    given = {key: value for key, value in options.items() if value is not None}
    return MODELS[name](arm, image_shape, n_classes, **given)
