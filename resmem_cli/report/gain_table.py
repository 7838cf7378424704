"""Gains as the bars of a picture and the rows of its table."""

from __future__ import annotations

import math

from resmem_cli.model.comparison import Comparison
from resmem_cli.model.slices import SliceGain
from resmem_cli.report import words
from resmem_cli.report.charts import Bar

HEADER = ("rows", "base", "with memory", "gain", "95 % interval")


def lines(overall: float) -> list[tuple[float, str]]:
    """Return what gains are compared with: 0, and the gain in all rows if that is known and not 0."""
    return [(0.0, "")] + ([(overall, "all rows")] if math.isfinite(overall) and overall != 0 else [])


def bar(name: str, gain: SliceGain) -> Bar:
    """Return the gain in a slice, with its interval."""
    low, high = gain.interval
    return Bar(words.short(name, words.IN_PICTURE), gain.gain_percent, low, high, words.percent(gain.gain_percent))


def slice_row(name: str, gain: SliceGain) -> tuple[str, ...]:
    """Return the cells of a slice: its name, and what HEADER has."""
    return row(name, gain.n_rows, gain, gain.interval)


def row(name: str, n_rows: int, of: SliceGain | Comparison, ends: tuple[float, float]) -> tuple[str, ...]:
    """Return the cells of any gain with an interval."""
    return (
        words.short(name),
        f"{n_rows:,}",
        words.number(of.base),
        words.number(of.resmem),
        words.percent(of.gain_percent, 2),
        words.interval(ends, 2),
    )
