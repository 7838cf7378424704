"""The metrics of two predictions, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.metrics import Comparison
    from resmem_cli.workflow.scores import Unseen


def print_metrics(
    metrics: Mapping[str, Comparison], unseen: Unseen | None, *, first: str = "base", second: str = "resmem"
) -> None:
    """Print every metric, first of the rows that were not seen in fitting where some were."""
    header = (first, second, "gain", "gain %", "95 % interval")
    if unseen is None:
        console.table(("metric", *header), [(name, *_cells(each)) for name, each in metrics.items()])
        return
    rows = [
        (name, which, *_cells(each))
        for which, figures in (("unseen", unseen.metrics), ("all", metrics))
        for name, each in figures.items()
    ]
    console.table(("metric", "rows", *header), rows, n_left=2)


def _cells(compared: Comparison) -> tuple[str, ...]:
    low, high = compared.ci95
    return (
        console.number(compared.base),
        console.number(compared.resmem),
        console.number(compared.gain),
        f"{compared.gain_percent:+.2f} %",
        f"{low:+.2f} to {high:+.2f} %",
    )
