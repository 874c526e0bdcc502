"""The networks of the experiments: by name as they start, and trained ones from files."""

from wnrepro.models.convpool_cnn_c import ConvPoolCNNC
from wnrepro.models.mlp import MLP
from wnrepro.models.networks import MODELS, build
from wnrepro.models.trained import Trained, load, read, save

__all__ = ["MLP", "MODELS", "ConvPoolCNNC", "Trained", "build", "load", "read", "save"]
