"""The rows that a method may look at, how they are split, and how a base is fitted to a part of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import bases
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.grouping import dealt

# As many rows that are new to the base, or a tenth of all, suffice as queries.
_ENOUGH_NEW = 200
_ENOUGH_ONE_IN = 10

Split = tuple[Integers, Integers]  # positions of the rows to remember, and of those to ask about


@dataclass(frozen=True)
class LabelledRows:
    """Labelled rows.

    Attributes:
        X, y, weight: [n, d] encoded rows, [n] targets, [n] positive weights or None.
        is_new: [n] whether the stored base was fitted without the row.
        is_valid: [n] whether the row was given to decide by (`--valid`): only such rows are held out then. None if
            there are none.
        positions: [n] where each stood among the rows that these were taken of; None if they were not.
    """

    X: Floats
    y: Floats
    weight: Floats | None
    is_new: NDArray[np.bool_]
    is_valid: NDArray[np.bool_] | None = None
    positions: Integers | None = None

    def take(self, rows: Integers) -> LabelledRows:
        weight = None if self.weight is None else self.weight[rows]
        is_valid = None if self.is_valid is None else self.is_valid[rows]
        positions = rows if self.positions is None else self.positions[rows]
        return LabelledRows(self.X[rows], self.y[rows], weight, self.is_new[rows], is_valid, positions)


@dataclass(frozen=True)
class Recipe:
    """How the base of a part of the rows comes about: fitted anew, or the one that is `fixed`.

    Attributes:
        fits_within: whether a base that is fixed is fitted anew on parts of the rows to remember, where those are to
            say what it leaves of rows that it has not seen; because it has seen them all.
    """

    spec: BaseSpec
    problem: Problem
    fixed: Base | None = None
    fits_within: bool = False

    def base_for(self, training: LabelledRows) -> Base:
        """Return the base whose predictions of rows outside `training` are honest."""
        if self.fixed is not None:
            return self.fixed
        estimator = bases.ESTIMATORS[self.spec.estimator]
        return estimator.fit(training.X, training.y, training.weight, self.problem, self.spec.params)

    def is_honest(self, rows: LabelledRows) -> NDArray[np.bool_]:
        """Return [n] which rows may be held out to judge by: those that the base of their training rows has not seen.

        Of rows some of which were given to decide by, these alone.
        """
        is_unseen = np.ones(len(rows.y), dtype=np.bool_) if self.fixed is None else rows.is_new
        return is_unseen if rows.is_valid is None else is_unseen & rows.is_valid

    def honest(self, held_out: LabelledRows) -> LabelledRows:
        """Return those held-out rows that may judge."""
        if self.fixed is None and held_out.is_valid is None:
            return held_out
        return held_out.take(np.flatnonzero(self.is_honest(held_out)))

    @property
    def within(self) -> Recipe:
        """How bases come about on parts of the rows to remember."""
        return replace(self, fixed=None, fits_within=False) if self.fits_within else self


def has_enough_new(is_new: NDArray[np.bool_]) -> bool:
    """Whether the rows that the base has not seen suffice as queries, so that it need not be fitted anew."""
    return bool(is_new.sum() >= max(_ENOUGH_NEW, len(is_new) // _ENOUGH_ONE_IN))


def splits(X: Floats, y: Floats, problem: Problem, n_folds: int, rng: np.random.Generator) -> Iterator[Split]:
    """Yield (training rows, held-out rows) per fold: rows of equal features in one, the classes spread evenly.

    There are fewer folds where there are fewer different rows, and none of rows that are all equal.
    """
    groups = problem.groups(X)
    order = dealt(groups, None if problem.is_regression else y, rng)
    fold_of = np.empty(len(order), dtype=np.int64)
    fold_of[order] = np.arange(len(order)) % n_folds
    for fold in range(min(n_folds, len(order)) if len(order) > 1 else 0):
        is_held_out = fold_of[groups] == fold
        yield np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
