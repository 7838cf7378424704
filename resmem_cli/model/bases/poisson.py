"""scikit-learn's histogram gradient boosting by the Poisson deviance, for numbers that are never negative.

Its trees add up to the logarithm of the prediction, so that effects multiply, as they do on prices and counts. It aims
at the mean as squared error does, but errs differently: the mean of the two is better than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.bases.protocol import Problem


class Poisson(Boosting):
    """Boosted trees of the logarithm; plain boosting where there is none: of classes, or where every number is 0."""

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {name: value for name, value in super().parameters(problem).items() if name not in ("loss", "quantile")}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        total = y.sum() if weight is None else y @ weight
        has_logarithm = problem.is_regression and y.min() >= 0 and total > 0
        return super().fit(X, y, weight, problem, {**params, "loss": "poisson"} if has_logarithm else params)
