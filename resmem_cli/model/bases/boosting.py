"""scikit-learn's histogram gradient boosting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import threadpoolctl

from resmem_cli.model import cost
from resmem_cli.model.arrays import TRUTH, WHOLE, Arrays, Floats, Singles, stored, stored_codes, stored_number
from resmem_cli.model.bases.boosted import EARLY_STOPPING_FROM_ROWS, MANY_CLASSES, MOST_BAGS, ROWS_PER_THREAD, n_groups
from resmem_cli.model.bases.forest import Forest
from resmem_cli.model.bases.protocol import (
    FromSklearn,
    OfArrays,
    Problem,
    expit,
    fitting,
    n_models,
    softmax,
    spread_classes,
)
from resmem_cli.model.bases.sklearn_forest import forest_of
from resmem_cli.model.combination import sum_in_order
from resmem_cli.model.splitting import Split

# Where rows are held out to stop by; otherwise the estimator's own 100 iterations stay.
_PATIENCE = {"max_iter": 500, "n_iter_no_change": 20}
# Other trees than those of 31 leaves.
_SMALL = {"max_leaf_nodes": 8, "min_samples_leaf": 5, "max_features": 0.5}
_LARGE = {"max_leaf_nodes": 63, "min_samples_leaf": 5, "max_iter": 1_000}
_SMALL_OF_FEW = {"max_leaf_nodes": 8, "min_samples_leaf": 3, "max_iter": 400}
_VARIED_OF_FEW = {**_SMALL_OF_FEW, "max_features": 0.3}
_SEEDS = 1 << 32
_LOGARITHMIC = ("poisson", "gamma")  # losses whose trees add up to the logarithm of the prediction


@dataclass(frozen=True, eq=False)
class Bag:
    """One fitted boosting.

    Attributes:
        forest: its trees.
        classes: [m] codes of the classes that training had; none for numbers.
        is_logarithmic: whether the trees add up to the logarithm of the number.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = (*(each.name for each in fields(Forest)), "is_present", "is_logarithmic")

    forest: Forest
    classes: Floats
    is_logarithmic: bool

    @classmethod
    def of(cls, model: Any) -> Self:
        """Return a boosting that scikit-learn has fitted."""
        classes = np.asarray(getattr(model, "classes_", ()), dtype=np.float64)
        return cls(forest_of(model), classes, model.loss in _LOGARITHMIC)

    @property
    def n_iterations(self) -> int:
        return self.forest.n_iterations

    def totals(self, X: Floats, ends: Sequence[int]) -> Floats:
        """Return [ends, outputs, n] the sums of the trees up to these iterations."""
        return self.forest.totals(X, ends)

    def predictions(self, raw: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, m] probabilities of the classes, of [n, outputs] sums of all trees."""
        if not len(self.classes):
            return np.exp(raw) if self.is_logarithmic else raw
        if raw.shape[1] > 1:
            return softmax(raw)
        positive = expit(raw[:, 0])
        return np.stack([1 - positive, positive], axis=1)

    def groups(self, totals: Floats) -> Floats:
        """Return [n, ends times outputs] what every group of trees adds to the [ends, outputs, n] totals before it."""
        if self.is_logarithmic:
            totals = np.log(np.maximum(np.exp(totals), np.finfo(np.float64).tiny))
        return np.concatenate(list(np.diff(totals, axis=0, prepend=0).transpose(0, 2, 1)), axis=1)

    def to_arrays(self, n_classes: int) -> Arrays:
        """Return what is stored of a boosting for a target of `n_classes`: also which of them training had."""
        own = {"is_present": np.isin(np.arange(n_classes), self.classes), "is_logarithmic": [self.is_logarithmic]}
        return self.forest.to_arrays() | {name: np.array(values) for name, values in own.items()}

    @classmethod
    def restore(cls, arrays: Arrays, n_classes: int) -> Self:
        """Return the stored boosting of a target of `n_classes`; KeyError or ValueError if it is damaged."""
        forest = Forest.restore(arrays)
        classes = np.flatnonzero(stored(arrays, "is_present", TRUTH, n_classes)).astype(np.float64)
        if (n_classes > 0) != (len(classes) > 0):
            raise ValueError("its trees know none of the classes")
        if forest.n_outputs != (len(classes) if len(classes) > 2 else 1):
            raise ValueError("its trees have other outputs than there are classes")
        return cls(forest, classes, bool(stored_number(arrays, "is_logarithmic", TRUTH)))


@dataclass(frozen=True)
class Boosting(OfArrays, FromSklearn):
    """Boosted trees, several times over, in the mean; categories and missing values are the trees' own business.

    Each is stopped by a tenth of the rows that the others learn from, so that together they learn from all. Their mean
    is better than any (docs/decisions.md).

    scikit-learn fits them; then their trees are arrays of our own, which predict the same to the last bit.

    Attributes:
        bags: the fitted boostings.
        n_classes: 0 for regression.
    """

    bags: tuple[Bag, ...]
    n_classes: int

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        # Bags differ more where every split sees half of the columns: their mean is better of numbers, not of classes.
        return {
            "learning_rate": 0.05 if problem.n_classes > MANY_CLASSES else 0.1,
            "max_features": 0.5 if problem.is_regression else 1.0,
            # Of few rows most of a tree's time goes into its bins.
            **({"max_bins": cost.WIDE_BINS} if len(problem.n_categories) > cost.WIDE else {}),
        }

    @classmethod
    def variants(cls, problem: Problem, y: Floats) -> tuple[Mapping[str, Any], ...]:
        """Small trees for noise, or few rows; large ones for rows that say much."""
        if len(problem.n_categories) > cost.WIDE or problem.n_classes > 2:
            return ()
        if len(y) < EARLY_STOPPING_FROM_ROWS:
            return (_SMALL_OF_FEW, _VARIED_OF_FEW)
        return (_SMALL, _LARGE)

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {"bags": _default_bags(problem), **super().parameters(problem)}

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        return HistGradientBoostingRegressor if problem.is_regression else HistGradientBoostingClassifier

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        fitted = cls.fit_estimators(X, y, weight, problem, params)
        return cls(tuple(Bag.of(estimator) for estimator in fitted), problem.n_classes)

    @classmethod
    def fit_estimators(
        cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]
    ) -> list[Any]:
        """Return scikit-learn's estimators, one for every bag; the arguments are those of `fit`."""
        own = {name: value for name, value in params.items() if name != "bags"}
        categories = [i for i, count in enumerate(problem.n_categories) if count > 0]
        model = cls.unfitted(problem, own).set_params(categorical_features=categories or None)
        asked = own.get("early_stopping", "auto")
        wanted = len(y) >= EARLY_STOPPING_FROM_ROWS if asked == "auto" else bool(asked)
        # Our own validation rows: the estimator's split fails where a class has one row.
        n_bags = n_models("bags", params.get("bags", _default_bags(problem)), MOST_BAGS)
        split = problem.stopping_splits(X, y, n_bags) if wanted else []
        split = [each for each in split if cls.can_stop_by(each, y, weight)]
        patience = {**_PATIENCE, **({"max_iter": cost.WIDE_ROUNDS} if len(problem.n_categories) > cost.WIDE else {})}
        model.set_params(**{**(patience if split else {}), **own, "early_stopping": bool(split)})
        if not split or problem.is_refitted:  # bags of the same rows differ by the columns that are drawn
            n_distinct = n_bags if model.max_features < 1 else 1
            split = (split or [(np.arange(len(y)), np.empty(0, dtype=np.int64))] * n_bags)[:n_distinct]
        # Small data are many small parallel regions: a second thread gains little, and loses half on a busy machine.
        most_threads = max(1, len(y) // ROWS_PER_THREAD)
        with fitting(own), _openmp_at_most(most_threads):
            bags = [_fit_bag(_seeded(model, bag), rows, X, y, weight) for bag, rows in enumerate(split)]
            if problem.is_refitted:
                bags = [_fit_again(bag, X, y, weight) for bag in bags]
        return bags

    @classmethod
    def can_stop_by(cls, split: Split, y: Floats, weight: Floats | None) -> bool:
        """Whether a boosting can be fitted to the first of the rows, and judged by the others."""
        return all(len(rows) for rows in split)

    def predict(self, X: Floats) -> Floats:
        return self._mean([self.of_bag(bag, bag.totals(X, [bag.n_iterations])) for bag in self.bags])

    def of_bag(self, bag: Bag, totals: Floats) -> Floats:
        """Return the [n, outputs] predictions of one of the boostings, of its totals up to its last tree."""
        raw = totals[-1].T
        return (
            spread_classes(bag.predictions(raw), bag.classes, self.n_classes)
            if self.n_classes
            else bag.predictions(raw)
        )

    def represent(self, X: Floats) -> Singles:
        """Return the sums of consecutive groups of trees, per class in units of its logit, or of the logarithm.

        They are means over the bags.
        """
        return self.predict_and_represent(X)[1]

    def predict_and_represent(self, X: Floats) -> tuple[Floats, Singles]:
        """Return both for [n, d] rows: the groups add up to the prediction."""
        totals = [bag.totals(X, self._ends(bag)) for bag in self.bags]
        predictions = self._mean([self.of_bag(bag, each) for bag, each in zip(self.bags, totals, strict=True)])
        groups = self._mean([bag.groups(each) for bag, each in zip(self.bags, totals, strict=True)])
        return predictions, groups.astype(np.float32)

    def _ends(self, bag: Bag) -> list[int]:
        """Return after which iterations of a bag its groups end."""
        groups = n_groups(max(self.n_classes, 1), min(each.n_iterations for each in self.bags))
        ends: list[int] = np.linspace(0, bag.n_iterations, groups + 1).round().astype(int)[1:].tolist()
        return ends

    @staticmethod
    def _mean(of_bags: Sequence[Floats]) -> Floats:
        return sum_in_order(of_bags) / len(of_bags)

    def to_arrays(self) -> Arrays:
        arrays = {"n_classes": np.array([self.n_classes]), "n_bags": np.array([len(self.bags)])}
        for i, bag in enumerate(self.bags):
            arrays |= {f"{name}_{i}": array for name, array in bag.to_arrays(self.n_classes).items()}
        return arrays

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        n_classes = stored_number(arrays, "n_classes", WHOLE)
        if estimator is None:
            n_bags = stored_number(arrays, "n_bags", WHOLE)
            if f"n_nodes_{n_bags}" in arrays:
                raise ValueError("it holds more boosting models than it says")
            bags = [Bag.restore({name: arrays[f"{name}_{i}"] for name in Bag.ARRAYS}, n_classes) for i in range(n_bags)]
        else:  # before format 7, of scikit-learn's; before format 4, there was one, and no list of them
            models = estimator if isinstance(estimator, list) else [estimator]
            _refuse_others(models, n_classes)
            bags = [Bag.of(model) for model in models]
        if not 1 <= len(bags) <= MOST_BAGS:
            raise ValueError(f"it holds {len(bags)} boosting models")
        if len({bag.forest.n_features for bag in bags}) > 1:
            raise ValueError("its boosting models read different columns")
        return cls(tuple(bags), n_classes)

    def belongs(self, problem: Problem, width: int) -> bool:
        return self.n_classes == problem.n_classes and all(bag.forest.n_features == width for bag in self.bags)


def _refuse_others(models: Sequence[Any], n_classes: int) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if n_classes else HistGradientBoostingRegressor
    if not all(type(model) is kind and hasattr(model, "_predictors") for model in models):
        raise ValueError("it does not hold a fitted boosting model of its kind")
    for model in models if n_classes else ():
        stored_codes({"classes": np.asarray(model.classes_)}, "classes", n_classes, None)


def _default_bags(problem: Problem) -> int:
    return 1 if problem.n_classes > MANY_CLASSES else 3


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
