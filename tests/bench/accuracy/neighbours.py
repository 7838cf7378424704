"""Rivals made of nearest neighbours: alone, and stacked with a base by scikit-learn."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any, Self

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from resmem_cli.data.kinds import Floats
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.bases.protocol import Problem, spread_classes
from resmem_cli.model.scaling import Scaler
from tests.bench.accuracy.data import Encoded
from tests.bench.accuracy.scores import scores

Predict = Callable[[Floats], Floats]

_NEIGHBORS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
_WEIGHTS = ("uniform", "distance")
_STOPPING_FROM_ROWS = 1_000


class Standardised(TransformerMixin, BaseEstimator):
    """Our `features` on one scale, as a step of a scikit-learn pipeline."""

    def __init__(self, n_categories: tuple[int, ...]) -> None:
        self.n_categories = n_categories

    def fit(self, X: Floats, y: Floats | None = None) -> Self:
        self.scaler_ = Scaler.fit(X, self.n_categories, "standard")
        return self

    def transform(self, X: Floats) -> Floats:
        return self.scaler_.transform(X)


def alone(rows: Encoded, seed: int, threads: int) -> Predict:
    """Neighbours alone, their number and weighting chosen by the validation rows."""
    return prediction(_neighbors(rows, *_chosen(rows)).fit(rows.fitting.X, rows.fitting.y), rows)


def stacked_with_linear(rows: Encoded, seed: int, threads: int) -> Predict:
    linear = Ridge() if rows.is_regression else LogisticRegression(max_iter=300)
    return _stacked(make_pipeline(Standardised(rows.n_categories), linear), rows)


def stacked_with_boosting(rows: Encoded, seed: int, threads: int) -> Predict:
    """The base is one bag of our own boosting, so that the two differ in what they add to it."""
    kind = HistGradientBoostingRegressor if rows.is_regression else HistGradientBoostingClassifier
    stops = len(rows.fitting.y) >= _STOPPING_FROM_ROWS
    base = kind(
        **Boosting.defaults(Problem(rows.n_categories, rows.n_classes, seed)),
        max_iter=500 if stops else 100,
        early_stopping=stops,
        n_iter_no_change=20,
        categorical_features=[i for i, count in enumerate(rows.n_categories) if count > 0] or None,
        random_state=seed,
    )
    return _stacked(base, rows)


def prediction(model: Any, rows: Encoded) -> Predict:
    """Return a fitted estimator as a function to [n, 1] numbers, or [n, n_classes] probabilities."""
    if rows.is_regression:
        return lambda X: model.predict(X).reshape(-1, 1)
    return lambda X: spread_classes(model.predict_proba(X), model.classes_, rows.n_classes)


def _stacked(base: Any, rows: Encoded) -> Predict:
    kind = StackingRegressor if rows.is_regression else StackingClassifier
    # The default final regressor is a ridge; the default final classifier stops before it has converged.
    final = None if rows.is_regression else LogisticRegression(max_iter=1_000)
    both = [("base", base), ("neighbours", _neighbors(rows, *_chosen(rows)))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # as our own linear base does
        return prediction(kind(both, final_estimator=final, cv=5).fit(rows.fitting.X, rows.fitting.y), rows)


def _neighbors(rows: Encoded, n_neighbors: int, weights: str) -> Any:
    kind = KNeighborsRegressor if rows.is_regression else KNeighborsClassifier
    return make_pipeline(Standardised(rows.n_categories), kind(n_neighbors, weights=weights))


def _chosen(rows: Encoded) -> tuple[int, str]:
    """Return the number of neighbours and the weighting that are best on the validation rows."""

    def error(choice: tuple[int, str]) -> float:
        model = _neighbors(rows, *choice).fit(rows.train.X, rows.train.y)
        found = scores(rows.validation.y, prediction(model, rows)(rows.validation.X))
        return found["rmse"] if rows.is_regression else -found["accuracy"]

    possible = [k for k in _NEIGHBORS if k <= len(rows.train.y)]
    return min(itertools.product(possible, _WEIGHTS), key=error)
