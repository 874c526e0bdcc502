"""The figure of experiment `conditioning`."""

from matplotlib.figure import Figure

from wnrepro.arms import ARMS
from wnrepro.drawing import WIDTH_INCHES, label
from wnrepro.mechanisms import hessian
from wnrepro.mechanisms.experiment import Data


def draw(data: Data) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 5.8), layout="constrained")
    (one, two), (three, four) = figure.subplots(2, 2)
    rows, spectra = data["conditioning"], data["conditioning_spectra"]
    layers = list(dict.fromkeys(rows.layer))
    styles = dict(zip(layers, ("-", "--", ":"), strict=False))
    for layer in layers:
        own = rows[rows.layer == layer].groupby("epoch")
        one.plot(own.cosine_median.median(), "o", linestyle=styles[layer], color=ARMS["wn"].colour)
        two.plot(
            own.c_largest_over_mean_median.median(), "o", linestyle=styles[layer],
            color=ARMS["plain"].colour,
        )  # fmt: skip
        two.plot(
            own.d_largest_over_mean_median.median(), "o", linestyle=styles[layer],
            color=ARMS["wn"].colour,
        )  # fmt: skip
        by_rank = spectra[spectra.layer == layer].groupby("rank")
        for column, arm in (("c_over_mean_median", "plain"), ("d_over_mean_median", "wn")):
            three.plot(by_rank[column].median(), linestyle=styles[layer], color=ARMS[arm].colour)
    chance = float(rows.cosine_of_chance.mean())
    one.axhline(chance, color="black", linestyle=":", linewidth=1)
    label(one, 0, chance, "chance", "black", xytext=(3, -7), fontsize=9)
    one.set(title="|cos(w, dominant eigenvector)|", xlabel="epoch", ylim=(0, 1))
    two.set(title="largest / mean eigenvalue", xlabel="epoch")
    two.set_ylim(bottom=0)
    three.set(title="spectrum after training", xlabel="rank", yscale="log")
    three.set_ylabel("eigenvalue / mean")
    hessian.draw(four, data["conditioning_hessians"])
    lines = [
        *(two.plot([], [], color=ARMS[arm].colour, linewidth=2.5)[0] for arm in ("plain", "wn")),
        *(one.plot([], [], linestyle=styles[layer], color="black")[0] for layer in layers),
    ]
    names = ["with respect to w (C)", "with respect to v (D)", *layers]
    figure.legend(lines, names, loc="outside upper left", ncols=4, fontsize=10, handlelength=1.6)
    return figure
