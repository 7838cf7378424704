"""Do rows that belong together make a memory look better than it will be on new ones?

Of a sample of held-out rows, two corrections are made of what the base leaves unexplained: the mean residual of the
nearest rows, and that of the nearest rows of other groups. Where the second explains far less, the memory lives on
rows of the same group. Rows that are near each other in time, or in the file, are groups, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.grouping import drawn
from resmem_cli.model.scaling import Scaler

LEAST_GROUPS = 20  # fewer values are a property of rows rather than what they belong to
_MOST_ROWS = 3_000  # of the sample, whose distances are all computed
_NEAREST = 8
_ROWS_OF_STRETCH = 150
_OUTLIERS = 0.001  # of the residuals of numbers are cut
_ERRORS = 3.0  # standard errors that the fall must exceed: several columns are looked at
_LEAST_EXPLAINED = 0.02  # of the squared residuals
_MOST_LEFT, _MOST_LEFT_IN_ORDER = 0.5, 0.85  # of what all neighbours explain
_MOSTLY = 0.5
_SORTED = 0.98


@dataclass(frozen=True)
class Unexplained:
    """Rows, and what a base leaves unexplained of each that was fitted without it.

    Attributes:
        X: [n, d] encoded features.
        y: [n] targets, or class codes.
        residuals: [n, outputs].
        n_categories: [d] how many codes each column of X can hold, 0 for a number.
    """

    X: Floats
    y: Floats
    residuals: Floats
    n_categories: tuple[int, ...]


@dataclass(frozen=True)
class Dependence:
    """What neighbours explain of the squared residuals.

    Attributes:
        explained: the share that the nearest rows explain.
        explained_apart: the share that the nearest rows of other groups explain.
        standard_error: of their difference, over groups.
        same: the share of the nearest rows that are of the row's own group.
    """

    explained: float
    explained_apart: float
    standard_error: float
    same: float

    def falls(self, most_left: float) -> bool:
        """Whether rows of other groups explain clearly less."""
        fall = self.explained - self.explained_apart
        is_clear = self.explained >= _LEAST_EXPLAINED and fall > _ERRORS * self.standard_error
        return is_clear and self.explained_apart < most_left * self.explained


def of_groups(rows: Unexplained, groups: Integers, own: slice, rng: np.random.Generator) -> Dependence | None:
    """Return what a column of groups makes of the neighbours if most are of the row's own, and others explain less.

    Args:
        rows: the rows.
        groups: [n] the values of the column.
        own: which encoded columns it is itself: distances are taken without them.
        rng: draws the sample.

    Returns:
        None if it is no sign of groups.
    """
    if not LEAST_GROUPS <= len(np.unique(groups)) <= len(groups) / 3:
        return None
    kept = np.delete(np.arange(len(rows.n_categories)), own)
    if not len(kept):
        return None
    found = _measured(rows, kept, groups, 0, rng)
    return found if found.same > _MOSTLY and found.falls(_MOST_LEFT) else None


def in_order(rows: Unexplained, order: Floats, rng: np.random.Generator) -> Dependence | None:
    """Return what rows that are near each other in an order explain, if others explain clearly less.

    Args:
        rows: the rows. If they are sorted by their targets, that says nothing: then neighbours are near by the target.
        order: [n] positions in a file, or times.
        rng: draws the sample.

    Returns:
        None if the order is no sign of anything.
    """
    y = rows.y
    ascending = np.argsort(order, kind="stable")
    rises, falls = (np.mean(sign * np.diff(y[ascending]) >= 0) for sign in (1, -1))
    n_stretches = max(LEAST_GROUPS, len(y) // _ROWS_OF_STRETCH)
    if max(rises, falls) > _SORTED or len(y) < 2 * n_stretches:
        return None
    stretches = np.empty(len(y), dtype=np.int64)
    stretches[ascending] = np.arange(len(y)) * n_stretches // len(y)
    found = _measured(rows, np.arange(len(rows.n_categories)), stretches, 1, rng)
    return found if found.falls(_MOST_LEFT_IN_ORDER) else None


def _measured(
    rows: Unexplained, columns: Integers, groups: Integers, reach: int, rng: np.random.Generator
) -> Dependence:
    """Return what neighbours explain in the space of some encoded columns, on a sample of whole groups.

    Rows are of other groups if their numbers are further apart than `reach`.
    """
    sample = drawn(groups, _MOST_ROWS, rng)
    X, residuals, groups = rows.X[np.ix_(sample, columns)], _without_outliers(rows.residuals[sample]), groups[sample]
    points = Scaler.fit(X, tuple(rows.n_categories[i] for i in columns), "normal").transform(X)
    squares = np.square(points).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    nearest = _nearest(distances)
    same = float((groups[nearest] == groups[:, None]).mean())
    near = _left(residuals, nearest)
    distances[np.abs(groups[:, None] - groups) <= reach] = np.inf
    apart = _left(residuals, _nearest(distances))
    whole = max(float(np.square(residuals).sum()), np.finfo(np.float64).tiny)
    difference = apart - near
    by_group = np.bincount(np.unique(groups, return_inverse=True)[1], difference - difference.mean())
    return Dependence(
        1 - float(near.sum()) / whole, 1 - float(apart.sum()) / whole, float(np.linalg.norm(by_group)) / whole, same
    )


def _nearest(distances: NDArray[np.float32]) -> Integers:
    """Return [n, k] positions of the nearest rows, in any order."""
    return np.argpartition(distances, _NEAREST, axis=1)[:, :_NEAREST]


def _left(residuals: Floats, neighbors: Integers) -> Floats:
    """Return [n] squared residuals after the correction by the neighbours' mean, times the best factor of 0 or more."""
    correction = residuals[neighbors].mean(axis=1)
    factor = max(0.0, float((correction * residuals).sum() / max(np.square(correction).sum(), 1e-300)))
    left: Floats = np.square(residuals - factor * correction).sum(axis=1)
    return left


def _without_outliers(residuals: Floats) -> Floats:
    """Return residuals with the largest of numbers cut: squared, one could outweigh all others."""
    if residuals.shape[1] > 1:
        return residuals
    largest = np.quantile(np.abs(residuals), 1 - _OUTLIERS)
    return np.clip(residuals, -largest, largest)
