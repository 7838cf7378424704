"""scikit-learn's histogram gradient boosting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import threadpoolctl

from resmem_cli.errors import UsageError
from resmem_cli.model import cost
from resmem_cli.model.arrays import WHOLE, Arrays, Floats, Singles, stored_codes, stored_number
from resmem_cli.model.bases.protocol import FromSklearn, Problem, fitting, spread_classes
from resmem_cli.model.splitting import Split

# Below this, a tenth of the rows says too little about when to stop, and the estimator's own 100 iterations stay.
_EARLY_STOPPING_FROM_ROWS = 1_000
_PATIENCE = {"max_iter": 500, "n_iter_no_change": 20}
_ROWS_PER_THREAD = 25_000
# The representation has about this many columns in all: groups of consecutive trees, times the classes.
_REPRESENTATION_COLUMNS = 64
_MOST_BAGS = 10
_MANY_CLASSES = 10  # each has trees of its own: more bags of more classes take too long
_SEEDS = 1 << 32
_LOGARITHMIC = ("poisson", "gamma")  # losses whose trees add up to the logarithm of the prediction
_MOST_GROUPS = 16


@dataclass(frozen=True)
class Boosting(FromSklearn):
    """Boosted trees, several times over, in the mean; categories and missing values are the trees' own business.

    Each is stopped by a tenth of the rows that the others learn from, so that together they learn from all. Their mean
    is better than any: on 11 data sets, of 3 bags, held-out RMSE by 1 to 8 % and log-loss by 1 to 5 %.

    Attributes:
        models: the fitted estimators, one for every bag.
        n_classes: 0 for regression.
    """

    is_thread_safe: ClassVar[bool] = True
    package: ClassVar[str | None] = None
    stored_as: ClassVar[str | None] = "skops"
    reads_features: ClassVar[bool] = True

    models: tuple[Any, ...]
    n_classes: int

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        # Bags differ more where every split sees half of the columns: of numbers another 1 % of RMSE. Electricity's
        # classes lost 7 % of log-loss by it.
        return {
            "learning_rate": 0.05 if problem.n_classes > _MANY_CLASSES else 0.1,
            "max_features": 0.5 if problem.is_regression else 1.0,
            # Of few rows most of a tree's time goes into its bins.
            **({"max_bins": cost.WIDE_BINS} if len(problem.n_categories) > cost.WIDE else {}),
        }

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {"bags": _default_bags(problem), **super().parameters(problem)}

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        return HistGradientBoostingRegressor if problem.is_regression else HistGradientBoostingClassifier

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        own = {name: value for name, value in params.items() if name != "bags"}
        categories = [i for i, count in enumerate(problem.n_categories) if count > 0]
        model = cls.unfitted(problem, own).set_params(categorical_features=categories or None)
        asked = own.get("early_stopping", "auto")
        wanted = len(y) >= _EARLY_STOPPING_FROM_ROWS if asked == "auto" else bool(asked)
        # Our own validation rows: the estimator's split fails where a class has one row.
        n_bags = _n_bags(params, problem)
        split = problem.stopping_splits(X, y, n_bags) if wanted else []
        split = [each for each in split if cls.can_stop_by(each, y, weight)]
        patience = {**_PATIENCE, **({"max_iter": cost.WIDE_ROUNDS} if len(problem.n_categories) > cost.WIDE else {})}
        model.set_params(**{**(patience if split else {}), **own, "early_stopping": bool(split)})
        if not split or problem.is_refitted:  # bags of the same rows differ by the columns that are drawn
            n_distinct = n_bags if model.max_features < 1 else 1
            split = (split or [(np.arange(len(y)), np.empty(0, dtype=np.int64))] * n_bags)[:n_distinct]
        # Small data are many small parallel regions: two threads gain a sixth on an idle machine, and lose half on
        # a busy one (8,000 rows, 18 classes: 13.0 s with two threads and 15.4 s with one; 42.6 s and 19.6 s).
        most_threads = max(1, len(y) // _ROWS_PER_THREAD)
        with fitting(own), _openmp_at_most(most_threads):
            bags = [_fit_bag(_seeded(model, bag), rows, X, y, weight) for bag, rows in enumerate(split)]
            if problem.is_refitted:
                bags = [_fit_again(bag, X, y, weight) for bag in bags]
        return cls(tuple(bags), problem.n_classes)

    @classmethod
    def can_stop_by(cls, split: Split, y: Floats, weight: Floats | None) -> bool:
        """Whether a boosting can be fitted to the first of the rows, and judged by the others."""
        return all(len(rows) for rows in split)

    def predict(self, X: Floats) -> Floats:
        if len(X) == 0:  # which scikit-learn refuses
            return np.empty((0, self.n_classes or 1))
        return self._mean(lambda model: self.of_bag(model, X))

    def of_bag(self, model: Any, X: Floats) -> Floats:
        """Return the [n, outputs] predictions of one of the boostings."""
        if not self.n_classes:
            return np.asarray(model.predict(X), dtype=np.float64).reshape(-1, 1)
        return spread_classes(model.predict_proba(X), model.classes_, self.n_classes)

    def represent(self, X: Floats) -> Singles:
        """Return the sums of consecutive groups of trees, per class in units of its logit, or of the logarithm.

        They are means over the bags.
        """
        most = _REPRESENTATION_COLUMNS // max(self.n_classes, 1)
        n_groups = max(1, min(_MOST_GROUPS, most, *(model.n_iter_ for model in self.models)))
        return self._mean(lambda model: _groups(model, X, n_groups)).astype(np.float32)

    def _mean(self, of_bag: Callable[[Any], Floats]) -> Floats:
        # One after the other: NumPy adds several at once in an order that depends on the number of rows.
        total = of_bag(self.models[0])
        for model in self.models[1:]:
            total = total + of_bag(model)
        return total / len(self.models)

    def to_arrays(self) -> Arrays:
        return {"n_classes": np.array([self.n_classes])}

    @property
    def estimator(self) -> Any:
        return list(self.models)

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        # Before format 4 there was one, and no list of them.
        models = tuple(estimator) if isinstance(estimator, list) else (estimator,)
        n_classes = stored_number(arrays, "n_classes", WHOLE)
        _refuse_others(models, n_classes)
        return cls(models, n_classes)

    def belongs(self, problem: Problem, width: int) -> bool:
        return self.n_classes == problem.n_classes and all(model.n_features_in_ == width for model in self.models)


def _refuse_others(models: Sequence[Any], n_classes: int) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if n_classes else HistGradientBoostingRegressor
    if not 1 <= len(models) <= _MOST_BAGS:
        raise ValueError(f"it holds {len(models)} boosting models")
    if not all(type(model) is kind and hasattr(model, "_predictors") for model in models):
        raise ValueError("it does not hold a fitted boosting model of its kind")
    if len({model.n_features_in_ for model in models}) > 1:
        raise ValueError("its boosting models read different columns")
    for model in models if n_classes else ():
        stored_codes({"classes": np.asarray(model.classes_)}, "classes", n_classes, None)


def _default_bags(problem: Problem) -> int:
    return 1 if problem.n_classes > _MANY_CLASSES else 3


def _n_bags(params: Mapping[str, Any], problem: Problem) -> int:
    asked = params.get("bags", _default_bags(problem))
    if type(asked) is not int or not 1 <= asked <= _MOST_BAGS:
        raise UsageError(f"bags is {asked!r}, not a whole number of 1 to {_MOST_BAGS}", "correct the --param")
    return asked


def _seeded(model: Any, bag: int) -> Any:
    from sklearn.base import clone

    return clone(model).set_params(random_state=(model.random_state + bag) % _SEEDS)


def _fit_bag(model: Any, split: Split, X: Floats, y: Floats, weight: Floats | None) -> Any:
    """Fit one boosting to the first of the rows, stopped by the others, if any."""
    kept, held = split
    weights = (None, None) if weight is None else (weight[kept], weight[held])
    validation = {"X_val": X[held], "y_val": y[held], "sample_weight_val": weights[1]} if len(held) else {}
    return model.fit(_with_values(X[kept]), y[kept], weights[0], **validation)


def _fit_again(stopped: Any, X: Floats, y: Floats, weight: Floats | None) -> Any:
    """Fit a boosting that knows when to stop to all rows."""
    from sklearn.base import clone

    if not stopped.early_stopping:  # it is fitted to all rows already
        return stopped
    again = clone(stopped).set_params(early_stopping=False, max_iter=stopped.n_iter_)
    return again.fit(_with_values(X), y, weight)


def _groups(model: Any, X: Floats, n_groups: int) -> Floats:
    """Return [n, groups times outputs] the sums of consecutive groups of a boosting's trees."""
    ends = set(np.linspace(0, model.n_iter_, n_groups + 1).round().astype(int)[1:] - 1)
    is_classifier = hasattr(model, "classes_")
    stages = model.staged_decision_function(X) if is_classifier else model.staged_predict(X)
    totals = np.array([stage for i, stage in enumerate(stages) if i in ends]).reshape(len(ends), len(X), -1)
    if not is_classifier and model.loss in _LOGARITHMIC:
        totals = np.log(np.maximum(totals, np.finfo(np.float64).tiny))
    return np.concatenate(list(np.diff(totals, axis=0, prepend=0)), axis=1)


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
