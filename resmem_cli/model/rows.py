"""The rows that a method may look at, and how a base is fitted to a part of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import bases
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases import Base, BaseKind, BaseSpec, Problem
from resmem_cli.model.splitting import Related, Split, single_splits, splits

# As many rows that are new to the base, or a tenth of all, suffice as queries.
_ENOUGH_NEW = 200
_ENOUGH_ONE_IN = 10
_MEANS_OF = ("bags", "members")  # the parameters that say of how many models a base is the mean


@dataclass(frozen=True)
class LabelledRows:
    """Labelled rows.

    Attributes:
        X, y, weight: [n, d] encoded rows, [n] targets, [n] positive weights or None.
        is_new: [n] whether the stored base was fitted without the row.
        is_valid: [n] whether the row was given to decide by (`--valid`): only such rows are held out then. None if
            there are none.
        positions: [n] where each stood among the rows that these were taken of; None if they were not.
        groups: [n] numbers of the groups that belong together; None if rows of equal features do.
        times: [n] when each row is from, in any unit, -inf where that is not known; None if rows have no times.
    """

    X: Floats
    y: Floats
    weight: Floats | None
    is_new: NDArray[np.bool_]
    is_valid: NDArray[np.bool_] | None = None
    positions: Integers | None = None
    groups: Integers | None = None
    times: Floats | None = None

    def take(self, rows: Integers) -> LabelledRows:
        return LabelledRows(
            X=self.X[rows],
            y=self.y[rows],
            weight=None if self.weight is None else self.weight[rows],
            is_new=self.is_new[rows],
            is_valid=None if self.is_valid is None else self.is_valid[rows],
            positions=rows if self.positions is None else self.positions[rows],
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )

    def related(self, problem: Problem) -> Related:
        """Return which of the rows belong together, and when they are from."""
        if self.groups is not None:
            return Related(self.groups, are_named=True, times=self.times)
        return Related(problem.groups(self.X, self.y if self.times is None else None), times=self.times)

    def splits(self, problem: Problem, n_folds: int, rng: np.random.Generator) -> Iterator[Split]:
        """Yield (training rows, held-out rows) per fold, as `splitting.splits`."""
        return splits(self.related(problem), None if problem.is_regression else self.y, n_folds, rng)

    def single_splits(self, problem: Problem, rng: np.random.Generator) -> list[Split]:
        """Return such splits of which one is enough, as `splitting.single_splits`."""
        return single_splits(self.related(problem), None if problem.is_regression else self.y, rng)


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
        """Return the base that has seen no other of the rows than `training`, or the one that is fixed."""
        if self.fixed is not None:
            return self.fixed
        problem = replace(self.problem, related=training.related(self.problem))
        return bases.fit(self.spec, training.X, training.y, training.weight, problem)

    def is_query(self, rows: LabelledRows) -> NDArray[np.bool_]:
        """Return [n] which rows can be queries once they are held out: those that the base of a fold has not seen.

        Of rows some of which were given to decide by, these alone.
        """
        is_unseen = np.ones(len(rows.y), dtype=np.bool_) if self.fixed is None else rows.is_new
        return is_unseen if rows.is_valid is None else is_unseen & rows.is_valid

    def queries(self, held_out: LabelledRows) -> LabelledRows:
        """Return the queries among held-out rows."""
        if self.fixed is None and held_out.is_valid is None:
            return held_out
        return held_out.take(np.flatnonzero(self.is_query(held_out)))

    @property
    def kind(self) -> type[BaseKind]:
        """What kind of base it is."""
        return bases.KINDS[self.spec.estimator]

    @property
    def within(self) -> Recipe:
        """How bases come about on parts of the rows to remember."""
        return replace(self, fixed=None, fits_within=False) if self.fits_within else self

    @property
    def single_model(self) -> Recipe:
        """How one model comes about where the base is the mean of several: enough to say what it leaves unexplained."""
        offered = bases.parameters(self.spec.estimator, self.problem) if self.fixed is None else {}
        single = {name: 1 for name in _MEANS_OF if name in offered}
        return replace(self, spec=replace(self.spec, params={**self.spec.params, **single}))


def has_enough_new(is_new: NDArray[np.bool_]) -> bool:
    """Whether the rows that the base has not seen suffice as queries, so that it need not be fitted anew."""
    return bool(is_new.sum() >= max(_ENOUGH_NEW, len(is_new) // _ENOUGH_ONE_IN))
