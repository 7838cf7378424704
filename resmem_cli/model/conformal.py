"""Intervals that hold what they promise: split-conformal prediction on held-out rows.

    score of a held-out row     |y - y'(x)| / (s(x) + c)            numbers
                                1 - p_y(x)                          classes
    at a level a                q = the ⌈(n + 1) a⌉-th smallest of n scores
    interval                    y'(x) ± q (s(x) + c)                numbers
    set                         every class with 1 - p ≤ q, and the predicted one

s(x) is how much the residuals of the row's neighbours differ, so that an interval is wide where the memory disagrees
with itself (Lei et al. 2018, section 5.2; of classes Sadinle, Lei and Wasserman 2019). The constant c keeps it from
vanishing where neighbours happen to agree: the median of the s(x), or of 200 and more held-out rows the one of a few
with the narrowest intervals. (To choose it by fewer costs coverage, see docs/decisions.md.)
New rows that are like the held-out ones are covered with about the probability a; with at least that where c was not
chosen, up to what differs between the models of the folds and the final one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import FLOAT, WHOLE, Arrays, Floats, Integers, stored, stored_number

_KEPT = 20_001  # scores, evenly spaced by rank: enough for levels in steps of a ten-thousandth
# Of the median standard deviation; with the last all intervals are equally wide.
_SHARES = (0.1, 0.3, 1.0, 3.0, math.inf)
_NARROWEST_AT = 0.9
_ROWS_TO_CHOOSE = 200  # by which the offset is chosen


@dataclass(frozen=True)
class Calibration:
    """What held-out rows say of errors.

    Attributes:
        scores: [at most 20,001] ascending.
        n_rows: how many rows they stand for: themselves, but in a calibration of an older resmem, which thinned them.
        offset: c, in the target's units; infinite where the standard deviations say nothing. 0 for classes.
        rows: [as many] the position of the memorised row that each is of, so that it is forgotten with the row; None
            if it is not known.
    """

    scores: Floats
    n_rows: int
    offset: float = 0.0
    rows: Integers | None = None

    def quantile(self, level: float) -> float:
        """Return the score that a new row exceeds with a probability of at most 1 - `level`; infinite if none is."""
        rank = math.ceil((self.n_rows + 1) * level)
        if rank > self.n_rows:
            return math.inf
        return float(self.scores[math.ceil((rank - 1) * (len(self.scores) - 1) / max(self.n_rows - 1, 1))])

    def to_arrays(self) -> Arrays:
        rows = {} if self.rows is None else {"rows": self.rows}
        return {"scores": self.scores, "n_rows": np.array(self.n_rows), "offset": np.array(self.offset), **rows}

    def moved(self, to: Integers) -> Calibration:
        """Return what stays when row i is at `to[i]` now, or gone, which is -1."""
        if self.rows is None:
            return self
        rows = to[self.rows]
        stays = rows >= 0
        return replace(self, scores=self.scores[stays], n_rows=int(stays.sum()), rows=rows[stays])

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Calibration:
        """Return what `to_arrays` was asked of; KeyError or ValueError if they are no such arrays."""
        scores, n_rows = stored(arrays, "scores", FLOAT, None, finite=False), stored_number(arrays, "n_rows", WHOLE)
        offset = stored_number(arrays, "offset", FLOAT, finite=False)
        rises = bool((np.diff(scores) >= 0).all()) and not np.isnan(scores).any()
        if not rises or n_rows < len(scores) or (n_rows > 0) != (len(scores) > 0) or not offset >= 0:
            raise ValueError("the held-out scores are not ascending, or their number does not match")
        rows = stored(arrays, "rows", WHOLE, len(scores)) if "rows" in arrays else None
        if rows is not None and n_rows != len(scores):
            raise ValueError("the number of held-out scores is not that of the rows")
        return cls(scores, n_rows, offset, rows)


def of_numbers(errors: Floats, stds: Floats, rows: Integers | None = None) -> Calibration:
    """Calibrate by [n] absolute errors of held-out rows, their [n] stds of neighbours, and which [n] rows they are."""
    usual = float(np.median(stds))
    shares = _SHARES if len(errors) >= _ROWS_TO_CHOOSE else (1.0,)
    tried = []
    for offset in [share * usual for share in shares] if usual > 0 else [math.inf]:
        found = _thinned(errors / _scale(stds, offset), offset, rows)
        width = found.quantile(_NARROWEST_AT) * _scale(stds, found.offset).mean()
        tried.append((width, found))
    return min(tried, key=lambda pair: pair[0])[1]


def of_classes(probabilities: Floats, y: Floats, rows: Integers | None = None) -> Calibration:
    """Calibrate by [n, classes] probabilities of held-out rows, their [n] classes, and which [n] rows they are."""
    return _thinned(1 - probabilities[np.arange(len(y)), y.astype(np.int64)], 0.0, rows)


def sufficient(calibration: Calibration | None, coverage: float) -> Calibration:
    """Return a calibration by which intervals of a coverage can be made.

    Raises:
        UsageError: there is none, or it has too few rows.
    """
    if calibration is None:
        raise UsageError(
            "this memory has no held-out rows to make prediction intervals from",
            "run fit-residual with --folds 2 or more",
        )
    if math.isinf(calibration.quantile(coverage)):
        n_rows = calibration.n_rows
        raise UsageError(
            f"{n_rows:,} held-out rows are too few for intervals of {100 * coverage:g} %",
            f"use at most --interval {math.floor(1e4 * n_rows / (n_rows + 1)) / 1e4:g}",
        )
    return calibration


def interval(prediction: Floats, stds: Floats, calibration: Calibration, level: float) -> tuple[Floats, Floats]:
    """Return the [n] lower and upper ends of intervals around [n] predictions."""
    half = calibration.quantile(level) * _scale(stds, calibration.offset)
    return prediction - half, prediction + half


def sets(probabilities: Floats, calibration: Calibration, level: float) -> NDArray[np.bool_]:
    """Return [n, classes] which classes are in each row's set; the most probable one always is."""
    inside: NDArray[np.bool_] = 1 - probabilities <= calibration.quantile(level)
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside


def neighbor_std(residuals: Floats, counts: Floats) -> Floats:
    """Return [n] the standard deviation of the residuals of k neighbours, each counted as often as its cell.

    Args:
        residuals: [n, k] of numbers.
        counts: [n, k].
    """
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.full_like(counts, 1 / counts.shape[1]), where=total > 0)
    mean = np.einsum("nk,nk->n", share, residuals)
    return np.asarray(np.sqrt(np.einsum("nk,nk->n", share, np.square(residuals - mean[:, None]))))


def mean_std(stds: Sequence[Floats], weights: Floats) -> Floats:
    """Return [n] the mean of the members' [n] stds, by the members' weights in the prediction."""
    return np.asarray(np.average(stds, axis=0, weights=weights))


def _scale(stds: Floats, offset: float) -> Floats:
    return np.ones_like(stds) if math.isinf(offset) else stds + offset


def _thinned(scores: Floats, offset: float, rows: Integers | None) -> Calibration:
    order = np.argsort(scores, kind="stable")
    if len(order) > _KEPT:
        order = order[np.ceil(np.linspace(0, len(order) - 1, _KEPT)).astype(np.int64)]
    return Calibration(scores[order], len(order), offset, None if rows is None else rows[order])
