"""The arms of the comparison: everything about each in one record.

The paper compares five networks that differ in one thing only, what happens to a layer's
pre-activation (paper, sec. 5.1, table 1). An arm's id is its name in configs, code, files and
figures. This module imports nothing, so that the config and the analysis can use it; what its
words mean for a layer is in `wnrepro.nn.normalized_layer`.

A new arm is a record here and a line in `conf/norm/<id>.yaml`; a normaliser that no arm has yet
is also a class in `wnrepro.nn` and a line in the table of `wnrepro.nn.normalized_layer`.
"""

from dataclasses import dataclass
from typing import Literal

Normaliser = Literal["frozen_scale", "bn", "mean_only_bn", "layer_norm"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm.

    id: its name in configs, code and files.
    label: its name in tables and captions.
    short: its name beside a line of a figure, where the label would not fit.
    colour, dark: sRGB hex, on white and on a dark page. Readers with any of the three kinds of
        colour blindness can tell any two arms apart, and read a name in its colour
        (`tests/test_drawing.py` says by how much).
    marker: matplotlib's, on the arm's lines: a second way to tell them apart.
    source: whose it is: the paper's text, the authors' released code, or ours.
    weight: what is trained in the place of a layer's weight: w itself, or v and g (eq. 2).
    normaliser: what follows the linear map, and then has b; None: b is the linear map's.
    start: the weights that training starts from. v: drawn from N(0, 0.05²). unit: the same v, as
        w = v/‖v‖. glorot: Glorot's uniform distribution.
    init_scales: what the data-dependent init (eq. 5, 6) rescales, beside b; None: it is not
        defined for the arm.
    min_batch: examples that it needs in a training batch: 2 where it takes their statistics.
    """

    id: str
    label: str
    short: str
    colour: str
    dark: str
    marker: str
    source: Literal["paper", "authors_code", "ours"] = "paper"
    weight: Literal["w", "wn"] = "w"
    normaliser: Normaliser | None = None
    start: Literal["v", "unit", "glorot"] = "v"
    init_scales: Literal["g", "w"] | None = None
    min_batch: int = 1

    @property
    def takes_init(self) -> bool:
        """Whether the data-dependent init is defined for it."""
        return self.init_scales is not None


ARMS: dict[str, Arm] = {
    arm.id: arm
    for arm in (
        Arm(
            id="plain",
            label="plain",
            short="plain",
            colour="#3C4246",
            dark="#8A8F94",
            marker="o",
            start="unit",
            init_scales="w",
        ),
        Arm(
            id="wn",
            label="weight norm",
            short="WN",
            colour="#1D69FE",
            dark="#3686FF",
            marker="s",
            weight="wn",
            init_scales="g",
        ),
        Arm(
            id="bn",
            label="batch norm",
            short="BN",
            colour="#CE4C01",
            dark="#F97743",
            marker="^",
            normaliser="bn",
            min_batch=2,
        ),
        Arm(
            id="mean_only_bn",
            label="mean-only batch norm",
            short="mean-only BN",
            colour="#067B5E",
            dark="#5BD3A5",
            marker="D",
            normaliser="mean_only_bn",
            start="unit",
            init_scales="w",
            min_batch=2,
        ),
        Arm(
            id="wn_mean_only_bn",
            label="weight norm + mean-only batch norm",
            short="WN + mean-only BN",
            colour="#9A3F89",
            dark="#F0A8DF",
            marker="v",
            weight="wn",
            normaliser="mean_only_bn",
            init_scales="g",
            min_batch=2,
        ),
        Arm(  # how the authors' released code builds its plain network
            id="plain_frozen_scale",
            label="plain, frozen scale",
            short="frozen scale",
            colour="#573600",
            dark="#FFEA4E",
            marker="P",
            source="authors_code",
            normaliser="frozen_scale",
            start="glorot",
            init_scales="g",
        ),
        Arm(
            id="layer_norm",
            label="layer norm",
            short="LN",
            colour="#3C0069",
            dark="#F0FFFF",
            marker="<",
            source="ours",
            normaliser="layer_norm",
        ),
    )
}

PAPER_ARMS = tuple(arm.id for arm in ARMS.values() if arm.source == "paper")
"""The five arms of the paper's figure 1 and table 1."""
