"""Every figure and table of the results: what it shows, from which runs, and how."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from matplotlib.figure import Figure as Drawing

from wnrepro.analysis import error_curves, learning_rates, norms, pairs, tables
from wnrepro.analysis.captions import caption, heading
from wnrepro.analysis.evidence import EVIDENCE, select
from wnrepro.analysis.paper import Paper
from wnrepro.analysis.records import Records
from wnrepro.analysis.table import Table
from wnrepro.statistics import T

TRAIN, TEST, TIME = error_curves.TRAIN, error_curves.TEST, error_curves.TIME


@dataclass(frozen=True)
class Item:
    """A figure or table.

    name: of its files. title: what it shows. evidence: names in EVIDENCE. says: what its caption
    says beyond n, divergence and provenance. timed: it compares times, and so shows only runs
    whose times may be compared.
    """

    name: str
    title: str
    evidence: tuple[str, ...]
    says: str
    timed: bool = field(default=False, kw_only=True)

    def used(self, records: Records) -> list[str]:
        """Of `evidence`, what is shown: here whatever has runs, side by side."""
        return [name for name in self.evidence if EVIDENCE[name].have(records.runs)]

    def caption(self, records: Records) -> str:
        """What is shown, n, which runs diverged, what is missing, hardware and commits."""
        parts = [f"{self.title}.", self.says]
        parts += [caption(name, select(records, name), self.timed) for name in self.used(records)]
        return " ".join(part for part in parts if part)

    def lacks(self, records: Records) -> list[str]:
        """A line for each evidence that is not complete, with the command that gets the rest."""
        lines = []
        for name in self.used(records) or self.evidence:
            have, planned = EVIDENCE[name].have(records.runs), EVIDENCE[name].planned
            if have < planned:
                lines.append(f"{name} has {have} of {planned} runs: {EVIDENCE[name].command}")
        return lines


@dataclass(frozen=True)
class Figure(Item):
    """draw: from the selected runs, the paper's numbers and a heading with evidence and n."""

    draw: Callable[[Records, Paper, str], Drawing]

    def used(self, records: Records) -> list[str]:
        """The one with the most of its planned runs, the first of equals; nothing without runs.

        Several are the paper's protocol in other arithmetic: never mixed in one curve.
        """
        best = max(self.evidence, key=lambda name: EVIDENCE[name].have(records.runs))
        return [best] if EVIDENCE[best].have(records.runs) else []

    def drawing(self, records: Records, paper: Paper) -> Drawing:
        (name,) = self.used(records)
        own = select(records, name)
        shown = own.timed_alike() if self.timed else own
        return self.draw(shown, paper, heading(name, shown))


@dataclass(frozen=True)
class Tabulation(Item):
    """build: from all records and the paper's numbers."""

    build: Callable[[Records, Paper], Table]


_CIFAR = ("cifar_table1_bf16", "cifar_table1")
_FROZEN = ("cifar_frozen_scale_bf16", "cifar_frozen_scale")
_SELECTION = ("cifar_lr_selection_bf16", "cifar_lr_selection")
_BAND = (
    f"Lines: means over seeds; bands: {T}; nothing is smoothed; a run that diverged is dotted, up "
    "to a cross."
)
_TRAINING = (
    "The training error is the running average over an epoch, with noise and dropout on where the "
    "network has them."
)
_LOG = "The axis is logarithmic, and linear below 0.01 %."
_PAPER = (
    "Dashed: the paper's figure 1, read off its vector graphics (± 0.03 points); how many seeds it "
    "shows is not stated, and its epochs may count from 0 where ours count from 1."
)
_SECONDS = (
    "Time is that of training alone, evaluation left out, at the mean over seeds of the time to "
    "each epoch; machines that were shared with other work are slower than they could be."
)
_EPOCHS = (
    "The first epoch whose training error is at most the level, as recorded; mean over seeds with "
    f"its {T}, given only where every seed got there; no width: all seeds took equally many, which "
    "is known to one epoch. Time per epoch: ratio of medians, paired by "
    "seed on equal hardware, with its t interval; where the machine was shared with other work "
    "(results/README.md) it is no measure of the arms."
)
_MEAN = f"In brackets the {T}"
_RATES_DIFFER = (
    "plain has the paper's learning rate for 200 epochs, 0.0003, a tenth of the others'; "
    "cifar_small_one_rate shows how much of the difference is due to that."
)


def _curves(name: str, title: str, says: str = "") -> tuple[Figure, Figure]:
    """The errors of one data set against epochs and against time."""

    def draw(against: str) -> Callable[[Records, Paper, str], Drawing]:
        return lambda own, _, heading: error_curves.draw(own, heading, against)

    said = f"{says} {_BAND} {_TRAINING} {_LOG}".lstrip()
    return (
        Figure(f"{name}_errors", f"{title} by epoch", (name,), said, draw("epoch")),
        Figure(
            f"{name}_time",
            f"{title} by time",
            (name,),
            f"{said} {_SECONDS}",
            draw(TIME),
            timed=True,
        ),
    )


def _figure1(name: str, title: str, says: str, column: str, against: str) -> Figure:
    def draw(own: Records, paper: Paper, heading: str) -> Drawing:
        behind = paper.figure1 if (column, against) == (TRAIN, "epoch") else None
        return error_curves.draw_figure1(own, heading, column, against, behind)

    return Figure(name, title, _CIFAR, f"{_BAND} {says}".rstrip(), draw, timed=against == TIME)


FIGURES: dict[str, Figure] = {
    each.name: each
    for each in (
        _figure1(
            "figure1", "CIFAR-10: training error by epoch", f"{_TRAINING} {_PAPER}", TRAIN, "epoch"
        ),
        _figure1("figure1_test", "CIFAR-10: test error by epoch", "", TEST, "epoch"),
        _figure1("figure1_time", "CIFAR-10: training error by time", _SECONDS, TRAIN, TIME),
        Figure(
            "first_epochs",
            "CIFAR-10, the first epochs of figure 1: training and test error",
            ("cifar_first_epochs",),
            f"{_BAND} {_TRAINING} {_PAPER} It begins where an arm comes below 15 %.",
            lambda own, paper, heading: error_curves.draw(own, heading, paper=paper.figure1),
        ),
        # Not against time: these runs shared their machine and were paused now and then.
        *_curves("cifar_small", "CIFAR-10, small: training and test error", _RATES_DIFFER)[:1],
        *_curves("cifar_small_one_rate", "CIFAR-10, small, one rate: training and test error")[:1],
        *_curves("mnist_arms", "MNIST: training and test error"),
        *_curves("fashion_mnist_arms", "Fashion-MNIST: training and test error"),
        *_curves("digits_arms", "Digits: training and test error"),
        Figure(
            "learning_rates",
            "MNIST: error against learning rate",
            ("mnist_lr_robustness",),
            f"Markers: means over seeds; bars: {T}, cut at two thirds of the mean. A cross above "
            "the axes: at least one seed diverged at that rate; the marker below is of the others. "
            "The arms stand a few percent apart for legibility. Errors after the last epoch, on "
            "the test set: no rate is chosen from it.",
            lambda own, _, heading: learning_rates.draw(own, heading, (TRAIN, TEST)),
        ),
        Figure(
            "cifar_lr_selection",
            "CIFAR-10: error on 5,000 held-out training images against learning rate",
            _SELECTION,
            "One seed: there is no interval. A cross above the axes: the run diverged.",
            lambda own, _, heading: learning_rates.draw(
                own, heading, (TRAIN, "held_out_error_percent")
            ),
        ),
        Figure(
            "init_ablation",
            "MNIST: with and without the data-dependent init",
            ("mnist_init_ablation",),
            "Left: means over seeds, solid with the init, dashed without; colours as on the right. "
            f"Right: difference of the test errors after the last epoch, paired by seed, with its "
            f"{T}. {_LOG}",
            lambda own, _, heading: pairs.draw_inits(own, heading),
        ),
        Figure(
            "optimisers",
            "MNIST: five optimisers, each at its best learning rate",
            ("mnist_optimizers",),
            f"Large markers: means over seeds; bars: {T}, cut at two thirds of the mean; small "
            "ones: every seed; a cross above the axes: a seed diverged. Errors after the last "
            "epoch; the rates were chosen on held-out images (LOG.md).",
            lambda own, _, heading: pairs.draw_optimisers(own, heading, (TRAIN, TEST)),
        ),
        Figure(
            "norm_growth",
            "MNIST: norm of v by epoch",
            ("mnist_arms",),
            f"Mean over a layer's units after each epoch, then over seeds; bands: {T}. For arms "
            "without v it is the norm of w.",
            lambda own, _, heading: norms.draw_growth(own, heading),
        ),
        Figure(
            "norm_growth_cifar",
            "CIFAR-10: norm of v by epoch",
            _CIFAR,
            f"Three of the layers. Mean over a layer's units after each epoch, then over seeds; "
            f"bands: {T}. For arms without v it is the norm of w.",
            lambda own, _, heading: norms.draw_growth(own, heading),
        ),
        Figure(
            "norm_learning_rates",
            "MNIST: norm of v after training, by learning rate",
            ("mnist_lr_robustness",),
            f"Mean over a layer's units after the last epoch, then over seeds; bands: {T}. "
            "Runs that diverged are left out. For arms without v it is the norm of w.",
            lambda own, _, heading: norms.draw_by_rate(own, heading),
        ),
    )
}


def _errors(name: str, title: str, says: str = "") -> Tabulation:
    return Tabulation(
        f"{name}_errors",
        f"{title}: errors after the last epoch",
        (name,),
        f"{says} {_MEAN}; the difference from plain is paired by seed, with the t interval of the "
        "differences. All values: one per seed, in the order of seeds.".lstrip(),
        partial(tables.errors, name=name),
    )


def _epochs(name: str, table: str, title: str, beside_paper: bool = False) -> Tabulation:
    says = "The paper's: read off its figure 1, whose epochs may count from 0. " * beside_paper
    return Tabulation(
        table,
        f"{title}: epochs to a training error",
        (name,),
        says + _EPOCHS,
        partial(tables.epochs, name=name, beside_paper=beside_paper),
    )


def _selection(name: str) -> Tabulation:
    return Tabulation(
        name,
        "CIFAR-10: error in percent on 5,000 held-out training images by learning rate",
        (name,),
        "One seed: there is no interval.",
        partial(tables.rates, name=name, column="held_out_error_percent"),
    )


TABLES: dict[str, Tabulation] = {
    each.name: each
    for each in (
        Tabulation(
            "table1",
            "CIFAR-10: test error in percent after 200 epochs, ours and the paper's",
            (*_CIFAR, *_FROZEN),
            f"{_MEAN}; bootstrap: 95 % percentile bootstrap interval of the mean over seeds, which "
            "with 3 seeds is their range. The paper's table 1 has one number per arm and no "
            "interval. 2019 re-run: the authors' code run by Zhang & Sennrich (RMSNorm, table 10).",
            partial(tables.table1, names=(*_CIFAR, *_FROZEN)),
        ),
        _epochs("cifar_table1_bf16", "epochs_cifar_bf16", "CIFAR-10, bf16", beside_paper=True),
        _epochs("cifar_table1", "epochs_cifar_float32", "CIFAR-10, float32", beside_paper=True),
        Tabulation(
            "first_epochs",
            "CIFAR-10, the first epochs of figure 1: training error, ours and the paper's",
            ("cifar_first_epochs",),
            f"{_MEAN}. The paper's: read off its figure 1 (± 0.03 points), which begins where an "
            "arm comes below 15 %; whether it counts its epochs from 1, as we do, or from 0 is not "
            "stated.",
            partial(tables.first_epochs, name="cifar_first_epochs"),
        ),
        _errors("cifar_small", "CIFAR-10, small (not table 1)", _RATES_DIFFER),
        _errors("cifar_small_one_rate", "CIFAR-10, small, one learning rate (not table 1)"),
        _errors("mnist_arms", "MNIST"),
        _epochs("mnist_arms", "epochs_mnist", "MNIST"),
        _errors("fashion_mnist_arms", "Fashion-MNIST"),
        _epochs("fashion_mnist_arms", "epochs_fashion_mnist", "Fashion-MNIST"),
        _errors("digits_arms", "Digits"),
        Tabulation(
            "learning_rates",
            "MNIST: test error in percent by learning rate",
            ("mnist_lr_robustness",),
            f"{_MEAN}; over the seeds that did not diverge.",
            partial(tables.rates, name="mnist_lr_robustness", column=TEST),
        ),
        *(_selection(name) for name in _SELECTION),
        Tabulation(
            "init_ablation",
            "MNIST: test error with and without the data-dependent init",
            ("mnist_init_ablation",),
            f"{_MEAN}; with − without is paired by seed.",
            partial(tables.inits, name="mnist_init_ablation"),
        ),
        Tabulation(
            "optimisers",
            "MNIST: errors after the last epoch by optimiser",
            ("mnist_optimizers",),
            f"{_MEAN}. Each pair at its best learning rate on held-out images (LOG.md).",
            partial(tables.optimisers, name="mnist_optimizers"),
        ),
    )
}
