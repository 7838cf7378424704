"""scikit-learn's histogram gradient boosting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Arrays, Floats, Singles
from resmem_cli.model.bases.protocol import FromSklearn, Problem, fitting, spread_classes

# Below this, a tenth of the rows says too little about when to stop, and the estimator's own 100 iterations stay.
_EARLY_STOPPING_FROM_ROWS = 1_000
_PATIENCE = {"max_iter": 500, "n_iter_no_change": 20}
# The representation has about this many columns in all: groups of consecutive trees, times the classes.
_REPRESENTATION_COLUMNS = 64
_MOST_GROUPS = 16


@dataclass(frozen=True)
class Boosting(FromSklearn):
    """Boosted trees; categories and missing values are the trees' own business.

    Attributes:
        model: the fitted estimator.
        n_classes: 0 for regression.
    """

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
        stops = params.get("early_stopping", len(y) >= _EARLY_STOPPING_FROM_ROWS)
        model.set_params(early_stopping=bool(stops), **({} if not stops else {**_PATIENCE, **params}))
        with fitting():
            if not stops:
                return cls(model.fit(X, y, sample_weight=weight), problem.n_classes)
            # Our own validation rows: the estimator's split fails where a class has one row.
            held = _validation_rows(y, problem)
            kept = ~held
            weights = (None, None) if weight is None else (weight[kept], weight[held])
            model.fit(X[kept], y[kept], weights[0], X_val=X[held], y_val=y[held], sample_weight_val=weights[1])
        return cls(model, problem.n_classes)

    def predict(self, X: Floats) -> Floats:
        if not self.n_classes:
            return np.asarray(self.model.predict(X), dtype=np.float64).reshape(-1, 1)
        return spread_classes(self.model.predict_proba(X), self.model.classes_, self.n_classes)

    def represent(self, X: Floats) -> Singles:
        """Return the sums of consecutive groups of trees, per class in units of its logit."""
        n_iterations = self.model.n_iter_
        n_groups = max(1, min(_MOST_GROUPS, _REPRESENTATION_COLUMNS // max(self.n_classes, 1), n_iterations))
        ends = set(np.linspace(0, n_iterations, n_groups + 1).round().astype(int)[1:] - 1)
        stages = self.model.staged_decision_function(X) if self.n_classes else self.model.staged_predict(X)
        totals = np.array([stage for i, stage in enumerate(stages) if i in ends]).reshape(len(ends), len(X), -1)
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


def _validation_rows(y: Floats, problem: Problem) -> NDArray[np.bool_]:
    """Return [n] which rows to hold out: a tenth, of each class a tenth, of a rare class none."""
    rng = np.random.default_rng(problem.seed)
    shuffled = rng.permutation(len(y))
    if problem.is_regression:
        return np.isin(np.arange(len(y)), shuffled[: len(y) // 10])
    held = np.zeros(len(y), dtype=np.bool_)
    for code in np.unique(y):
        members = shuffled[y[shuffled] == code]
        held[members[: len(members) // 10]] = True
    return held
