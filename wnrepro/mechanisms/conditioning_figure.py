"""The figure of experiment `conditioning`."""

from matplotlib import rcParams
from matplotlib.figure import Figure

from wnrepro.arms import ARMS
from wnrepro.drawing import INK, WIDTH_INCHES, label
from wnrepro.mechanisms import hessian
from wnrepro.mechanisms.experiment import Data


def draw(data: Data) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 5.8), layout="constrained")
    (one, two), (three, four) = figure.subplots(2, 2)
    rows, spectra = data["conditioning"], data["conditioning_spectra"]
    ink = rcParams[INK]
    of_c, of_d = ARMS["plain"], ARMS["wn"]
    layers = list(dict.fromkeys(rows.layer))
    styles = dict(zip(layers, ("-", "--", ":"), strict=False))
    for layer in layers:
        own = rows[rows.layer == layer].groupby("epoch")
        for axes, column, arm in (
            (one, "cosine_median", of_c),
            (two, "c_largest_over_mean_median", of_c),
            (two, "d_largest_over_mean_median", of_d),
        ):
            axes.plot(
                own[column].median(),
                marker=arm.marker,
                linestyle=styles[layer],
                color=arm.colour,
            )
        by_rank = spectra[spectra.layer == layer].groupby("rank")
        for column, arm, first in (
            ("c_over_mean_median", of_c, 0),
            ("d_over_mean_median", of_d, 4),
        ):
            three.plot(
                by_rank[column].median(),
                marker=arm.marker,
                markevery=(first, 8),
                linestyle=styles[layer],
                color=arm.colour,
            )
    chance = float(rows.cosine_of_chance.mean())
    one.axhline(chance, color=ink, linestyle=":", linewidth=1)
    label(one, 0, chance, "chance", ink, xytext=(3, -7), fontsize=9)
    one.set(title="|cos(w, dominant eigenvector of C)|", xlabel="epoch", ylim=(0, 1))
    two.set(title="largest / mean eigenvalue", xlabel="epoch")
    two.set_ylim(bottom=0)
    three.set(title="spectrum after training", xlabel="rank", yscale="log")
    three.set_ylabel("eigenvalue / mean")
    hessian.draw(four, data["conditioning_hessians"])
    lines = [
        *(two.plot([], [], color=a.colour, marker=a.marker)[0] for a in (of_c, of_d)),
        *(one.plot([], [], linestyle=styles[layer], color=ink)[0] for layer in layers),
    ]
    names = ["with respect to w (C)", "with respect to v (D)", *layers]
    figure.legend(lines, names, loc="outside upper left", ncols=4, fontsize=10, handlelength=1.6)
    return figure
