"""Ridge regression and logistic regression on standardised features; only their coefficients are kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import threadpoolctl

from resmem_cli.errors import UsageError
from resmem_cli.model import cost
from resmem_cli.model.arrays import FLOAT, Arrays, Floats, Singles, stored
from resmem_cli.model.bases.protocol import (
    FromSklearn,
    OfArrays,
    Problem,
    fitting,
    softmax,
    spread_classes,
    stored_classes,
)
from resmem_cli.model.scaling import Scaler

BOUNDED = "bounded"


@dataclass(frozen=True)
class Linear(OfArrays, FromSklearn):
    """A linear model.

    Attributes:
        scaler: the features it is linear in.
        coefficients: [p, outputs].
        intercepts: [outputs].
        limits: [2] between which a bounded model's numbers are held, the ends of its training targets; or [0].
        classes: [m] codes of the classes that training had; empty for regression.
        n_classes: 0 for regression.
    """

    scaler: Scaler
    coefficients: Floats
    intercepts: Floats
    limits: Floats
    classes: Floats
    n_classes: int

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        n_columns = len(problem.n_categories)
        if n_columns <= cost.WIDE:
            return {} if problem.is_regression else {"max_iter": 300}
        # Many columns explain noise: held back more, errors are smaller (docs/decisions.md).
        return {"alpha": float(n_columns)} if problem.is_regression else {"max_iter": 100, "C": 0.01}

    @classmethod
    def seconds_to_fit(cls, size: cost.Size) -> float:
        return cost.linear_seconds(size)

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        """Those of scikit-learn's, and whether numbers stay within those of training, where lines go on for ever."""
        return {**super().parameters(problem), **({BOUNDED: False} if problem.is_regression else {})}

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge

        return Ridge if problem.is_regression else LogisticRegression

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        scaler = Scaler.fit(X, problem.n_categories, "standard", weight)
        features = scaler.transform(X).astype(np.float64)
        if not problem.is_regression and np.all(y == y[0]):  # which LogisticRegression refuses
            return cls(scaler, np.zeros((features.shape[1], 1)), np.zeros(1), np.empty(0), y[:1], problem.n_classes)
        bounded = params.get(BOUNDED, False)
        if not isinstance(bounded, bool):
            raise UsageError(f"{BOUNDED} is {bounded!r}, not true or false", "correct the --param")
        own = {name: value for name, value in params.items() if name != BOUNDED}
        # Its many small steps gain little from a second thread, and where other programs want the cores the threads
        # wait for each other, many times as long.
        alone = threadpoolctl.threadpool_limits(1) if len(problem.n_categories) > cost.WIDE else nullcontext()
        with fitting(own), alone:
            fitted = cls.unfitted(problem, own).fit(features, y, sample_weight=weight)
        if problem.is_regression:
            coefficients, intercepts = fitted.coef_.reshape(-1, 1), np.atleast_1d(fitted.intercept_)
            known = y if weight is None else y[weight > 0]
            limits = np.array([known.min(), known.max()]) if bounded else np.empty(0)
            return cls(scaler, coefficients, intercepts, limits, np.empty(0), 0)
        coefficients, intercepts = fitted.coef_.T, fitted.intercept_
        if len(fitted.classes_) == 2:  # the binary model has one column, the logit of its second class
            coefficients = np.hstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.array([0.0, intercepts[0]])
        return cls(scaler, coefficients, intercepts, np.empty(0), fitted.classes_.astype(np.float64), problem.n_classes)

    def predict(self, X: Floats) -> Floats:
        linear = self.scaler.transform(X) @ self.coefficients + self.intercepts
        if self.n_classes:
            return spread_classes(softmax(linear), self.classes, self.n_classes)
        return np.clip(linear, *self.limits) if len(self.limits) else linear

    def represent(self, X: Floats) -> Singles:
        # Each feature times the size of its coefficients: the terms that the prediction is the sum of.
        sizes: Singles = np.linalg.norm(self.coefficients, axis=1).astype(np.float32)
        return self.scaler.transform(X) * sizes

    def to_arrays(self) -> Arrays:
        return {
            **self.scaler.to_arrays(),
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "limits": self.limits,
            "classes": self.classes,
            "n_classes": np.array([self.n_classes]),
        }

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        scaler, n_classes, classes = Scaler.from_arrays(arrays), *stored_classes(arrays)
        limits = stored({"limits": np.empty(0), **arrays}, "limits", FLOAT, None)  # format 1 and 2 had none
        if len(limits) not in (0, 2) or (limits[1:] < limits[:-1]).any():
            raise ValueError("its bounds are not two ascending numbers")
        n_outputs = max(1, len(classes))
        coefficients = stored(arrays, "coefficients", FLOAT, scaler.n_outputs, n_outputs)
        return cls(scaler, coefficients, stored(arrays, "intercepts", FLOAT, n_outputs), limits, classes, n_classes)

    def belongs(self, problem: Problem, width: int) -> bool:
        return (self.scaler.n_categories, self.n_classes) == (problem.n_categories, problem.n_classes)
