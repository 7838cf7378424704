"""Two predictions of the same rows by every metric of their task, with paired bootstrap intervals of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resmem_cli.model import resampling
from resmem_cli.model.arrays import Floats, quotients
from resmem_cli.model.metrics import METRICS, Metric, Predictions, Reduced, as_percent, gain
from resmem_cli.model.resampling import Keys
from resmem_cli.model.sums import Statistics, Values


@dataclass(frozen=True)
class Comparison:
    """One metric of the base and of the whole, and the interval of the difference.

    Attributes:
        base, resmem: the metric's values.
        gain: in the metric's units, positive when the memory is better.
        gain_percent: the gain relative to the base's value; NaN if that is 0, or an r2 below 0.
        ci95: the 95 % percentile interval of `gain_percent` over paired bootstrap resamples of the rows or groups; both
            ends are NaN where these do not bound it, and of a single row or group.
    """

    base: float
    resmem: float
    gain: float
    gain_percent: float
    ci95: tuple[float, float]


def compare(
    y: Floats,
    base: Predictions,
    resmem: Predictions,
    weight: Floats | None,
    seed: int,
    *,
    units: Keys | None = None,
    n_resamples: int | None = None,
) -> dict[str, Comparison]:
    """Compare two predictions of the same rows by every metric of their task.

    Rows of a group err together, so that as independent draws they would make the intervals too narrow: the units that
    are drawn then are groups (cluster bootstrap).

    Args:
        y: [n] numbers, or class codes.
        base: [n, outputs] numbers or probabilities; without some metrics, what is `reduced` of them.
        resmem: [n, outputs] likewise.
        weight: [n] row weights or None.
        seed: of the resamples.
        units: [n] keys of what is drawn: rows with the same one are drawn together. None if each row is alone.
        n_resamples: how many there are; by default as many as `resampling.n_resamples` says.
    """
    metrics = of_task(base.shape[1], is_reduced=isinstance(base, Reduced))
    statistics = Statistics(y, base, resmem, weight, metrics)
    keys = np.arange(len(y), dtype=np.uint64) if units is None else units
    drawn: list[Values] = []
    if (keys != keys[0]).any():  # a single row or group has no resamples
        states = resampling.states(keys, seed)
        count = resampling.n_resamples(len(y)) if n_resamples is None else n_resamples
        drawn = [statistics.resampled(states, some).values(metrics) for some in statistics.blocks(count)]
    return comparisons(statistics.sums().values(metrics), drawn)


def of_task(n_outputs: int, *, is_reduced: bool) -> dict[str, Metric]:
    """Return the metrics of predictions of so many outputs, which may have been `reduced`."""
    return {
        name: metric
        for name, metric in METRICS.items()
        if metric.is_regression == (n_outputs == 1) and not (metric.needs_every_class and is_reduced)
    }


def comparisons(values: Values, drawn: Sequence[Values]) -> dict[str, Comparison]:
    """Return the comparison by every metric, of its [1] values and of those in resamples; a metric may have none."""
    return {
        name: _comparison(name, float(base[0]), float(resmem[0]), _percents(name, drawn))
        for name, (base, resmem) in values.items()
    }


def _comparison(name: str, base: float, resmem: float, drawn: Floats) -> Comparison:
    difference = gain(name, base, resmem)
    percent, ends = as_percent(difference, base), (float("nan"), float("nan"))
    drawn = drawn[~np.isnan(drawn)]  # where no row was drawn, or none of a class
    if len(drawn) and not np.isnan(percent):
        with np.errstate(invalid="ignore"):  # between two infinities
            low, high = np.percentile(drawn, [2.5, 97.5])
        if np.isfinite([low, high]).all():
            ends = float(low), float(high)
    return Comparison(base, resmem, difference, percent, ends)


def _percents(name: str, drawn: Sequence[Values]) -> Floats:
    """Return the gain in each resample in percent, infinite where the base's value there is not above 0."""
    known = [each[name] for each in drawn if name in each]
    if not known:
        return np.empty(0)
    base, resmem = (np.concatenate(side) for side in zip(*known, strict=True))
    difference = base - resmem if METRICS[name].lower_is_better else resmem - base
    percent = 100 * quotients(difference, base)
    percent[base <= 0] = np.copysign(np.inf, difference[base <= 0])
    percent[np.isnan(difference)] = np.nan
    percent[difference == 0] = 0.0
    return percent
