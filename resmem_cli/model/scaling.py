"""Encoded rows as dense numbers of one scale: what linear models, networks and distances need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import cost
from resmem_cli.model.arrays import FLOAT, TRUTH, WHOLE, Arrays, Floats, Singles, stored, stored_number
from resmem_cli.model.axes import Axes

Scaling = Literal["standard", "normal"]

_N_KNOTS = 1001
_N_KNOTS_OF_WIDE = 65  # each of thousands of columns: nobody could tell the difference
_FEW = 12
_NEARLY_ALL = 0.98
_MOST_CODES = 100_000_000  # of all categories together, each of which is a column
# Normal scores end here, so that an outlier is far from the rest but not infinitely far.
_EDGE_LEVEL = 1e-3
# Numbers are held between these sizes (what is smaller is 0), so that their squares and quotients are finite too;
# standardised values are held below the last, so that their squares fit single precision.
_SMALLEST, _LARGEST, _FARTHEST = 1e-290, 1e150, 1e9


@dataclass(frozen=True)
class Scaler:
    """A map from encoded rows to one scale, learned from training rows.

    A number becomes its standardised value, or its normal score (the normal quantile of its rank, which outliers
    and skew do not disturb); a missing number becomes the middle, 0, and is indicated by one more column if training
    had missing values there. A category becomes one column per code, of 0 and 1.

    Attributes:
        n_categories: [d] how many codes each encoded column can hold, 0 for a number.
        knots: [number columns, q] ascending values at which the map is known.
        scores: [number columns, q] the scale's values at the knots; between them the map is linear.
        indicated: [number columns] whether missing values get a column of their own.
        is_linear: whether values outside the knots continue the line (standardised) or stay at its ends (scores).
        axes: the principal components that stand for the outputs, where these are too many for distances; or None.
    """

    n_categories: tuple[int, ...]
    knots: Floats
    scores: Floats
    indicated: NDArray[np.bool_]
    is_linear: bool
    axes: Axes | None = None

    @classmethod
    def fit(cls, X: Floats, n_categories: tuple[int, ...], scaling: Scaling, weight: Floats | None = None) -> Self:
        """Learn the map from the first d columns of encoded training rows, which count as much as they weigh."""
        if weight is not None:  # a row without weight says nothing
            X, weight = X[weight > 0], weight[weight > 0]
        n_knots = _N_KNOTS_OF_WIDE if len(n_categories) > cost.WIDE else _N_KNOTS
        learn, width = (
            (_standard_knots, 2) if scaling == "standard" else (partial(_normal_knots, n_knots=n_knots), n_knots)
        )
        pairs, indicated = [], []
        for i in [i for i, count in enumerate(n_categories) if count == 0]:  # one at a time: a wide table is large
            column = _finite(X[:, i])
            has = ~np.isnan(column)
            pairs.append(learn(column[has], None if weight is None else weight[has]))
            indicated.append(not has.all())
        knots = np.array([pair[0] for pair in pairs]).reshape(len(pairs), width)
        scores = np.array([pair[1] for pair in pairs]).reshape(len(pairs), width)
        return cls(n_categories, knots, scores, np.array(indicated, dtype=np.bool_), scaling == "standard")

    def reduced(self, X: Floats) -> Self:
        """Return the map to the principal components of wide tables, by training rows; of others the map as it is."""
        n_axes = cost.n_axes(len(self.n_categories))
        return self if n_axes is None else replace(self, axes=Axes.fit(self.transform(X), n_axes))

    @property
    def is_few_valued(self) -> NDArray[np.bool_]:
        """[number columns] whether training rows had few different values, of any that is not very rare."""
        if self.axes is not None:
            return np.zeros(self.n_outputs, dtype=bool)
        # Between two values that fill several knots each, one knot may lie.
        return np.array([len(np.unique(knots)) < 2 * _FEW for knots in self.knots], dtype=bool)

    @property
    def is_two_valued(self) -> NDArray[np.bool_]:
        """[number columns] whether training rows, but for a fiftieth, had no more than two values; of scores only."""
        if self.axes is not None:
            return np.zeros(self.n_outputs, dtype=bool)
        # Of few rows, some knots lie between the two.
        counts = (np.sort(np.unique(knots, return_counts=True)[1]) for knots in self.knots)
        return np.array([each[-2:].sum() > _NEARLY_ALL * self.knots.shape[1] for each in counts], dtype=bool)

    @property
    def n_outputs(self) -> int:
        return self._n_scaled if self.axes is None else self.axes.n_axes

    @property
    def _n_scaled(self) -> int:
        return len(self.knots) + int(self.indicated.sum()) + sum(self.n_categories)

    @property
    def sources(self) -> NDArray[np.int64]:
        """[p] the encoded column that each output comes from; of principal components there is none."""
        numbers = np.array([i for i, count in enumerate(self.n_categories) if count == 0], dtype=np.int64)
        categories = [np.full(count, i) for i, count in enumerate(self.n_categories) if count > 0]
        return np.concatenate([numbers, numbers[self.indicated], *categories])

    def equals(self, other: Scaler) -> bool:
        """Whether the other makes the same of every row."""
        if self is other:
            return True
        ours, theirs = self.to_arrays(), other.to_arrays()
        return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)

    def transform(self, X: Floats) -> Singles:
        """Return [n, p] single-precision features of n encoded rows: numbers, indicators, categories."""
        X = X[:, : len(self.n_categories)]
        out = np.zeros((len(X), self._n_scaled), dtype=np.float32)
        is_category = np.array([count > 0 for count in self.n_categories], dtype=bool)
        numbers = np.flatnonzero(~is_category)
        for i, column in enumerate(numbers.tolist()):
            out[:, i] = self._scale(i, _finite(X[:, column]))
        at = len(self.knots)
        for column in numbers[self.indicated].tolist():
            out[:, at] = np.isnan(X[:, column])
            at += 1
        for i in np.flatnonzero(is_category).tolist():
            known = np.flatnonzero(~np.isnan(X[:, i]))
            out[known, at + X[known, i].astype(np.int64)] = 1.0
            at += self.n_categories[i]
        return out if self.axes is None else self.axes.along(out)

    def _scale(self, i: int, values: Floats) -> Floats:
        knots, scores = self.knots[i], self.scores[i]
        if self.is_linear:
            slope = (scores[1] - scores[0]) / (knots[1] - knots[0])
            scaled = np.clip(scores[0] + (values - knots[0]) * slope, -_FARTHEST, _FARTHEST)
        else:
            scaled = np.interp(values, knots, scores)
            if (knots[1:] == knots[:-1]).any():
                # The mean of both directions: a value that fills several knots gets the middle of its scores.
                scaled = (scaled - np.interp(-values, -knots[::-1], -scores[::-1])) / 2
        return np.where(np.isnan(values), 0.0, scaled)

    def to_arrays(self) -> Arrays:
        return {
            "n_categories": np.array(self.n_categories, dtype=np.int64),
            "knots": self.knots,
            "scores": self.scores,
            "indicated": self.indicated,
            "is_linear": np.array([self.is_linear]),
            **({} if self.axes is None else self.axes.to_arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the map that `to_arrays` was asked of; KeyError or ValueError if they are no such arrays."""
        counts = stored(arrays, "n_categories", WHOLE, None)
        n_numbers = int((counts == 0).sum())
        knots = stored(arrays, "knots", FLOAT, n_numbers, None)
        scores = stored(arrays, "scores", FLOAT, *knots.shape)
        is_linear = bool(stored_number(arrays, "is_linear", TRUTH))
        rises = np.diff(knots) > 0 if is_linear else np.diff(knots) >= 0
        if (counts < 0).any() or counts.sum() > _MOST_CODES or knots.shape[1] < 2 or not rises.all():
            raise ValueError("the quantiles of the features are not ascending, or there are too many categories")
        indicated = stored(arrays, "indicated", TRUTH, n_numbers)
        scaler = cls(tuple(counts.tolist()), knots, scores, indicated, is_linear)
        return replace(scaler, axes=Axes.from_arrays(arrays, scaler.n_outputs))


class Encoded:
    """Encoded rows, and what scalers make of them: what several spaces read of the same rows is computed once.

    Attributes:
        X: [n, d] the rows.
        represented: by the id of a base, the [n, p] representation that came with its predictions.
    """

    def __init__(self, X: Floats, represented: Mapping[int, Singles] | None = None) -> None:
        self.X = X
        self.represented = represented or {}
        self._scaled: list[tuple[Scaler, Singles]] = []

    def scaled(self, scaler: Scaler) -> Singles:
        """Return [n, p] the features on a scale; not to be changed, because others read them too."""
        for known, features in self._scaled:
            if known.equals(scaler):
                return features
        self._scaled.append((scaler, scaler.transform(self.X)))
        return self._scaled[-1][1]


def _finite(numbers: Floats) -> Floats:
    return np.where(np.abs(numbers) < _SMALLEST, 0.0, np.clip(numbers, -_LARGEST, _LARGEST))


def mean_and_std(values: Floats, weight: Floats | None) -> tuple[float, float]:
    """Return the mean and the standard deviation of [n] values, by their [n] weights if there are any."""
    if weight is None:
        return float(values.mean()), float(values.std())
    mean = float(np.average(values, weights=weight))
    return mean, float(np.sqrt(np.average(np.square(values - mean), weights=weight)))


def _standard_knots(values: Floats, weight: Floats | None) -> tuple[Floats, Floats]:
    ends = np.array([values.min(), values.max()]) if len(values) else np.zeros(2)
    # Asked of the ends, because rounding gives a constant column a standard deviation.
    mean, std = mean_and_std(values, weight) if ends[0] < ends[1] else (0.0, 0.0)
    if std == 0:  # a constant column is 0 everywhere
        return np.array([0.0, 1.0]), np.zeros(2)
    return ends, (ends - mean) / std


def _normal_knots(values: Floats, weight: Floats | None, n_knots: int) -> tuple[Floats, Floats]:
    from scipy.special import ndtri

    levels = np.linspace(0.0, 1.0, n_knots)
    scores = ndtri(np.clip(levels, _EDGE_LEVEL, 1 - _EDGE_LEVEL))
    if len(values) == 0:
        return levels, np.zeros(n_knots)
    if weight is None:
        return np.quantile(values, levels), scores
    return _weighted_quantiles(values, weight, levels), scores


def _weighted_quantiles(values: Floats, weight: Floats, levels: Floats) -> Floats:
    """Return the values at ascending levels from 0 to 1: each value stands at the middle of its weight.

    Of equal weights these are NumPy's quantiles, and all weights may be in any unit.
    """
    order = np.argsort(values, kind="stable")
    ordered, heavy = values[order], weight[order]
    places = np.cumsum(heavy) - heavy / 2
    # Rounding may not move the ends.
    span = places[-1] - places[0]
    if span <= 0:
        return np.full(len(levels), ordered[0])
    return np.maximum.accumulate(np.interp(levels, (places - places[0]) / span, ordered))
