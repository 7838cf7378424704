"""Categories of many values as numbers: the mean target of the training rows that have the value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from resmem_cli.model.arrays import FLOAT, Arrays, Floats, stored
from resmem_cli.model.bases.protocol import Problem
from resmem_cli.model.splitting import Related, splits

_PRIOR_ROWS = 5.0  # how many rows of the mean of all are added to those of a value
_N_FOLDS = 5
_NAME = "target_means_{}"


@dataclass(frozen=True)
class TargetEncoding:
    """The target's mean per value, drawn towards the mean of all rows the more, the fewer rows have the value.

    D. Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes", SIGKDD Explorations, 2001.

    Attributes:
        means: of every categorical column, [values + 1, outputs]: of each value, and last of one that is missing or
            unknown. Outputs are the number itself, the second of two classes, or every one of several.
    """

    means: tuple[Floats, ...]

    @classmethod
    def fit(cls, codes: Floats, y: Floats, weight: Floats | None, problem: Problem) -> Self:
        """Learn from [n, columns] codes, NaN where missing or unknown, and [n] targets and weights."""
        targets, heavy = _targets(y, problem.n_classes), np.ones(len(y)) if weight is None else weight
        overall = np.average(targets, axis=0, weights=heavy) if heavy.sum() > 0 else targets.mean(axis=0)
        counts = problem.levels.values()
        return cls(tuple(_means(codes[:, i], targets, heavy, overall, n) for i, n in enumerate(counts)))

    def transform(self, codes: Floats) -> Floats:
        """Return [n, columns times outputs] means of [n, columns] codes."""
        of_columns = []
        for i, means in enumerate(self.means):
            positions = np.nan_to_num(codes[:, i], nan=len(means) - 1).astype(np.int64)
            of_columns.append(means[np.minimum(positions, len(means) - 1)])
        return np.hstack(of_columns)

    @classmethod
    def cross_fitted(
        cls, codes: Floats, y: Floats, weight: Floats | None, problem: Problem, related: Related
    ) -> Floats:
        """Return what training rows are told, [n, columns times outputs]: means of the other folds' rows alone.

        With its own target among them, the mean of a value of few rows would tell the target. Rows that belong
        together, by [n] `related`, are of one fold.
        """
        unknown = np.full_like(codes, np.nan)
        encoded = cls.fit(unknown, y, weight, problem).transform(unknown)  # where no fold holds a row out
        classes, rng = None if problem.is_regression else y, np.random.default_rng(problem.seed)
        for kept, held in splits(replace(related, times=None), classes, _N_FOLDS, rng):
            own = cls.fit(codes[kept], y[kept], None if weight is None else weight[kept], problem)
            encoded[held] = own.transform(codes[held])
        return encoded

    def to_arrays(self) -> Arrays:
        return {_NAME.format(i): means for i, means in enumerate(self.means)}

    @classmethod
    def restore(cls, arrays: Arrays, n_columns: int) -> Self:
        """Return what `to_arrays` was asked of; KeyError or ValueError if they are no such arrays."""
        means = tuple(stored(arrays, _NAME.format(i), FLOAT, None, None) for i in range(n_columns))
        if len({each.shape[1] for each in means}) > 1 or not all(each.size for each in means):
            raise ValueError("its target encodings differ in their outputs")
        return cls(means)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """How many values each column has."""
        return tuple(len(means) - 1 for means in self.means)

    @property
    def n_outputs(self) -> int:
        """How many numbers each column becomes."""
        return int(self.means[0].shape[1])


def n_outputs(problem: Problem) -> int:
    """Return how many numbers a category becomes."""
    return problem.n_classes if problem.n_classes > 2 else 1


def _targets(y: Floats, n_classes: int) -> Floats:
    """Return [n, outputs] what is averaged."""
    if n_classes == 0:
        return y[:, None]
    wanted = np.arange(n_classes) if n_classes > 2 else np.array([1])
    is_class: Floats = (y[:, None] == wanted).astype(np.float64)
    return is_class


def _means(codes: Floats, targets: Floats, weight: Floats, overall: Floats, n_levels: int) -> Floats:
    known = ~np.isnan(codes)
    positions, heavy = codes[known].astype(np.int64), weight[known]
    weights = np.bincount(positions, heavy, n_levels)[:, None]
    sums = np.column_stack([np.bincount(positions, heavy * column, n_levels) for column in targets[known].T])
    means = (sums + _PRIOR_ROWS * overall) / (weights + _PRIOR_ROWS)
    return np.vstack([means, overall])
