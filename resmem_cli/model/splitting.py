"""The rows that a method may look at, how they are split, and how a base is fitted to a part of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import bases
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases import Base, BaseSpec, Problem

# As many rows that are new to the base, or a tenth of all, suffice as queries.
_ENOUGH_NEW = 200
_ENOUGH_SHARE = 10


@dataclass(frozen=True)
class Rows:
    """Labelled rows.

    Attributes:
        X, y, weight: [n, d] encoded rows, [n] targets, [n] positive weights or None.
        is_new: [n] whether the stored base was fitted without the row.
    """

    X: Floats
    y: Floats
    weight: Floats | None
    is_new: NDArray[np.bool_]

    def take(self, rows: Integers) -> Rows:
        weight = None if self.weight is None else self.weight[rows]
        return Rows(self.X[rows], self.y[rows], weight, self.is_new[rows])


@dataclass(frozen=True)
class Recipe:
    """How the base of a part of the rows comes about: fitted anew, or the one that is `fixed`."""

    spec: BaseSpec
    problem: Problem
    fixed: Base | None = None

    def base_for(self, training: Rows) -> Base:
        """Return the base whose predictions of rows outside `training` are honest."""
        if self.fixed is not None:
            return self.fixed
        estimator = bases.ESTIMATORS[self.spec.estimator]
        return estimator.fit(training.X, training.y, training.weight, self.problem, self.spec.params)

    def honest(self, held_out: Rows) -> Rows:
        """Return those held-out rows that the base of their training rows has not seen."""
        return held_out if self.fixed is None else held_out.take(np.flatnonzero(held_out.is_new))


def has_enough_new(is_new: NDArray[np.bool_]) -> bool:
    """Whether the rows that the base has not seen suffice as queries, so that it need not be fitted anew."""
    return bool(is_new.sum() >= max(_ENOUGH_NEW, len(is_new) // _ENOUGH_SHARE))


def splits(y: Floats, problem: Problem, n_folds: int, rng: np.random.Generator) -> Iterator[tuple[Integers, Integers]]:
    """Yield (training rows, held-out rows) per fold, the classes spread evenly over the folds."""
    shuffled = rng.permutation(len(y))
    if not problem.is_regression:
        shuffled = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold_of = np.empty(len(y), dtype=np.int64)
    fold_of[shuffled] = np.arange(len(y)) % n_folds
    for fold in range(n_folds):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
