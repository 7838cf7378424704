"""scikit-learn's histogram gradient boosting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import threadpoolctl

from resmem_cli.model.arrays import Arrays, Floats, Singles
from resmem_cli.model.bases.protocol import FromSklearn, Problem, fitting, spread_classes, validation_rows

# Below this, a tenth of the rows says too little about when to stop, and the estimator's own 100 iterations stay.
_EARLY_STOPPING_FROM_ROWS = 1_000
_PATIENCE = {"max_iter": 500, "n_iter_no_change": 20}
_ROWS_PER_THREAD = 25_000
# The representation has about this many columns in all: groups of consecutive trees, times the classes.
_REPRESENTATION_COLUMNS = 64
_LOGARITHMIC = ("poisson", "gamma")  # losses whose trees add up to the logarithm of the prediction
_MOST_GROUPS = 16


@dataclass(frozen=True)
class Boosting(FromSklearn):
    """Boosted trees; categories and missing values are the trees' own business.

    Attributes:
        model: the fitted estimator.
        n_classes: 0 for regression.
    """

    is_thread_safe: ClassVar[bool] = True
    package: ClassVar[str | None] = None
    stored_as: ClassVar[str | None] = "skops"
    reads_features: ClassVar[bool] = True

    model: Any
    n_classes: int

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        return {"learning_rate": 0.1 if problem.n_classes <= 2 else 0.05}

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        return HistGradientBoostingRegressor if problem.is_regression else HistGradientBoostingClassifier

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        categories = [i for i, count in enumerate(problem.n_categories) if count > 0]
        model = cls.unfitted(problem, params).set_params(categorical_features=categories or None)
        asked = params.get("early_stopping", "auto")
        wanted = len(y) >= _EARLY_STOPPING_FROM_ROWS if asked == "auto" else bool(asked)
        # Our own validation rows: the estimator's split fails where a class has one row.
        held = validation_rows(y, problem) & wanted
        stops = bool(held.any())
        model.set_params(**{**(_PATIENCE if stops else {}), **params, "early_stopping": stops})
        # Small data are many small parallel regions: two threads gain a sixth on an idle machine, and lose half on
        # a busy one (8,000 rows, 18 classes: 13.0 s with two threads and 15.4 s with one; 42.6 s and 19.6 s).
        most_threads = max(1, len(y) // _ROWS_PER_THREAD)
        with fitting(params), _openmp_at_most(most_threads):
            if not stops:
                return cls(model.fit(_with_values(X), y, sample_weight=weight), problem.n_classes)
            kept = ~held
            weights = (None, None) if weight is None else (weight[kept], weight[held])
            validation = {"X_val": X[held], "y_val": y[held], "sample_weight_val": weights[1]}
            model.fit(_with_values(X[kept]), y[kept], weights[0], **validation)
        return cls(model, problem.n_classes)

    def predict(self, X: Floats) -> Floats:
        if len(X) == 0:  # which scikit-learn refuses
            return np.empty((0, self.n_classes or 1))
        if not self.n_classes:
            return np.asarray(self.model.predict(X), dtype=np.float64).reshape(-1, 1)
        return spread_classes(self.model.predict_proba(X), self.model.classes_, self.n_classes)

    def represent(self, X: Floats) -> Singles:
        """Return the sums of consecutive groups of trees, per class in units of its logit, or of the logarithm."""
        n_iterations = self.model.n_iter_
        n_groups = max(1, min(_MOST_GROUPS, _REPRESENTATION_COLUMNS // max(self.n_classes, 1), n_iterations))
        ends = set(np.linspace(0, n_iterations, n_groups + 1).round().astype(int)[1:] - 1)
        stages = self.model.staged_decision_function(X) if self.n_classes else self.model.staged_predict(X)
        totals = np.array([stage for i, stage in enumerate(stages) if i in ends]).reshape(len(ends), len(X), -1)
        if not self.n_classes and self.model.loss in _LOGARITHMIC:
            totals = np.log(np.maximum(totals, np.finfo(np.float64).tiny))
        groups = np.diff(totals, axis=0, prepend=0)
        return np.concatenate(list(groups), axis=1).astype(np.float32)

    def to_arrays(self) -> Arrays:
        return {"n_classes": np.array([self.n_classes])}

    @property
    def estimator(self) -> Any:
        return self.model

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        return cls(estimator, int(arrays["n_classes"][0]))


@contextmanager
def _openmp_at_most(threads: int) -> Iterator[None]:
    present = max(
        (pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"), default=1
    )
    with threadpoolctl.threadpool_limits(min(threads, present), user_api="openmp"):
        yield


def _with_values(X: Floats) -> Floats:
    """Make a column that has no value constant: the estimator's binning fails at it."""
    empty = np.isnan(X).all(axis=0)
    return np.where(empty, 0.0, X) if empty.any() else X
