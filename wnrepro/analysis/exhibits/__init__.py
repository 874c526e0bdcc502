"""Every figure and table of the results, in the order in which they are shown.

A new one is a module with `FIGURES`, `TABLES` or both, and its name in the list below.
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

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for module in (
        figure1,
        first_epochs,
        error_curves,
        beside_paper,
        scores,
        learning_rates,
        init_ablation,
        optimisers,
        norms,
    )
    for figure in module.FIGURES
}
TABLES: dict[str, Table] = {
    table.name: table
    for module in (
        table1,
        first_epochs,
        final_errors,
        thresholds,
        learning_rates,
        init_ablation,
        optimisers,
        scores,
    )
    for table in module.TABLES
}
