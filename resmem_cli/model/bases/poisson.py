"""scikit-learn's histogram gradient boosting by the Poisson deviance, for numbers that are never negative.

Its trees add up to the logarithm of the prediction, so that effects multiply, as they do on prices and counts. It aims
at the mean as squared error does, but errs differently: the mean of the two is better than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import FLOAT, Arrays, Floats, stored_number
from resmem_cli.model.bases.boosted import EARLY_STOPPING_FROM_ROWS
from resmem_cli.model.bases.boosting import Bag, Boosting
from resmem_cli.model.bases.protocol import Problem
from resmem_cli.model.splitting import Split

# A step is in proportion to how many times the mean of a leaf exceeds what is predicted there, not to the logarithm of
# that: where few numbers are very much larger than the rest it can go far beyond them, and further trees do not return.
_TOO_FAR = 3.0
_LOSSES = ("poisson", "gamma")
_SMALLER = {"max_leaf_nodes": 15, "min_samples_leaf": 5}


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
    def variants(cls, problem: Problem, y: Floats) -> tuple[Mapping[str, Any], ...]:
        """By the gamma deviance: errors in proportion to the number."""
        trees = super().variants(problem, y)
        if len(y) < EARLY_STOPPING_FROM_ROWS or not trees:
            return trees
        return ({"loss": _LOSSES[1]}, {"loss": _LOSSES[1], **_SMALLER}) if y.min() > 0 else ()

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        left_out = ("quantile",) if problem.is_regression else ("quantile", "loss")
        return {name: value for name, value in super().parameters(problem).items() if name not in left_out}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        loss = params.get("loss", _LOSSES[0])
        if loss not in _LOSSES:
            raise UsageError(f"loss is {loss!r}, not {' or '.join(_LOSSES)}", "correct the --param")
        if problem.is_regression and y.min() >= 0 and _some_count(y, weight):
            fitted = super().fit(X, y, weight, problem, params)
            largest = float(y.max())
            smallest = float(y.min()) if loss == _LOSSES[1] else 0.0
            near = [bag for bag in fitted.bags if _is_near(bag, X, smallest, largest)]
            if near:
                return cls(tuple(near), fitted.n_classes, largest)
            if loss == _LOSSES[1]:
                return cls.fit(X, y, weight, problem, {**params, "loss": _LOSSES[0]})
        plain = {name: value for name, value in params.items() if name != "loss"}
        return cls(Boosting.fit(X, y, weight, problem, plain).bags, problem.n_classes)

    @classmethod
    def can_stop_by(cls, split: Split, y: Floats, weight: Floats | None) -> bool:
        return all(_some_count(y[rows], None if weight is None else weight[rows]) for rows in split)

    def of_bag(self, bag: Bag, totals: Floats) -> Floats:
        return np.minimum(super().of_bag(bag, totals), self.largest)

    def to_arrays(self) -> Arrays:
        return {**super().to_arrays(), "largest": np.array([self.largest])}

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        boosting = Boosting.restore(arrays, estimator)
        largest = stored_number(arrays, "largest", FLOAT, finite=False)
        if not largest >= 0:
            raise ValueError(f"its largest number is {largest}")
        return cls(boosting.bags, boosting.n_classes, largest)


def _is_near(bag: Bag, X: Floats, smallest: float, largest: float) -> bool:
    """Whether what is predicted for [n, d] rows stays near the targets, at least by a factor; NaN does not."""
    predictions = bag.predictions(bag.totals(X, [bag.n_iterations])[-1].T)
    return bool(predictions.min() * _TOO_FAR >= smallest and predictions.max() <= _TOO_FAR * largest)


def _some_count(y: Floats, weight: Floats | None) -> bool:
    """Whether there is a logarithm of the mean."""
    return bool((y if weight is None else y * weight).sum() > 0)
