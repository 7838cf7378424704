"""Linear discriminant analysis: classes of one covariance, in closed form, for targets of very many classes.

    μ_c = (Σ w_i x_i + κ m) / (W_c + κ)              the mean of a class, as if κ rows of it lay at the mean m of all
    Σ   = Σ w_i z_i z_iᵀ / Σ w_i                     z_i: a row less the mean of the others of its class
    f   = softmax(xᵀ Σ⁻¹ μ_c - μ_cᵀ Σ⁻¹ μ_c / 2 + log π_c)
    π_c = (W_c + 1) / (Σ w_i + C)                    of the C classes of the rows; w_i is 1 on average

A logistic regression has the same form, but every step of its fit computes the probabilities of all classes for all
rows. (Fisher 1936; the shrunken means as in Tibshirani et al. 2002. scikit-learn's takes no weights, and loops over the
classes.) A row is too near to a mean that it is part of, the more so the fewer rows its class has: Σ would be too
small, and the probabilities too extreme.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model import cost
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.linear import Linear
from resmem_cli.model.bases.protocol import Problem
from resmem_cli.model.scaling import Scaler

PRIOR_ROWS = "prior_rows"
_RIDGE = 1e-3  # of the mean variance, added to each: columns may depend on each other


@dataclass(frozen=True)
class Discriminant(Linear):
    """A linear discriminant, stored and asked as the linear model that it is; of numbers, that of `Linear`."""

    @classmethod
    def seconds_to_fit(cls, size: cost.Size) -> float:
        return cost.discriminant_seconds(size)

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        """κ; the larger, the nearer the means of classes with few rows are to that of all."""
        return super().parameters(problem) if problem.is_regression else {PRIOR_ROWS: 2.0}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        if problem.is_regression:
            return super().fit(X, y, weight, problem, params)
        prior_rows = _prior_rows({**cls.parameters(problem), **params}[PRIOR_ROWS])
        scaler = Scaler.fit(X, problem.n_categories, "standard", weight)
        features = scaler.transform(X).astype(np.float64)
        classes, codes = np.unique(y, return_inverse=True)
        weight = np.ones(len(y)) if weight is None else weight * len(y) / weight.sum()
        counts = np.bincount(codes, weight)
        sums = _sums(features * weight[:, None], codes, len(classes))
        centre = sums.sum(axis=0) / len(y)
        means = (sums + prior_rows * centre) / (counts + prior_rows)[:, None]
        own = counts[codes] + prior_rows
        left = (features - means[codes]) * (own * np.sqrt(weight) / (own - weight))[:, None]
        covariance = left.T @ left / len(y)
        covariance.flat[:: len(covariance) + 1] += _RIDGE * max(covariance.trace() / len(covariance), 1e-12)
        coefficients = np.linalg.solve(covariance, means.T)
        priors = np.log((counts + 1) / (len(y) + len(classes)))
        intercepts = priors - np.einsum("cp,pc->c", means, coefficients) / 2
        return cls(scaler, coefficients, intercepts, np.empty(0), classes, problem.n_classes)


def _sums(values: Floats, codes: Any, n_classes: int) -> Floats:
    """Return [n_classes, p] the sums of the [n, p] values of each class."""
    return np.column_stack([np.bincount(codes, column, n_classes) for column in values.T])


def _prior_rows(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise UsageError(f"{PRIOR_ROWS} is {value!r}, not a number above 0", "correct the --param")
    return float(value)
