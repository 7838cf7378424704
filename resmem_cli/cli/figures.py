"""The metrics of two predictions, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.comparison import Comparison
    from resmem_cli.workflow.scores import Sample


def print_metrics(
    metrics: Mapping[str, Comparison], unseen: Sample | None, *, first: str = "base", second: str = "resmem"
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
    return (
        console.number(compared.base),
        console.number(compared.resmem),
        console.number(compared.gain),
        percent(compared.gain_percent),
        interval(compared.ci95),
    )


def percent(value: float) -> str:
    """Return "+1.20 %", or a dash where it is not known."""
    return "-" if math.isnan(value) else f"{value:+.2f} %"


def interval(ends: tuple[float, float]) -> str:
    """Return "+1.20 to +3.40 %", or a dash where it is not known."""
    low, high = ends
    return "-" if math.isnan(low + high) else f"{low:+.2f} to {high:+.2f} %"
