"""What a classifier of images cannot be."""

from dataclasses import dataclass

from wnrepro.arms import ARMS
from wnrepro.config import Config, check_sizes, choice, in_range, training_size
from wnrepro.data.catalogue import CATALOGUE
from wnrepro.errors import ConfigError


@dataclass(frozen=True)
class ModelFacts:
    """has_depth: whether `model.depth` is a choice. min_pixels: of an image's side. has_long_steps:
    whether a step is long enough for several CPU threads, and a long run for compiling.
    """

    has_depth: bool
    min_pixels: int
    has_long_steps: bool


MODELS = {
    "mlp": ModelFacts(has_depth=True, min_pixels=1, has_long_steps=False),
    "convpool_cnn_c": ModelFacts(has_depth=False, min_pixels=12, has_long_steps=True),
}


def has_long_steps(config: Config) -> bool:
    return MODELS[config.model.name].has_long_steps


def check(config: Config) -> None:
    """Raise ConfigError, with the key, what it got and what is allowed."""
    data, model = config.data, config.model
    choice("data.name", data.name, CATALOGUE)
    choice("model.name", model.name, MODELS)
    check_sizes(config)
    _check_model(config)
    n_train = training_size(config)
    in_range("batch_size", config.batch_size, ARMS[config.norm.name].min_batch, n_train)
    if config.init.name == "data_dependent":
        in_range("init.batch_size", config.init.batch_size, 2, n_train)


def _check_model(config: Config) -> None:
    model, data = config.model, config.data
    in_range("model.width", model.width, 1, 1_000_000)
    in_range("model.noise_std", model.noise_std, 0)
    in_range("model.dropout", model.dropout, 0)
    if not model.dropout < 1:
        raise ConfigError(f"model.dropout={model.dropout} is out of range: it must be below 1")
    facts = MODELS[model.name]
    if not facts.has_depth and model.depth is not None:
        takers = " or ".join(name for name, each in MODELS.items() if each.has_depth)
        raise ConfigError(
            f"model.depth={model.depth}: the depth of {model.name} is fixed, "
            f"only {takers} takes one"
        )
    if facts.has_depth and model.depth is None:
        raise ConfigError(f"model.depth=null: an {model.name} needs a number of hidden layers")
    in_range("model.depth", model.depth, 0, 1000)
    size, least = min(CATALOGUE[data.name].image_shape[1:]), facts.min_pixels
    if size < least:
        takers = " or ".join(name for name, each in MODELS.items() if each.min_pixels <= size)
        raise ConfigError(
            f"model={model.name} needs images of {least}×{least} pixels or more; "
            f"data={data.name} has {size}×{size}: use model={takers}"
        )
