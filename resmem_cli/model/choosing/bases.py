"""Which settings bases get where the user names none, and what each weighs in their mean: by rows that are held out.

Nothing that a memory gains is measured here: its folds fit every base anew, with the settings that were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resmem_cli.model import metrics
from resmem_cli.model.arrays import Floats, Integers, row_blocks
from resmem_cli.model.choosing import serving
from resmem_cli.model.combination import combine, combined
from resmem_cli.model.grouping import drawn
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.spaces.training import silent
from resmem_cli.model.splitting import Split

_LEAST_ROWS = 50  # a fifth of fewer says too little
_FEW_ROWS, _N_FOLDS = 3_000, 5  # one draw of few rows is luck: all of them are held out in turn
_MOST_ROWS = 50_000


@dataclass(frozen=True)
class Compared:
    """Bases in the order of their loss on held-out rows.

    Attributes:
        recipes: each with the settings that were best, the best base first.
        losses: of each; empty if nothing was compared.
        weights: of each in their mean; empty if nothing was compared.
        mean_loss: of that mean; None if nothing was compared.
        n_held_out: rows that they were compared on.
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
    if sum(map(len, tried)) == 1 or len(rows.y) < _LEAST_ROWS:
        return Compared(tuple(own[0] for own in tried))
    problem = recipes[0].problem
    rng = np.random.default_rng(problem.seed)
    rows = rows.take(drawn(rows.related(problem).groups, _MOST_ROWS, rng))
    splits = rows.single_splits(problem, rng)[:1]
    if len(rows.y) < _FEW_ROWS:
        splits = list(rows.splits(problem, _N_FOLDS, rng))
    if not splits:  # all rows belong together
        return Compared(tuple(own[0] for own in tried))
    every = [(base, recipe) for base, own in enumerate(tried) for recipe in own]
    jobs = [(rows, recipe, split) for _, recipe in every for split in splits]
    is_long = any(recipe.spec.estimator == "network" for recipe in recipes)
    running = side_by_side(_predictions, jobs, n_rows=len(rows.y), threads=threads, is_long=is_long)
    weight = np.concatenate([_weights(rows, held_out) for _, held_out in splits])
    y = np.concatenate([rows.y[held_out] for _, held_out in splits])

    def loss_of(predictions: Floats) -> Floats:
        parts = row_blocks(len(y), problem.n_outputs)
        return np.concatenate([metrics.row_loss(y[part], predictions[part]) for part in parts])

    best: dict[int, tuple[float, Recipe, Floats]] = {}
    for base, recipe in every:
        report(f"comparing bases: {recipe.spec.estimator}")
        predictions = np.concatenate([next(running) for _ in splits])
        loss = float(np.average(loss_of(predictions), weights=weight))
        if base not in best or loss < best[base][0]:
            best[base] = loss, recipe, predictions
    losses, chosen, predicted = zip(*sorted(best.values(), key=lambda each: each[0]), strict=True)
    weights = combine(predicted, loss_of, weight, len(predicted), lambda of: serving.price_of_bases(len(of)))
    mean_loss = float(np.average(loss_of(combined(predicted, weights)), weights=weight))
    return Compared(chosen, losses, tuple(weights.tolist()), mean_loss, len(y))


def _with(recipe: Recipe, params: Mapping[str, Any]) -> Recipe:
    return replace(recipe, spec=replace(recipe.spec, params={**params, **recipe.spec.params}))


def _weights(rows: LabelledRows, held_out: Integers) -> Floats:
    return np.ones(len(held_out)) if rows.weight is None else rows.weight[held_out]


def _predictions(rows: LabelledRows, recipe: Recipe, split: Split) -> Floats:
    """Return the [q, outputs] predictions of a base for the rows that it is fitted without."""
    training, held_out = rows.take(split[0]), rows.take(split[1])
    return recipe.base_for(training).predict(held_out.X)
