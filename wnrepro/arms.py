"""The arms of the comparison: what is trained, and how it is labelled everywhere.

The paper compares five networks that differ in one thing only, what happens to a layer's
pre-activation (paper, sec. 5.1, table 1). An arm's id is its name in configs, code, files and
figures. This module imports nothing, so that the config and the analysis can use it; what an arm
does to a layer is in `wnrepro.nn.unit`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One arm.

    id: its name in configs, code and files.
    label: its name in tables and captions.
    short: its name beside a line of a figure, where the label would not fit.
    colour, dark: sRGB hex, on white and on a dark page. Readers with any of the three kinds of
        colour blindness can tell any two arms apart, and read a name in its colour
        (`tests/test_drawing.py` says by how much).
    marker: matplotlib's, on the arm's lines: a second way to tell them apart.
    takes_init: whether the data-dependent init (eq. 5, 6) is defined for it.
    min_batch: examples that it needs in a training batch: 2 where it takes their statistics.
    """

    id: str
    label: str
    short: str
    colour: str
    dark: str
    marker: str
    takes_init: bool
    min_batch: int = 1


ARMS: dict[str, Arm] = {
    arm.id: arm
    for arm in (
        Arm("plain", "plain", "plain", "#3C4246", "#8A8F94", "o", takes_init=True),
        Arm("wn", "weight norm", "WN", "#1D69FE", "#3686FF", "s", takes_init=True),
        Arm("bn", "batch norm", "BN", "#CE4C01", "#F97743", "^", takes_init=False, min_batch=2),
        Arm(
            "mean_only_bn",
            "mean-only batch norm",
            "mean-only BN",
            *("#067B5E", "#5BD3A5", "D"),
            takes_init=True,
            min_batch=2,
        ),
        Arm(
            "wn_mean_only_bn",
            "weight norm + mean-only batch norm",
            "WN + mean-only BN",
            *("#9A3F89", "#F0A8DF", "v"),
            takes_init=True,
            min_batch=2,
        ),
        # Not an arm of the paper's text: how the authors' released code builds its plain network.
        Arm(
            "plain_frozen_scale",
            "plain, frozen scale",
            "frozen scale",
            *("#573600", "#FFEA4E", "P"),
            takes_init=True,
        ),
    )
}

PAPER_ARMS = ("plain", "wn", "bn", "mean_only_bn", "wn_mean_only_bn")
"""The five arms of the paper's figure 1 and table 1."""
