"""Distillation: rows on which bases learn what a whole model predicts (Hinton, Vinyals and Dean 2015).

Rows that a model remembers are too few to show what it predicts between them, so others are made from them: each takes
about half of its features from one of its neighbours (as MUNGE does; Buciluă, Caruana and Niculescu-Mizil 2006), so
that they lie where rows do. What a model predicts of rows that it remembers is nearly their targets, and teaches no
more than those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from resmem_cli.model.arrays import Floats, Integers, row_blocks
from resmem_cli.model.bases import MANY_CLASSES, Problem
from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.model.rows import LabelledRows
from resmem_cli.model.scaling import Scaler

_N_NEIGHBORS = 8
_ENOUGH_ROWS, _MOST_VALUES, _MOST_MADE = 150_000, 40_000_000, 20  # in all; in all; of each row
# Less probable classes are told of seldom, with this weight; of many classes rows would otherwise be too many.
_LEAST_WEIGHT, _LEAST_WEIGHT_OF_MANY = 0.01, 0.1
_GRAPH = GraphOptions(recall=0.9)


def n_made(n_rows: int, n_columns: int) -> int:
    """Return how many rows are made from each of so many, of so many columns."""
    enough = min(_ENOUGH_ROWS, _MOST_VALUES // max(n_columns, 1))
    return int(np.clip(enough // n_rows - 1, 1, _MOST_MADE))


def with_made_rows(
    X: Floats, features: Sequence[Sequence[int]], problem: Problem, threads: int = 1
) -> tuple[Floats, Integers]:
    """Return rows and others made from them.

    Args:
        X: [n, d] encoded rows.
        features: the encoded columns of each feature, which are taken from one row together.
        problem: what the rows are of.
        threads: how many may be used.

    Returns:
        [m, d] the rows first, then those made; and [m] the row that each is made from.
    """
    rng = np.random.default_rng(problem.seed)
    n_rows = len(X)
    near = _neighbors(X, problem, threads)
    n_times = 1 + n_made(n_rows, X.shape[1])
    rows = np.tile(X, (n_times, 1))
    for start in range(n_rows, len(rows), n_rows):
        other = near[np.arange(n_rows), rng.integers(near.shape[1], size=n_rows)]
        for own in map(np.array, features):
            taken = np.flatnonzero(rng.random(n_rows) < 0.5)
            rows[np.ix_(start + taken, own)] = X[np.ix_(other[taken], own)]
    return rows, np.tile(np.arange(n_rows), n_times)


def labelled_by(
    predict: Callable[[Floats], Floats],
    X: Floats,
    made_from: Integers,
    problem: Problem,
    report: Callable[[str, float], None],
) -> LabelledRows:
    """Return [m, d] rows with what a model predicts as their targets.

    Of classes, a row is there once for each class, and weighs as much as that is probable. An improbable class it has
    seldom, but then with the least weight, which is the same in the mean: in expectation the log-loss of these rows is
    the cross-entropy with the model's probabilities. All rows that are made from one belong together.

    Args:
        predict: of [n, d] rows the [n, outputs] predictions.
        X: the rows.
        made_from: [m] the row that each is made from.
        problem: what the rows are of.
        report: is told what is being done, and which share of it is done.
    """
    rng = np.random.default_rng([problem.seed, 1])
    least = _LEAST_WEIGHT if problem.n_classes <= MANY_CLASSES else _LEAST_WEIGHT_OF_MANY
    which, targets, weights = [], [], []
    for part in row_blocks(len(X), problem.n_outputs):
        report("predicting rows", part.start / len(X))
        predicted = predict(X[part])
        if problem.is_regression:
            targets.append(predicted[:, 0])
            continue
        rows, classes = np.nonzero(predicted > least * rng.random(predicted.shape))
        which.append(rows + part.start)
        targets.append(classes.astype(np.float64))
        weights.append(np.maximum(predicted[rows, classes], least))
    y = np.concatenate(targets)
    if problem.is_regression:
        return LabelledRows(X, y, None, np.zeros(len(y), dtype=np.bool_), groups=made_from)
    rows = np.concatenate(which)
    return LabelledRows(X[rows], y, np.concatenate(weights), np.zeros(len(y), dtype=np.bool_), groups=made_from[rows])


def _neighbors(X: Floats, problem: Problem, threads: int) -> Integers:
    """Return [n, k] the nearest rows of each by their normal scores, without the first, which is itself or equals it.

    Of a single row it is itself.
    """
    points = Scaler.fit(X, problem.n_categories, "normal").reduced(X).transform(X)
    k = min(_N_NEIGHBORS + 1, len(X))
    found = build_index(points, k, _GRAPH, problem.seed, threads).search(points, k, threads)[1]
    return found[:, 1:] if k > 1 else found
