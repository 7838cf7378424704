"""Training rows with the base that was fitted to them, and what spaces and residuals need of both.

A base is fitted to all but a quarter of the rows, four times. Encoders learn from what each leaves unexplained of the
held-out quarter; and where a base fits its training rows so well that nothing is left to remember, its predictions of
held-out rows give residuals that are worth remembering (cross-fitted residuals).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from resmem_cli.model import cost
from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.bases.sensitivity import has_sensitivity, sensitivity
from resmem_cli.model.grouping import drawn
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.residuals import SparseResiduals, sparse_residuals
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.scaling import Scaler, mean_and_std
from resmem_cli.model.splitting import Split

if TYPE_CHECKING:  # spaces are fitted to what is here
    from resmem_cli.model.spaces.learning import Schedule
    from resmem_cli.model.spaces.protocol import Space

# Of the base that remembers the row (the paper's), or of a base that was fitted without it.
ResidualKind = Literal["in-sample", "cross-fitted"]
RESIDUAL_KINDS: tuple[ResidualKind, ...] = ("in-sample", "cross-fitted")

_N_FOLDS = 4
# A base that loses less than this share on its training rows of what it loses on others has fitted them too well.
_OVERFITTED = 0.5
_LEAST_SCALE = 0.1  # of the largest: a feature that the base ignores may be what it misses


@dataclass(frozen=True)
class InnerFold:
    """One fold within the training rows.

    Attributes:
        training, held_out: positions of the rows that its base was fitted to, and of those that it has not seen.
        predictions: [n, outputs] its base's, of all rows.
    """

    training: Integers
    held_out: Integers
    predictions: Floats


def silent(_: str) -> None:
    """Report nothing; a function of a module, so that it can be sent to another process."""


@dataclass(frozen=True)
class Training:
    """Training rows and their base; what follows from both is computed when it is first used.

    Attributes:
        rows, base: the rows, and the base whose residuals will be remembered.
        recipe: how the base of a part of the rows comes about.
        schedule: of the training of encoders.
        threads: how many may be used.
        report: is told what is being done.
        starts: by name and residuals, trained spaces of other rows of the same kind, which are trained further.
        most_rows_in_folds: of more rows, so many make the folds.
        shared_folds: the folds, if another object of the same rows has computed them.
    """

    rows: LabelledRows
    base: Base
    recipe: Recipe
    schedule: Schedule
    threads: int
    report: Callable[[str], None] = silent
    starts: Mapping[tuple[str, ResidualKind], Space] = field(default_factory=dict)
    most_rows_in_folds: int = 100_000
    shared_folds: tuple[InnerFold, ...] | None = None
    _sparse: dict[tuple[tuple[float, ...], int], Mapping[float, SparseResiduals]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def problem(self) -> Problem:
        return self.recipe.problem

    def for_one_thread(self) -> Training:
        """Return what another process needs to fit a trained space; the folds are computed here, once for all."""
        return replace(self, threads=1, report=silent, shared_folds=self.folds)

    def predictions(self, residuals: ResidualKind = "in-sample") -> Floats:
        """Return the [n, outputs] predictions of the rows that residuals are taken from."""
        return self.out_of_fold if residuals == "cross-fitted" else self.in_sample

    def sparse(self, temperatures: Sequence[float], n_largest: int) -> Mapping[float, SparseResiduals]:
        """Return, by temperature, the [n] residuals of the base, of so many classes beside each row's own.

        Predictions of all rows are never held; the spaces share what was computed once.
        """
        key = tuple(temperatures), n_largest
        if key not in self._sparse:
            rows, n_classes = self.rows, self.problem.n_classes
            self._sparse[key] = sparse_residuals(
                self.base, rows.X, rows.y, n_classes, temperatures, n_largest=n_largest
            )
        return self._sparse[key]

    @cached_property
    def in_sample(self) -> Floats:
        return self.base.predict(self.rows.X)

    @cached_property
    def out_of_fold(self) -> Floats:
        """[n, outputs] predictions of each row by a base that was fitted without it."""
        predictions = self.folds[0].predictions.copy()  # rows in no fold, where there are very many, keep these
        for fold in (*self.folds, *self._never_held_out):
            predictions[fold.held_out] = fold.predictions[fold.held_out]
        return predictions

    @cached_property
    def _never_held_out(self) -> tuple[InnerFold, ...]:
        """Two folds of the rows that later ones are judged by, and that none of `folds` holds out.

        What these leave unexplained is remembered; nothing is judged by it.
        """
        if self.rows.times is None:
            return ()
        rng = np.random.default_rng(self.problem.seed)
        some = self._drawn(rng)
        held_out = np.concatenate([fold.held_out for fold in self.folds])
        halves = replace(self.rows.take(some), times=None).splits(self.problem, 2, rng)
        return self._fitted([(some[seen], np.setdiff1d(some[half], held_out)) for seen, half in halves])

    @property
    def overfits(self) -> bool:
        """Whether the base fits its training rows so well that their residuals say little of its errors."""
        # Where the base stays, the queries are rows that it has not seen; and a constant fits no row too well.
        if self.recipe.fixed is not None or self.recipe.kind.is_constant:
            return False
        losses = (row_loss(self.rows.y, predictions) for predictions in (self.in_sample, self.out_of_fold))
        seen, unseen = (np.average(loss, weights=self.rows.weight) for loss in losses)
        return bool(seen < _OVERFITTED * unseen)

    @cached_property
    def scaler(self) -> Scaler:
        scaler = Scaler.fit(self.rows.X, self.problem.n_categories, "normal", self.rows.weight)
        return scaler.reduced(self.rows.X)

    @cached_property
    def target_scale(self) -> Floats:
        """[mean, standard deviation] of the targets; 1 for a standard deviation of 0."""
        mean, std = mean_and_std(self.rows.y, self.rows.weight)
        return np.array([mean, std or 1.0])

    @cached_property
    def feature_scale(self) -> Singles:
        """[p] a factor of every scaled feature, by how much the base's predictions depend on its column."""
        if len(self.problem.n_categories) > cost.WIDE:  # a principal component is of all columns
            return np.ones(self.scaler.n_outputs, np.float32)
        return (self._sensitivity[self.scaler.sources] + _LEAST_SCALE).astype(np.float32)

    @cached_property
    def _sensitivity(self) -> Floats:
        n_features, rng = len(self.problem.n_categories), np.random.default_rng(self.problem.seed)
        if not has_sensitivity(self.base, self.problem):
            return np.ones(n_features)
        return sensitivity(self.base, self.rows.X, self.problem, rng)

    @cached_property
    def folds(self) -> tuple[InnerFold, ...]:
        """Folds within the training rows: nothing that is learned from them has seen any other row."""
        if self.shared_folds is not None:
            return self.shared_folds
        rng = np.random.default_rng(self.problem.seed)
        some = self._drawn(rng)
        rows = self.rows.take(some)
        found = list(rows.splits(self.problem, _N_FOLDS, rng))
        if not found:  # of one time
            rows = replace(rows, times=None)
            found = list(rows.splits(self.problem, _N_FOLDS, rng))
        if not found:  # of one group
            found = list(replace(rows, groups=None).splits(self.problem, _N_FOLDS, rng))
        return self._fitted([(some[seen], some[held_out]) for seen, held_out in found])

    def _drawn(self, rng: np.random.Generator) -> Integers:
        """Return positions of the rows that take part in the folds: all, or of very many some."""
        return drawn(self.rows.related(self.problem).groups, self.most_rows_in_folds, rng)

    def _fitted(self, chosen: Sequence[Split]) -> tuple[InnerFold, ...]:
        """Fit the base to the training rows of every split."""
        self.report(f"fitting {len(chosen)} out-of-fold bases")
        jobs = [(self.rows, seen, self.recipe.single_model) for seen, _ in chosen]
        predictions = side_by_side(_predictions_without, jobs, n_rows=len(self.rows.y), threads=self.threads)
        return tuple(InnerFold(*split, each) for split, each in zip(chosen, predictions, strict=True))


def _predictions_without(rows: LabelledRows, training: Integers, recipe: Recipe) -> Floats:
    return recipe.base_for(rows.take(training)).predict(rows.X)
