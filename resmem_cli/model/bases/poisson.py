"""scikit-learn's histogram gradient boosting by the Poisson deviance, for numbers that are never negative.

Its trees add up to the logarithm of the prediction, so that effects multiply, as they do on prices and counts. It aims
at the mean as squared error does, but errs differently: the mean of the two is better than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from resmem_cli.model.arrays import Arrays, Floats
from resmem_cli.model.bases.boosting import Boosting, n_bags
from resmem_cli.model.bases.protocol import Problem, validation_rows

# A step is in proportion to how many times the mean of a leaf exceeds what is predicted there, not to the logarithm of
# that: where few numbers are very much larger than the rest it can go far beyond them, and further trees do not return.
_TOO_FAR = 3.0


@dataclass(frozen=True)
class Poisson(Boosting):
    """Boosted trees of the logarithm; plain boosting where they are none, or go far beyond the targets.

    There is no logarithm of classes, of negative numbers, and where every number is 0.

    Attributes:
        largest: the target that no prediction exceeds.
    """

    largest: float = np.inf

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        return {**super().defaults(problem), **({"loss": "poisson"} if problem.is_regression else {})}

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {name: value for name, value in super().parameters(problem).items() if name not in ("loss", "quantile")}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        if _has_logarithm(y, weight, problem, n_bags(params)):
            fitted = super().fit(X, y, weight, problem, params)
            reached = fitted.predict(X).max()
            if np.isfinite(reached) and reached <= _TOO_FAR * y.max():
                return cls(fitted.models, fitted.n_classes, float(y.max()))
        return cls(Boosting.fit(X, y, weight, problem, params).models, problem.n_classes)

    def predict(self, X: Floats) -> Floats:
        return np.minimum(super().predict(X), self.largest)

    def to_arrays(self) -> Arrays:
        return {**super().to_arrays(), "largest": np.array([self.largest])}

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        models = super().restore(arrays, estimator).models
        return cls(models, int(arrays["n_classes"][0]), float(arrays["largest"][0]))


def _has_logarithm(y: Floats, weight: Floats | None, problem: Problem, n_bags: int) -> bool:
    """Whether targets are positive, also of those that may be held out to stop by, and of the others."""
    if not problem.is_regression or y.min() < 0:
        return False
    counted = y if weight is None else y * weight
    every = [validation_rows(y, problem, bag) for bag in range(n_bags)]
    return all(counted[held].sum() > 0 and counted[~held].sum() > 0 for held in every)
