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
    colour: sRGB hex; from the palette of Okabe & Ito (2008), which colour-blind readers can tell
        apart. Grey stands for black, so that it can be seen on a dark page too.
    takes_init: whether the data-dependent init (eq. 5, 6) is defined for it.
    """

    id: str
    label: str
    short: str
    colour: str
    takes_init: bool


ARMS: dict[str, Arm] = {
    arm.id: arm
    for arm in (
        Arm("plain", "plain", "plain", "#7F7F7F", takes_init=True),
        Arm("wn", "weight norm", "WN", "#0072B2", takes_init=True),
        Arm("bn", "batch norm", "BN", "#D55E00", takes_init=False),
        Arm("mean_only_bn", "mean-only batch norm", "mean-only BN", "#009E73", takes_init=True),
        Arm(
            "wn_mean_only_bn",
            "weight norm + mean-only batch norm",
            "WN + mean-only BN",
            "#CC79A7",
            takes_init=True,
        ),
        # Not an arm of the paper's text: how the authors' released code builds its plain network.
        Arm(
            "plain_frozen_scale", "plain, frozen scale", "frozen scale", "#E69F00", takes_init=True
        ),
    )
}

PAPER_ARMS = ("plain", "wn", "bn", "mean_only_bn", "wn_mean_only_bn")
"""The five arms of the paper's figure 1 and table 1."""
