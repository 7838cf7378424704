"""Which settings bases get where the user names none, and what each weighs in their mean: by rows that are held out.

Nothing that a memory gains is measured here: its folds fit every base anew, with the settings that were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resmem_cli.model import bases, metrics
from resmem_cli.model.arrays import Floats, row_blocks
from resmem_cli.model.bases import Base
from resmem_cli.model.bases.linear import BOUNDED
from resmem_cli.model.choosing import serving
from resmem_cli.model.combination import combine, combined
from resmem_cli.model.grouping import drawn
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.spaces.training import silent
from resmem_cli.model.splitting import Split

_LEAST_ROWS = 50  # a fifth of fewer says too little
_FEW_ROWS, _N_FOLDS = 3_000, 3  # one draw of few rows is luck: all of them are held out in turn
_SOME_ROWS = 20_000  # two of five parts of fewer are held out
_MOST_ROWS = 50_000


@dataclass(frozen=True)
class Compared:
    """Bases in the order of their loss on held-out rows.

    Attributes:
        recipes: each with the settings that were best, the best base first.
        losses: of each; empty if nothing was compared.
        weights: of each in their mean; empty if nothing was compared.
        mean_loss: of that mean; None if nothing was compared.
        n_held_out: rows that they were compared on; the thousandth of numbers with the largest errors does not count.
    """

    recipes: tuple[Recipe, ...]
    losses: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    mean_loss: float | None = None
    n_held_out: int = 0


def compare(
    recipes: Sequence[Recipe],
    variants: Sequence[Sequence[Mapping[str, Any]]],
    rows: LabelledRows,
    *,
    threads: int = 1,
    report: Callable[[str], None] = silent,
) -> Compared:
    """Choose the settings of each base, and order bases, by the loss on rows that they are fitted without.

    Args:
        recipes: how bases come about.
        variants: of each, the further parameters to choose from.
        rows: what they are to learn from; of very many, some are compared on.
        threads: how many may be used.
        report: is told what is being done.
    """
    tried = [[_with(recipe, each) for each in own] for recipe, own in zip(recipes, variants, strict=True)]
    not_compared = Compared(_others_bounded([own[0] for own in tried]))
    if sum(map(len, tried)) == 1 or len(rows.y) < _LEAST_ROWS:
        return not_compared
    comparison = _Comparison.of(rows, recipes, threads, report)
    if not comparison.splits:  # all rows belong together
        return not_compared
    return comparison.ranked(comparison.with_best_settings(tried))


def fitted(
    recipes: Sequence[Recipe], rows: LabelledRows, *, threads: int = 1, report: Callable[[str], None] = silent
) -> list[Base]:
    """Fit every base to all rows.

    Several are fitted side by side, with one thread each, of no more rows than bases are compared on. Of more rows, one
    after the other, each with the threads that it can use, so that the rows are not held several times.
    """

    def told(recipe: Recipe) -> Recipe:
        report(f"fitting {recipe.spec.estimator} on {len(rows.y):,} rows")
        return recipe

    if len(recipes) == 1 or len(rows.y) > _MOST_ROWS:
        return [told(recipe).base_for(rows) for recipe in recipes]
    jobs, is_long = [(recipe, rows) for recipe in recipes], _take_long(recipes)
    running = side_by_side(Recipe.base_for, jobs, n_rows=len(rows.y), threads=threads, is_long=is_long)
    return [next(running) for _ in map(told, recipes)]


@dataclass(frozen=True)
class _Comparison:
    """What bases are compared on: rows that each is fitted without, and predicts.

    Attributes:
        rows: all of them.
        splits: positions of the rows to fit to and of the held-out rows, in turn.
        takes_long: whether a fit takes long even of few rows.
        threads: how many may be used.
        report: is told what is being done.
    """

    rows: LabelledRows
    splits: Sequence[Split]
    takes_long: bool
    threads: int
    report: Callable[[str], None]

    @classmethod
    def of(
        cls, rows: LabelledRows, recipes: Sequence[Recipe], threads: int, report: Callable[[str], None]
    ) -> _Comparison:
        """Draw the rows, of very many, and split them."""
        problem = recipes[0].problem
        rng = np.random.default_rng(problem.seed)
        rows = rows.take(drawn(rows.related(problem).groups, _MOST_ROWS, rng))
        n_splits = 2 if len(rows.y) < _SOME_ROWS and rows.times is None else 1
        splits = rows.single_splits(problem, rng)[:n_splits]
        if len(rows.y) < _FEW_ROWS:
            splits = list(rows.splits(problem, _N_FOLDS, rng))
        return cls(rows, splits, _take_long(recipes), threads, report)

    def with_best_settings(self, tried: Sequence[Sequence[Recipe]]) -> list[Recipe]:
        """Return each base with that of the settings tried that has the least loss.

        Of how many models a base is the mean matters less to this choice than the settings: one model is fitted.
        """
        of_several = [recipe.single_model for own in tried if len(own) > 1 for recipe in own]
        predictions = list(self._predictions(of_several))
        loss = self._loss.without_outliers(predictions)
        losses = iter([loss.mean(each) for each in predictions])
        return [own[int(np.argmin([next(losses) for _ in own]))] if len(own) > 1 else own[0] for own in tried]

    def ranked(self, recipes: Sequence[Recipe]) -> Compared:
        """Return bases by their loss, and with what weights their mean has the least."""
        predictions = list(self._predictions(recipes))
        are_constant = [recipe.kind.is_constant for recipe in recipes]
        loss = self._loss.without_outliers(
            [each for each, constant in zip(predictions, are_constant, strict=True) if not constant]
        )
        order = np.argsort([loss.mean(each) for each in predictions], kind="stable").tolist()
        stored = _others_bounded([recipes[i] for i in order])
        again = self._predictions([recipe for recipe, i in zip(stored, order, strict=True) if recipe != recipes[i]])
        ordered = [
            predictions[i] if recipe == recipes[i] else next(again) for recipe, i in zip(stored, order, strict=True)
        ]
        weights = combine(
            ordered, loss.per_row, loss.weight, len(ordered), lambda of: serving.cost_factor_of_bases(len(of))
        )
        return Compared(
            stored,
            tuple(loss.mean(each) for each in ordered),
            tuple(weights.tolist()),
            loss.mean(combined(ordered, weights)),
            len(loss.y),
        )

    def _predictions(self, recipes: Sequence[Recipe]) -> Iterator[Floats]:
        """Yield the [q, outputs] predictions of every base for the held-out rows of all splits."""
        jobs = [(self.rows, recipe, split) for recipe in recipes for split in self.splits]
        running = side_by_side(
            _predictions, jobs, n_rows=len(self.rows.y), threads=self.threads, is_long=self.takes_long
        )
        for recipe in recipes:
            self.report(f"comparing bases: {recipe.spec.estimator}")
            yield np.concatenate([next(running) for _ in self.splits])

    @property
    def _loss(self) -> _HeldOutLoss:
        held_out = np.concatenate([positions for _, positions in self.splits])
        y, weight = self.rows.y[held_out], self.rows.weight
        return _HeldOutLoss(y, np.ones(len(y)) if weight is None else weight[held_out])


@dataclass(frozen=True)
class _HeldOutLoss:
    """The loss on held-out rows, by their [q] targets and weights."""

    y: Floats
    weight: Floats

    def per_row(self, predictions: Floats) -> Floats:
        """Return the [q] losses of [q, outputs] predictions."""
        parts = row_blocks(len(self.y), predictions.shape[1])
        return np.concatenate([metrics.row_loss(self.y[part], predictions[part]) for part in parts])

    def mean(self, predictions: Floats) -> float:
        return float(np.average(self.per_row(predictions), weights=self.weight))

    def without_outliers(self, predictions: Sequence[Floats]) -> _HeldOutLoss:
        """Return the loss without the thousandth of the rows that the mean of several regressions gets most wrong.

        One row far out can outweigh all others, and says little of new ones; the folds of a memory leave it out, too.
        """
        if not predictions or predictions[0].shape[1] > 1:
            return self
        losses = self.per_row(np.asarray(np.mean(predictions, axis=0)))
        return replace(self, weight=np.where(losses <= metrics.outlier_bound(losses), self.weight, 0.0))


def _take_long(recipes: Sequence[Recipe]) -> bool:
    return any(recipe.kind.takes_long for recipe in recipes)


def _others_bounded(recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """Hold lines but the first base within the numbers that they were fitted to, if it is not said otherwise.

    Where one column of a row is far out, a line is too, and its corrected model would spoil the mean of all.
    """
    return recipes[0], *map(_bounded, recipes[1:])


def _bounded(recipe: Recipe) -> Recipe:
    is_offered = BOUNDED in bases.parameters(recipe.spec.estimator, recipe.problem)
    return _with(recipe, {BOUNDED: True}) if is_offered else recipe


def _with(recipe: Recipe, params: Mapping[str, Any]) -> Recipe:
    return replace(recipe, spec=replace(recipe.spec, params={**params, **recipe.spec.params}))


def _predictions(rows: LabelledRows, recipe: Recipe, split: Split) -> Floats:
    """Return the [q, outputs] predictions of a base for the rows that it is fitted without."""
    training, held_out = rows.take(split[0]), rows.take(split[1])
    return recipe.base_for(training).predict(held_out.X)
