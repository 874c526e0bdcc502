"""How likely is an image, drawn glimpse by glimpse? DRAW on MNIST, the paper's section 5.3."""

from dataclasses import dataclass

from wnrepro.tasks.facts import Picture, Task
from wnrepro.tasks.generative_facts import HEADLINE, METRICS, RECONSTRUCTIONS, GenerativeConfig


@dataclass
class DrawConfig(GenerativeConfig):
    """`model.width`: units of each of the two LSTMs."""

    glimpses: int = 64
    """Times that the network looks and writes."""
    read: int = 2
    """Side of the window that it reads."""
    write: int = 5
    """Side of the window that it writes."""
    start: str = "unit"
    """Of every w. normal: w ~ N(0, 0.01²), wn then has g = ‖w‖. unit: w = v/‖v‖, wn has g = 1."""
    clip_norm: float = 10.0
    """The gradient is scaled down to this norm, over all parameters, where it is larger."""


SAMPLES = Picture(
    "samples",
    "samples",
    "Each row is an image from the prior, as it is drawn, at up to ten glimpses.",
)

TASK = Task(
    *("draw", __name__, METRICS, HEADLINE),
    config=DrawConfig,
    pictures=(SAMPLES, RECONSTRUCTIONS),
)
