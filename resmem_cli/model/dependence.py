"""Do rows that belong together make a memory look better than it will be on new ones?

Of a sample of held-out rows, two corrections are made of what the base leaves unexplained, both in the space of the
memory: the mean residual of the nearest rows, and that of the nearest rows of other groups. Where the second explains
far less, the memory lives on rows of the same group. Rows that are near each other in time, or in the file, are groups,
too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.grouping import drawn
from resmem_cli.model.memory.index import ExactIndex

LEAST_GROUPS = 20  # fewer values are a property of rows rather than what they belong to
_LEAST_ROWS_OF_GROUP = 2  # on average
_MOST_ROWS = 2_000  # of the sample, whose distances are all computed
_NEAREST = 8
_ROWS_OF_STRETCH = 150
_OUTLIERS = 0.001  # of the residuals of numbers are cut
_ERRORS = 3.0  # standard errors that the fall must exceed: several columns are looked at
_LEAST_EXPLAINED = 0.02  # of the squared residuals
_MOST_LEFT, _MOST_LEFT_IN_ORDER = 0.5, 0.85  # of what all neighbours explain
_MOSTLY = 0.5
_SORTED = 0.98
_GAP, _MOST_COPIES = 5.0, 10
_MOST_OF_GAPS = 300  # rows that are looked at for gaps


# Takes positions of rows and returns their [n, p] points.
Represent = Callable[[Integers], Singles]


@dataclass(frozen=True)
class Dependence:
    """What neighbours explain of the squared residuals.

    Attributes:
        explained: the share that the nearest rows explain, where as many rows, drawn at random, are left out as there
            are in the row's own group.
        explained_apart: the share that the nearest rows of other groups explain.
        standard_error: of their difference, over groups.
        same: the share of the nearest rows that are of the row's own group, of as many as there can be.
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


def of_groups(residuals: Floats, groups: Integers, represent: Represent, rng: np.random.Generator) -> Dependence | None:
    """Return what a column of groups makes of the neighbours if most are of the row's own, and others explain less.

    Args:
        residuals: [n, outputs] of a base that was fitted without each row.
        groups: [n] the values of the column.
        represent: gives the points of rows, which do not know the column itself.
        rng: draws the sample.

    Returns:
        None if it is no sign of groups.
    """
    if not LEAST_GROUPS <= len(np.unique(groups)) <= len(groups) / _LEAST_ROWS_OF_GROUP:
        return None
    found = _measured(residuals, groups, 0, represent, rng)
    return found if found.same > _MOSTLY and found.falls(_MOST_LEFT) else None


def in_order(
    y: Floats, residuals: Floats, order: Floats, represent: Represent, rng: np.random.Generator
) -> Dependence | None:
    """Return what rows that are near each other in an order explain, if others explain clearly less.

    Args:
        y: [n] targets. If rows are sorted by them, that says nothing: neighbours in order are near by the target.
        residuals: as `of_groups`.
        order: [n] positions in a file, or times.
        represent: gives the points of rows.
        rng: draws the sample.

    Returns:
        None if the order is no sign of anything.
    """
    ascending = np.argsort(order, kind="stable")
    rises, falls = (np.mean(sign * np.diff(y[ascending]) >= 0) for sign in (1, -1))
    n_stretches = max(LEAST_GROUPS, len(y) // _ROWS_OF_STRETCH)
    if max(rises, falls) > _SORTED or len(y) < 2 * n_stretches:
        return None
    stretches = np.empty(len(y), dtype=np.int64)
    stretches[ascending] = np.arange(len(y)) * n_stretches // len(y)
    found = _measured(residuals, stretches, 1, represent, rng)
    return found if found.falls(_MOST_LEFT_IN_ORDER) else None


def near_copies(points: Singles, rng: np.random.Generator) -> bool:
    """Whether most of [n, p] points have others far nearer than the next, as copies have that differ by a little noise.

    Of d numbers that vary freely, the distance of one neighbour exceeds five times that of the j-th before it with a
    probability of about 5 ** -(j d) (Facco et al. 2017): where most rows have such a gap, d would be below one half.
    """
    sample = rng.permutation(len(points))[:_MOST_OF_GAPS]
    distances, _ = ExactIndex(points).search(points[sample], min(_MOST_COPIES, len(points)))
    nearer, next_one = distances[:, :-1], distances[:, 1:]
    has_gap = (nearer > 0) & (next_one > _GAP * nearer)  # the row itself, and equal ones, are at 0
    return bool(np.mean(has_gap.any(axis=1)) > _MOSTLY)


def _measured(
    residuals: Floats, groups: Integers, reach: int, represent: Represent, rng: np.random.Generator
) -> Dependence:
    """Return what neighbours explain, on a sample of whole groups.

    Rows are of other groups if their numbers are further apart than `reach`.
    """
    sample = drawn(groups, _MOST_ROWS, rng)
    points, residuals, groups = represent(sample), _without_outliers(residuals[sample]), groups[sample]
    # Far from 0, the squares would leave no digits to the distances.
    points = (points - points.mean(axis=0, dtype=np.float64)).astype(np.float32)
    squares = np.square(points).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    # Of groups of few rows, as many neighbours as one has others of its own.
    others = np.bincount(groups)[groups] - 1
    k = int(np.clip(np.median(others), 1, _NEAREST))
    is_same = groups[_nearest(distances, k)] == groups[:, None]
    same = float(is_same.sum() / max(np.minimum(others, k).sum(), 1))
    is_near = np.abs(groups[:, None] - groups) <= reach
    as_many = rng.random(distances.shape, dtype=np.float32) < is_near.mean(axis=1)[:, None]
    near, apart = (
        _left(residuals, _nearest(np.where(left_out, np.float32(np.inf), distances), k))
        for left_out in (as_many, is_near)
    )
    whole = max(float(np.square(residuals).sum()), np.finfo(np.float64).tiny)
    difference = apart - near
    by_group = np.bincount(np.unique(groups, return_inverse=True)[1], difference - difference.mean())
    return Dependence(
        1 - float(near.sum()) / whole, 1 - float(apart.sum()) / whole, float(np.linalg.norm(by_group)) / whole, same
    )


def _nearest(distances: NDArray[np.float32], k: int) -> Integers:
    """Return [n, k] positions of the nearest rows, in any order."""
    return np.argpartition(distances, k, axis=1)[:, :k]


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
