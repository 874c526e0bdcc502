"""Every figure and table of the results, in the order in which they are shown.

A new one is a module with `FIGURES`, `TABLES` or both, and its name in `_MODULES`.
"""

from wnrepro.analysis.exhibit import Figure, Table
from wnrepro.analysis.exhibits import (
    beside_paper,
    error_curves,
    figure1,
    final_errors,
    first_epochs,
    init_ablation,
    learning_rates,
    norms,
    optimisers,
    scores,
    table1,
    thresholds,
)

_MODULES = (
    *(figure1, table1, first_epochs, error_curves, beside_paper, scores),
    *(final_errors, thresholds, learning_rates, init_ablation, optimisers, norms),
)
FIGURES: dict[str, Figure] = {
    each.name: each for module in _MODULES for each in getattr(module, "FIGURES", ())
}
TABLES: dict[str, Table] = {
    each.name: each for module in _MODULES for each in getattr(module, "TABLES", ())
}
