"""How much a base's predictions depend on every feature: permutation sensitivity, which looks at no label."""

from __future__ import annotations

import numpy as np

from resmem_cli.model import cost
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.protocol import Base, Problem

_SAMPLE = 2_000  # rows
_MOST_PREDICTED = 4_000_000  # probabilities, of very many classes by fewer rows


def has_sensitivity(base: Base, problem: Problem) -> bool:
    """Whether the sensitivity to every feature is defined, and cheap enough to measure."""
    return base.reads_features and len(problem.n_categories) <= cost.WIDE


def sensitivity(base: Base, X: Floats, problem: Problem, rng: np.random.Generator) -> Floats:
    """Return [d] the root mean square change of a base's prediction when a feature is permuted.

    Relative to the feature with the largest change; all ones if no feature changes the prediction.

    Args:
        base: the model.
        X: [n, columns] encoded rows, of which the first d columns are features.
        problem: says how many; the levels of a category move with it.
        rng: draws the sample of rows and the permutations.
    """
    n_sampled = min(_SAMPLE, max(1, _MOST_PREDICTED // base.predict(X[:1]).shape[1]))
    sample = X[rng.permutation(len(X))[:n_sampled]]
    predictions = base.predict(sample)
    n_features = len(problem.n_categories)
    levels = {column: n_features + i for i, column in enumerate(problem.levels)}
    moved = np.empty(n_features)
    for j in range(n_features):
        shuffled, moves = sample.copy(), [j, *([levels[j]] if j in levels else [])]
        shuffled[:, moves] = rng.permutation(shuffled[:, moves])
        moved[j] = np.sqrt(np.square(base.predict(shuffled) - predictions).sum(axis=1).mean())
    largest = moved.max(initial=0.0)
    return moved / largest if largest > 0 else np.ones_like(moved)
