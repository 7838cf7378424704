"""The gain of a memory in parts of the rows, with intervals that allow for how many parts were looked at.

The gain of the objective is a ratio, sum(e) / sum(d): d is the base's loss of a row, e what the memory takes off it; of
accuracy d is 1 where the base is right, and e what the memory adds. Its interval is Fieller's: the ratios r at which
a t-test does not tell the sum of e - r d from 0. Losses have heavy tails, for which a normal approximation of the ratio
(the delta method) claims far too much; the t-test, whose scale is that of the slice's rows, holds its level. It needs a
few sums per slice, and no resampling.

Of m slices each interval has the level 1 - 0.05 / m (Bonferroni), so that all of them hold together with 95 %.

Fieller, "Some problems in interval estimation", 1954. Dunn, "Multiple comparisons among means", 1961.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from resmem_cli.model import metrics
from resmem_cli.model.arrays import Floats

LEAST_ROWS = 30  # (or groups) of a slice that is judged: the t-test takes their sum for normal
LEVEL = 0.95  # of all intervals together, and of all findings
_ROUND_OFF = 1e-9  # of a sum, relative to what was added up


class Finding(enum.StrEnum):
    """What is certain of a slice."""

    HARMS = "harms"
    WORSE = "worse than the rest"
    BETTER = "better than the rest"


@dataclass(frozen=True)
class SliceGain:
    """The objective in the rows of one slice.

    Attributes:
        n_rows: how many they are.
        is_judged: whether these are enough rows (or groups) for an interval.
        base, resmem: the metric's values.
        gain: in the metric's units, positive when the memory is better.
        gain_percent: relative to the base's value.
        interval: of `gain_percent`; all slices' hold together with 95 %. An end is NaN where the rows do not bound it,
            and both are where the rows are too few.
        contribution: what the memory takes off the mean loss of all rows, or adds to their accuracy, in this slice;
            those of the slices of one column sum up to the whole.
        rest_percent: the gain in all other rows, relative to the base's value there.
        finding: whether the memory harms here, or gains less or more than in the other rows; None if that is not
            certain. All slices' findings are right together with a probability of 95 %.
    """

    n_rows: int
    is_judged: bool
    base: float
    resmem: float
    gain: float
    gain_percent: float
    interval: tuple[float, float]
    contribution: float
    rest_percent: float
    finding: Finding | None


def gains(
    y: Floats,
    base: metrics.Predictions,
    resmem: metrics.Predictions,
    weight: Floats | None,
    *,
    objective: str,
    slicings: Sequence[NDArray[np.integer]],
    groups: NDArray[np.int64] | None = None,
) -> list[list[SliceGain]]:
    """Return the gain in every slice of every slicing.

    Args:
        y: [n] numbers, or class codes.
        base: [n, outputs] numbers or probabilities.
        resmem: [n, outputs] likewise.
        weight: [n] row weights or None.
        objective: the metric.
        slicings: each [n] the number of the slice that a row is in, from 0; no number below the largest is left out.
        groups: [n] the number of each row's group, if the rows of a group are not independent.

    Returns:
        The slices of each slicing, in the order of their numbers.
    """
    own = np.ones(len(y)) if weight is None else weight
    before, after = (metrics.row_loss(y, predictions, objective) for predictions in (base, resmem))
    d = own * (before if metrics.METRICS[objective].lower_is_better else 1 - before)
    e = own * (before - after)
    units = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    parts = [_sums(codes.astype(np.int64), units, own, d, e) for codes in slicings]
    n_judged = max(sum(int((part.n_units >= LEAST_ROWS).sum()) for part in parts), 1)
    return [_gains(part, objective, n_judged) for part in parts]


class _Products(NamedTuple):
    """Sums of products of d and e, from which those of x = e - r d follow."""

    dd: Floats
    de: Floats
    ee: Floats

    def of_x(self, ratio: float) -> Floats:
        return self.ee - 2 * ratio * self.de + ratio**2 * self.dd


@dataclass(frozen=True)
class _Sums:
    """What is added up over the rows of each of S slices. A unit is a group, or a row where there are no groups.

    Attributes:
        n_rows, n_units: [S] counts.
        n_units_outside: [S] how many units have rows in other slices.
        weight, d, e: [S] sums.
        within: [S] products of a unit's sum in the slice with itself.
        across: [S] products of a unit's sum in the slice with its sum in all rows.
        total: [1] products of a unit's sum in all rows with itself.
    """

    n_rows: NDArray[np.int64]
    n_units: NDArray[np.int64]
    n_units_outside: NDArray[np.int64]
    weight: Floats
    d: Floats
    e: Floats
    within: _Products
    across: _Products
    total: _Products


def _sums(codes: NDArray[np.int64], units: NDArray[np.int64], weight: Floats, d: Floats, e: Floats) -> _Sums:
    n, n_slices, n_units = len(codes), int(codes.max()) + 1, int(units.max()) + 1
    # A part is what one unit has in one slice. Without groups each row is a part.
    pairs, part = codes * n_units + units, np.arange(n)
    if n_units < n:
        pairs, part = np.unique(pairs, return_inverse=True)
    at, unit = pairs // n_units, pairs % n_units

    def per(numbers: NDArray[np.int64], values: Floats, length: int = 0) -> Floats:
        return np.asarray(np.bincount(numbers, values, length), dtype=np.float64)

    def per_slice(values: Floats) -> Floats:
        return per(at, values, n_slices)

    d_part, e_part, n_part = (per(part, each) for each in (d, e, np.ones(n)))
    d_unit, e_unit, n_unit = (per(units, each) for each in (d, e, np.ones(n)))
    inside = np.bincount(at[n_part == n_unit[unit]], minlength=n_slices)
    mixed = (d_part * e_unit[unit] + e_part * d_unit[unit]) / 2
    return _Sums(
        np.bincount(codes, minlength=n_slices),
        np.bincount(at, minlength=n_slices),
        n_units - inside,
        per(codes, weight, n_slices),
        per_slice(d_part),
        per_slice(e_part),
        _Products(*map(per_slice, (d_part**2, d_part * e_part, e_part**2))),
        _Products(*map(per_slice, (d_part * d_unit[unit], mixed, e_part * e_unit[unit]))),
        _Products(*(np.array([one @ other]) for one, other in ((d_unit, d_unit), (d_unit, e_unit), (e_unit, e_unit)))),
    )


def _gains(sums: _Sums, objective: str, n_judged: int) -> list[SliceGain]:
    base, resmem = _values(objective, sums.weight, sums.d, sums.e)
    rest = _values(objective, *(each.sum() - each for each in (sums.weight, sums.d, sums.e)))
    low, high = _intervals(sums, objective, n_judged)
    differences = _differences(sums, n_judged)
    # That the sum of e is below 0 may be certain where its share of the loss is not.
    is_certain = sums.e**2 > _critical(sums.n_units, (1 - LEVEL) / n_judged) * sums.within.ee
    harms = (sums.n_units >= LEAST_ROWS) & (sums.d > 0) & (sums.e < -_ROUND_OFF * sums.d) & is_certain
    contributions = sums.e / sums.weight.sum()
    found = []
    for i, n_rows in enumerate(sums.n_rows.tolist()):
        gain, rest_gain = (metrics.gain(objective, float(a[i]), float(b[i])) for a, b in ((base, resmem), rest))
        differs = {-1: Finding.WORSE, 1: Finding.BETTER}.get(int(differences[i]))
        found.append(
            SliceGain(
                n_rows=n_rows,
                is_judged=bool(sums.n_units[i] >= LEAST_ROWS),
                base=float(base[i]),
                resmem=float(resmem[i]),
                gain=gain,
                gain_percent=metrics.as_percent(gain, float(base[i])),
                interval=(float(low[i]), float(high[i])),
                contribution=float(contributions[i]),
                rest_percent=metrics.as_percent(rest_gain, float(rest[0][i])),
                finding=Finding.HARMS if harms[i] else differs,
            )
        )
    return found


def _values(objective: str, weight: Floats, d: Floats, e: Floats) -> tuple[Floats, Floats]:
    """Return [S] the metric of the base and of the whole, NaN where there are no rows."""
    is_loss = metrics.METRICS[objective].lower_is_better
    with np.errstate(invalid="ignore", divide="ignore"):
        before, after = d / weight, ((d - e) if is_loss else (d + e)) / weight
        # A loss that is taken off to the last digit may come out below 0.
        return (np.sqrt(before), np.sqrt(np.maximum(after, 0))) if objective == "rmse" else (before, after)


def _intervals(sums: _Sums, objective: str, n_judged: int) -> tuple[Floats, Floats]:
    """Return [S] lower and [S] upper ends of the gain in percent.

    They are the roots of (E - r D)² = q Σ(e - r d)², a quadratic in r; q is the critical value of the t-test. Where the
    slice's D is not certain itself, the interval has one end only, or none.
    """
    q = _critical(sums.n_units, (1 - LEVEL) / n_judged)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = sums.d**2 - q * sums.within.dd
        b = sums.d * sums.e - q * sums.within.de
        c = sums.e**2 - q * sums.within.ee
        discriminant = b**2 - a * c
        root = np.sqrt(np.maximum(discriminant, 0))
        first, second = (b - root) / a, (b + root) / a
    lower, upper = np.fmin(first, second), np.fmax(first, second)
    # Where a is not above 0, what is accepted is all but what lies between the roots, if there are any. Then one end is
    # known if the part beyond the other root is impossible: more than all of the loss, or of the score, taken off.
    has_gap, none = (a <= 0) & (discriminant > 0), np.full(len(q), np.nan)
    if metrics.METRICS[objective].lower_is_better:
        low = np.where(a > 0, lower, none)
        high = np.select([a > 0, has_gap & (upper >= 1)], [np.fmin(upper, 1), lower], none)
    else:
        low = np.select([a > 0, has_gap & (lower <= -1)], [np.fmax(lower, -1), upper], none)
        high = np.where(a > 0, upper, none)
    is_judged = (sums.n_units >= LEAST_ROWS) & (sums.d > 0)
    return tuple(np.where(is_judged, _percent(objective, each), np.nan) for each in (low, high))  # type: ignore[return-value]


def _percent(objective: str, ratio: Floats) -> Floats:
    """Return the gain in percent of the share that is taken off the loss, or added to the score."""
    return 100 * (1 - np.sqrt(np.maximum(1 - ratio, 0))) if objective == "rmse" else 100 * ratio


def _differences(sums: _Sums, n_judged: int) -> NDArray[np.int64]:
    """Return [S] 1 where the slice gains more than the other rows, -1 where less, 0 where that is not certain.

    If all gain alike, the share r of all rows, then x = e - r d sums up to 0 in a slice, but for chance. Its variance
    is that of X - p X_all, where p is the slice's share of D, because r is estimated from the slice's rows, too.
    """
    total_d, total_e = sums.d.sum(), sums.e.sum()
    if total_d == 0:
        return np.zeros(len(sums.d), dtype=np.int64)
    ratio, share = total_e / total_d, sums.d / total_d
    x = sums.e - ratio * sums.d
    variance = sums.within.of_x(ratio) - 2 * share * sums.across.of_x(ratio) + share**2 * sums.total.of_x(ratio)
    fewest = np.minimum(sums.n_units, sums.n_units_outside)
    # Half of the error is left for slices that harm.
    is_certain = x**2 > _critical(fewest, (1 - LEVEL) / 2 / n_judged) * variance
    is_more_than_round_off = np.abs(x) > _ROUND_OFF * (np.abs(sums.e) + sums.d)
    return np.where((fewest >= LEAST_ROWS) & is_certain & is_more_than_round_off, np.sign(x), 0).astype(np.int64)


def _critical(n: NDArray[np.int64], error: float) -> Floats:
    """Return [S] which X² / Σx² a two-sided t-test of n values with this error rejects.

    With t = mean / (s / sqrt(n)) it is n t² / (n - 1 + t²): Σx² is not taken about the mean, which is 0 if the test's
    hypothesis holds.
    """
    known = np.maximum(n, 2)
    t = special.stdtrit(known - 1.0, 1 - error / 2)
    return np.asarray(known * t**2 / (known - 1 + t**2), dtype=np.float64)
