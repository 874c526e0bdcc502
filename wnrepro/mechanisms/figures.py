"""The figures of the experiments, a function of the tables each."""

import math

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnrepro.arms import ARMS
from wnrepro.drawing import (
    BLUE,
    BROWN,
    INK,
    RED,
    WIDTH_INCHES,
    End,
    label,
    label_ends,
    panels,
    plain_numbers,
    shades,
)
from wnrepro.mechanisms.experiment import Data

OPTIMISERS = {"gd": "gradient descent", "momentum": "momentum 0.9", "adam": "Adam"}
CASES = {
    ("whitened", "all"): "whitened, all images",
    ("whitened", "100"): "whitened, batches of 100",
    ("raw", "all"): "not whitened, all images",
    ("raw", "100"): "not whitened, batches of 100",
}
"""Of `whitening`: data, batch."""
STEPS_DRAWN = 4
"""One in so many single steps is drawn: as vectors, which change colour on a dark page."""
ROUNDING = 2**-22
"""A fall of ‖v‖ by less than this fraction, two units in the last place, is float32's rounding."""


def geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


def band(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    colour: str,
    middle="median",
    alpha: float = 0.2,
    **line,
) -> pd.Series:
    """A line of `middle` over the rows of each x, a band of their range; returns the line."""
    by_x = rows.groupby(x)[y]
    drawn = by_x.agg(middle)
    axes.fill_between(drawn.index, by_x.min(), by_x.max(), color=colour, alpha=alpha, linewidth=0)
    axes.plot(drawn, color=colour, **line)
    return drawn


def _grid(height: float) -> tuple[Figure, list[Axes]]:
    """A figure of two by two panels."""
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    return figure, list(figure.subplots(2, 2).flat)


def _legend(figure: Figure, lines: dict[str, dict], columns: int, **options) -> None:
    """Above the panels: name → how its line looks."""
    handles = [Line2D([], [], **look) for look in lines.values()]
    figure.legend(handles, list(lines), loc="outside upper left", ncols=columns, **options)


def _ticks(axes: Axes, values: list, names: list[str] | None = None) -> None:
    """Exactly these on the x axis."""
    axes.set_xticks(values, names or [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)


def norm_growth(data: Data) -> Figure:
    figure, grid = _grid(5.6)
    points, runs = data["norm_growth_points"], data["norm_growth"]
    after = grid[-1]
    beside = {"gd": (1, -15, "left"), "momentum": (-4, 10, "left"), "adam": (-8, 2, "right")}
    # Not in the colours of arms, for they are none.
    looks = zip(OPTIMISERS.items(), grid, shades(3), "svD", strict=False)
    for (optimiser, title), axes, colour, marker in looks:
        _steps(axes, points[points.optimiser == optimiser].iloc[::STEPS_DRAWN], colour)
        axes.set_title(title)
        own = runs[(runs.optimiser == optimiser) & runs.norm_after_over_before.notna()]
        line = band(
            *(after, own, "learning_rate", "norm_after_over_before", colour, "mean"),
            alpha=0.25, marker=marker, markersize=3.5,
        )  # fmt: skip
        x, y, side = beside[optimiser]
        name = title.replace(" ", "\n") if optimiser == "gd" else title
        label(after, line.index[-1], line.iloc[-1], name, colour, xytext=(x, y), ha=side)
    after.set(
        title="after training", xscale="log", yscale="log",
        xlabel="learning rate of v", ylabel="‖v‖ after / before",
    )  # fmt: skip
    after.margins(x=0.16, y=0.1)
    return figure


def _steps(axes: Axes, points: pd.DataFrame, colour: str) -> None:
    """The change of ‖v‖ in single steps against c, and the law."""
    grown, fallen = points[points.growth_relative > 0], points[points.growth_relative < -ROUNDING]
    style = {"linestyle": "none"}
    axes.plot(grown.c, grown.growth_relative, ".", color=colour, markersize=4, **style)
    axes.plot(
        fallen.c, -fallen.growth_relative, "v", color=rcParams[INK], markersize=4.5,
        markerfacecolor="none", markeredgewidth=0.7, **style,
    )  # fmt: skip
    c = np.geomspace(1e-4, 1e4, 200)
    axes.plot(c, np.sqrt(1 + c**2) - 1, color=rcParams[INK], linewidth=0.9)
    axes.text(0.97, 0.06, "law: √(1+c²) − 1", ha="right", transform=axes.transAxes)
    if len(fallen):
        axes.text(0.04, 0.9, "▽ ‖v‖ fell", transform=axes.transAxes)
    axes.set(
        xscale="log", yscale="log", xlim=(1e-4, 3e3), ylim=(1e-9, 3e3),
        xlabel="length of the step  c = ‖Δv‖/‖v‖", ylabel="relative change of ‖v‖",
    )  # fmt: skip


def stability(data: Data, ranges: pd.DataFrame) -> Figure:
    """ranges: setting, arm, low, high, a row per seed."""
    figure, grid = _grid(6.2)
    every = "learning rate of all parameters"
    settings = {
        "gd": ("gradient descent", every),
        "adam": ("Adam", every),
        "gd_vectors": ("gradient descent, g and b at 0.1", "learning rate of v (plain: of w)"),
    }
    losses = data["stability"]
    bottom = 0.93 * losses.train_loss_nats.min()
    arms = list(dict.fromkeys(losses.arm))
    # Room below the curves for one bar per arm, in equal steps of the logarithmic axis.
    heights = {arm: bottom / 1.075 ** (k + 1) for k, arm in enumerate(arms)}
    for axes, (setting, (title, x_label)) in zip(grid, settings.items(), strict=False):
        for arm in arms:
            own = losses[(losses.setting == setting) & (losses.arm == arm)]
            if own.empty:
                continue
            highest = own.groupby("learning_rate").train_loss_nats.transform("max")
            # At every other rate, beginning elsewhere for every other arm: lines lie upon lines.
            marked = slice(list(ARMS).index(arm) % 2, None, 2)
            colour, marker = ARMS[arm].colour, ARMS[arm].marker
            band(
                *(axes, own[np.isfinite(highest)], "learning_rate", "train_loss_nats", colour),
                alpha=0.25, marker=marker, markevery=marked,
            )  # fmt: skip
            found = ranges[(ranges.setting == setting) & (ranges.arm == arm)]
            ends = [geometric_mean(found[end]) for end in ("low", "high")]
            level = [heights[arm]] * 2
            axes.plot(ends, level, color=colour, linewidth=3.5, solid_capstyle="butt")
        axes.axhline(math.log(10), color=rcParams[INK], linestyle=":", linewidth=1)
        # Above, at twice the loss of a guess, nothing is of interest any longer.
        axes.set(xscale="log", yscale="log", ylim=(heights[arms[-1]] / 1.06, 5.0))
        axes.set_yticks([0.6, 1, 2, 4], ["0.6", "1", "2", "4"])
        axes.set_yticks([], minor=True)
        axes.set(title=title, xlabel=x_label, ylabel="training loss (nats)")
    _effective_steps(grid[-1], data["stability_steps"])
    short = {"mean_only_bn": "mean-only BN", "wn_mean_only_bn": "weight norm + mean-only BN"}
    looks = {
        short.get(arm, ARMS[arm].label): {"color": ARMS[arm].colour, "marker": ARMS[arm].marker}
        for arm in arms
    }
    _legend(figure, looks, 3, fontsize=10.5, columnspacing=1.4, handlelength=1.4)
    return figure


def _effective_steps(axes: Axes, steps: pd.DataFrame) -> None:
    own = steps[(steps.setting == "gd_vectors") & steps.effective_step.notna()]
    rates = sorted(own.learning_rate.unique())
    shown = rates[:: max(1, (len(rates) - 1) // 6)]
    axes.set(xscale="log", yscale="log", xlabel="step", ylabel="effective step  η·g/‖v‖")
    axes.margins(x=0.16, y=0.13)
    ends = []
    for rate, colour in zip(shown, shades(len(shown)), strict=True):
        line = own[own.learning_rate == rate].groupby("step").effective_step.agg(geometric_mean)
        axes.plot(line, "o-", color=colour, markersize=2.5)
        ends.append(End(line.index[-1], line.iloc[-1], f"{rate:g}", colour))
    label_ends(axes, ends)
    axes.set_title("weight norm, by learning rate of v")


def conditioning(data: Data) -> Figure:
    figure, (one, two, three, four) = _grid(5.8)
    rows, spectra = data["conditioning"], data["conditioning_spectra"]
    ink = rcParams[INK]
    c, d = ({"marker": ARMS[arm].marker, "color": ARMS[arm].colour} for arm in ("plain", "wn"))
    layers = list(dict.fromkeys(rows.layer))
    styles = dict(zip(layers, ("-", "--", ":"), strict=False))
    for layer, style in styles.items():
        by_epoch = rows[rows.layer == layer].groupby("epoch")
        one.plot(by_epoch.cosine_median.median(), linestyle=style, **c)
        by_rank = spectra[spectra.layer == layer].groupby("rank")
        for name, look, first in (("c", c, 0), ("d", d, 4)):
            column = by_epoch[f"{name}_largest_over_mean_median"]
            two.plot(column.median(), linestyle=style, **look)
            three.plot(
                by_rank[f"{name}_over_mean_median"].median(),
                markevery=(first, 8), linestyle=style, **look,
            )  # fmt: skip
    chance = float(rows.cosine_of_chance.mean())
    one.axhline(chance, color=ink, linestyle=":", linewidth=1)
    label(one, 0, chance, "chance", ink, xytext=(3, -7), fontsize=9)
    one.set(title="|cos(w, dominant eigenvector of C)|", xlabel="epoch", ylim=(0, 1))
    two.set(title="largest / mean eigenvalue", xlabel="epoch")
    two.set_ylim(bottom=0)
    three.set(title="spectrum after training", xlabel="rank", yscale="log")
    three.set_ylabel("eigenvalue / mean")
    hessians = data["conditioning_hessians"]
    last = hessians[hessians.epoch == hessians.epoch.max()]
    for written, name, look in (("w", "in w", c), ("v_g", "in (v, g)", d)):
        line = last[last.written_in == written].groupby("rank").eigenvalue_abs.median()
        four.plot(line, markevery=0.2, **look)
        at = len(line) // 3
        label(four, line.index[at], line.iloc[at], name, look["color"], xytext=(2, 9))
    four.set(title="Hessian, after training", xlabel="rank", yscale="log")
    four.set_ylabel("|eigenvalue| (nats)")
    looks = {"with respect to w (C)": c, "with respect to v (D)": d}
    looks |= {layer: {"linestyle": styles[layer], "color": ink} for layer in layers}
    _legend(figure, looks, 4, fontsize=10, handlelength=1.6)
    return figure


def whitening(data: Data) -> Figure:
    figure, (left, right) = panels(2, 3.6, sharey=True)
    # Exactly equal outputs have no place on a logarithmic axis.
    rows = data["whitening"][data["whitening"].output_difference_relative > 0]
    rows = rows.assign(batch=rows.batch.astype(str))
    x, y, ink = "steps_done", "output_difference_relative", rcParams[INK]
    looks = {}
    for axes, precision in ((left, "float32"), (right, "float64")):
        own = rows[(rows.precision == precision) & (rows.eps == 0)].groupby(["data", "batch"])
        for k, (case, colour, marker) in enumerate(zip(CASES, shades(4), "ov^s", strict=True)):
            # At every other point: those of two lines that lie upon one another alternate.
            band(axes, own.get_group(case), x, y, colour, marker=marker, markevery=(k % 2, 2))
            looks[CASES[case]] = {"color": colour, "marker": marker}
        axes.set(xscale="symlog", yscale="log", title=precision, xlabel="steps of training")
        axes.set_xlim(left=0)
    with_eps = rows[(rows.eps > 0) & (rows.data == "whitened") & (rows.batch == "all")]
    line = band(right, with_eps, x, y, ink)
    label(
        right, line.index[1], line.iloc[1], "whitened, all images, ε = 1e-6", ink,
        xytext=(0, 9), fontsize=9,
    )  # fmt: skip
    left.set_ylabel("difference of outputs, batch norm\nagainst weight norm, relative")
    _legend(figure, looks, 2, fontsize=10)
    return figure


def init(data: Data) -> Figure:
    figure, (variance, gradient, *training) = _grid(5.8)
    rows, runs, ink = data["init_layers"], data["init"], rcParams[INK]
    deep = rows[(rows.arm == "wn") & (rows.depth == rows.depth.max())]
    best = runs.groupby(["arm", "init", "depth", "seed"], as_index=False).train_loss_nats.min()
    looks = {}
    for has_init, name, colour, marker in (
        (1, "with the init", BLUE, "o"),
        (0, "without", RED, "^"),
    ):
        own = deep[deep.init == has_init]
        marked = {"marker": marker, "markevery": max(1, own.layer.nunique() // 4)}
        for axes, column, style in (
            (variance, "init_batch_median_variance", "-"),
            (variance, "other_median_variance", "--"),
            (gradient, "gradient_rms", "-"),
        ):
            band(axes, own, "layer", column, colour, linestyle=style, **marked)
        looks[name] = {"color": colour, "marker": marker}
        for axes, arm in zip(training, ("wn", "plain"), strict=True):
            each = best[(best.arm == arm) & (best.init == has_init)]
            axes.plot(each.groupby("depth").train_loss_nats.median(), color=colour)
            dots = {"marker": marker, "linestyle": "none", "color": colour, "alpha": 0.6}
            axes.plot(each.depth, each.train_loss_nats, **dots)
    looks["on images the init did not see"] = {"linestyle": "--", "color": ink}
    variance.set(title="weight norm: variance", ylabel="variance of a unit's t")
    gradient.set(title="weight norm: gradient", ylabel="rms of ∇L by t")
    for axes in (variance, gradient):
        axes.set(xlabel="layer, counted from the input", yscale="log")
    for axes, name in zip(training, ("weight norm", "plain"), strict=True):
        axes.axhline(math.log(10), color=ink, linestyle=":", linewidth=1)
        axes.axhline(math.log(10) / 2, color=ink, linestyle="--", linewidth=0.8)
        axes.set(
            title=f"{name}: training", xscale="log", yscale="log",
            xlabel="hidden layers", ylabel="training loss (nats)",
        )  # fmt: skip
        _ticks(axes, sorted(runs.depth.unique()))
    _legend(figure, looks, 3)
    return figure


def l2(data: Data) -> Figure:
    figure, (shrunk, imitated, effective, lengths) = _grid(5.8)
    for axes in (shrunk, imitated, effective, lengths):
        axes.set(xscale="log", yscale="log")
        axes.margins(x=0.2, y=0.12)
    shrunk.set(title="shrinking alone", xlabel="all multiplied by", ylabel="change of the logits")
    shrunk.invert_xaxis()
    changes, steps, runs = data["l2_shrink"], data["l2_steps"], data["l2"]
    single = changes.precision == "float32"
    _targets(shrunk, changes[single | (changes.penalised != "v")], "factor", "change_relative")
    _ticks(shrunk, sorted(changes.factor.unique()))
    strongest = steps[steps.penalty == steps.penalty.max()]
    imitated.set(title="penalty against imitation", xlabel="step")
    imitated.set_ylabel("difference of the logits")
    _targets(imitated, strongest, "step", "from_imitation_relative", top=1e5)
    double = steps[(steps.penalised == "v") & (steps.precision == "float64")]
    effective.set(title="penalty λ on v", xlabel="step", ylabel="effective rate  η/‖v‖²")
    penalties, ink = sorted(double.penalty.unique()), rcParams[INK]
    none = double[double.penalty == penalties[0]]
    ends = [_ending(effective, none, "step", "effective_rate_unpenalised", "λ = 0", ink)]
    shown = penalties[::2]
    for penalty, shade in zip(shown, shades(len(shown)), strict=True):
        each = double[double.penalty == penalty]
        ends.append(_ending(effective, each, "step", "effective_rate", f"{penalty:g}", shade))
    label_ends(effective, ends)
    runs = runs[runs.precision == "float64"]
    runs = runs.assign(ratio=runs.w_norm / runs.w_norm_unpenalised)
    lengths.set(title="length of w", xlabel="penalty λ", ylabel="‖w‖ with / without penalty")
    plain_numbers(effective.yaxis)
    plain_numbers(lengths.yaxis)
    _targets(lengths, runs, "penalty", "ratio")
    return figure


def _targets(axes: Axes, rows: pd.DataFrame, x: str, y: str, top: float | None = None) -> None:
    """A line per penalised tensor and precision, named at its end: v, g, w of the plain arm.

    A line that ends early is named beside the others, where no line is. top: of the y axis, where
    the names need room.
    """
    colours = {"v": ARMS["wn"].colour, "g": BROWN, "w": ARMS["plain"].colour}
    markers = {"v": ARMS["wn"].marker, "g": "^", "w": ARMS["plain"].marker}
    several = rows[rows.penalised == "v"].precision.nunique() > 1
    ends = []
    for (target, precision), own in rows.groupby(["penalised", "precision"], sort=False):
        dashed = several and precision == "float32"
        name = {"w": "w (plain)"}.get(target, target) + (", float32" if dashed else "")
        look = {"marker": markers[target], "linestyle": "--" if dashed else "-"}
        ends.append(_ending(axes, own, x, y, name, colours[target], **look))
    if not axes.xaxis_inverted():
        right = max(end.x for end in ends)
        ends = [end._replace(x=right) for end in ends]
    axes.set_ylim(top=top)
    label_ends(axes, ends)


def _ending(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, name: str, colour: str, **look: str
) -> End:
    """Geometric mean and range over seeds; returns where it ends, in the axis's direction.

    An exact 0 is drawn at 1e-17, and where a seed is not finite the line ends.
    """
    finite = rows[np.isfinite(rows.groupby(x)[y].transform("max"))]
    shown = finite.assign(**{y: finite[y].clip(lower=1e-17)})
    style = {"marker": "o", "markersize": 4, **look}
    line = band(axes, shown, x, y, colour, geometric_mean, alpha=0.25, **style)
    k = 0 if axes.xaxis_inverted() else -1
    return End(float(line.index[k]), float(line.iloc[k]), name, colour, look.get("marker", ""))


def mean_noise(data: Data) -> Figure:
    rows = data["mean_noise"]
    layers = list(dict.fromkeys(rows.layer))
    figure, all_axes = panels(len(layers), 3.2, sharey=True)
    error = 1.28 * (24 / int(rows.batches.max())) ** 0.5
    looks = {}
    for axes, layer in zip(all_axes, layers, strict=True):
        for arm in ("mean_only_bn", "bn"):
            each = rows[(rows.layer == layer) & (rows.arm == arm)].groupby("epoch")
            look = {"color": ARMS[arm].colour, "marker": ARMS[arm].marker}
            medians = each.median(numeric_only=True)
            axes.plot(medians.kurtosis_median, **look)
            axes.fill_between(
                medians.index, medians.kurtosis_q10, medians.kurtosis_q90,
                color=look["color"], alpha=0.2, linewidth=0,
            )  # fmt: skip
            axes.plot(medians.kurtosis_over_examples_median, "--", **look)
            looks[f"{ARMS[arm].label}, one activation"] = look
            looks[f"{ARMS[arm].label}, pooled"] = {**look, "linestyle": "--"}
        axes.axhspan(-error, error, color=rcParams[INK], alpha=0.12, linewidth=0)
        axes.set(title=layer, xlabel="epoch", xscale="symlog", yscale="symlog")
        axes.set_xlim(left=0)
        _ticks(axes, sorted(rows.epoch.unique()))
    all_axes[0].set_ylabel("excess kurtosis")
    _legend(figure, looks, 2, fontsize=10)
    return figure
