"""ResMem as estimators of scikit-learn's: the Python door to what the commands do."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    assert_all_finite,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from resmem_cli.data import frames
from resmem_cli.data.inference import Roles
from resmem_cli.data.schema import Task
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.choosing.options import EFFORTS, MemoryOptions
from resmem_cli.model.memory.index import SHARD_CELLS, GraphOptions
from resmem_cli.model.spaces import encoder
from resmem_cli.workflow.fit_base import BaseOptions
from resmem_cli.workflow.foreign import from_fitted
from resmem_cli.workflow.model import Model

if TYPE_CHECKING:
    from resmem_cli.model.choosing.selection import Selection
    from resmem_cli.report.page import Page
    from resmem_cli.workflow.change import Changed
    from resmem_cli.workflow.evaluate import Evaluation
    from resmem_cli.workflow.explain import Explained

_OPTION = re.compile(r"--([a-z-]+)")
# What a hint says to whoever types commands.
_OF_COMMANDS = re.compile(
    r"resmem |fit-base|fit-residual|INPUT|--(?:where|task|model|drop|id|valid|predictions|param)\b"
)
_TARGET, _WEIGHT, _ID, _GROUP, _TIME = "target", "sample_weight", "id", "group", "time"
# What the options of the commands, which messages name, are called here.
_PARAMETERS = {
    "folds": "n_folds",
    "neighbors": "n_neighbors",
    "memories": "n_members",
    "param": "base_params",
    "estimator": "base",
    "interval": "coverage",
    "group": "groups",
}


class _ResMem(BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """What the regressor and the classifier have in common."""

    _task: ClassVar[Task]
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "base_params": [Mapping, None],
        "effort": [StrOptions(set(EFFORTS))],
        "representation": [str, None],
        "encoder": [StrOptions(set(encoder.KINDS)), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "bandwidth": [Interval(Real, 0, None, closed="left"), None],
        "relative_bandwidth": ["boolean"],
        "shrinkage": [Interval(Real, 0, None, closed="left"), None],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
        "n_members": [Interval(Integral, 1, None, closed="left"), None],
        "n_folds": [Interval(Integral, 0, None, closed="left")],
        "metric": [str, None],
        "max_cells": [Interval(Integral, 1, None, closed="left"), None],
        "shard_cells": [Interval(Integral, 1, None, closed="left")],
        "categories": ["array-like", str],
        "random_state": ["random_state"],
        "threads": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        base: Any = "auto",
        *,
        base_params: Mapping[str, Any] | None = None,
        effort: str = "default",
        representation: str | None = None,
        encoder: str | None = None,
        n_neighbors: int | None = None,
        bandwidth: float | None = None,
        relative_bandwidth: bool = True,
        shrinkage: float | None = None,
        temperature: float | None = None,
        n_members: int | None = None,
        n_folds: int = 5,
        metric: str | None = None,
        max_cells: int | None = None,
        shard_cells: int = SHARD_CELLS,
        categories: Sequence[str] = (),
        random_state: Any = 0,
        threads: int = 0,
    ) -> None:
        self.base = base
        self.base_params = base_params
        self.effort = effort
        self.representation = representation
        self.encoder = encoder
        self.n_neighbors = n_neighbors
        self.bandwidth = bandwidth
        self.relative_bandwidth = relative_bandwidth
        self.shrinkage = shrinkage
        self.temperature = temperature
        self.n_members = n_members
        self.n_folds = n_folds
        self.metric = metric
        self.max_cells = max_cells
        self.shard_cells = shard_cells
        self.categories = categories
        self.random_state = random_state
        self.threads = threads

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, ids: Any = None, *, groups: Any = None, time: Any = None
    ) -> Self:
        """Fit bases, choose by folds how to remember, and memorise what the bases leave unexplained.

        Args:
            X: [n, d] array of numbers (NaN where missing); or a DataFrame of pandas or polars, or a table of Arrow,
                whose columns may be numbers, booleans, text (categories), timestamps or vectors.
            y: [n] targets.
            sample_weight: [n] weights of 0 or more.
            ids: [n] by which rows can be replaced and forgotten later.
            groups: [n] such as customers: no split has rows of one group on both sides.
            time: [n] dates or numbers: later rows are judged by earlier ones.

        Raises:
            ValueError: the data or the parameters are not what they should be; the message says what to do.
        """
        self._validate_params()
        X, y = self._checked(X, y)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        check_consistent_length(X, ids, groups, time)
        if self._task is Task.CLASSIFICATION:
            _refuse_one_class(y[1] if weight is None else y[1][weight > 0])
        with _as_value_errors():
            table = frames.to_rows(X).table
            names = table.column_names
            target = frames.free(_name_of(y[0]), names)
            more = {target: y[1]}
            named = [self.categories] if isinstance(self.categories, str) else map(str, self.categories)
            categories = dict.fromkeys([*named, *frames.categorical_names(X)])
            roles = Roles(target, task=self._task, categories=tuple(categories))
            if weight is not None:
                roles = replace(roles, weight_column=frames.free(_WEIGHT, [*names, target]))
                more[str(roles.weight_column)] = weight
            if ids is not None:
                roles = replace(roles, id_column=frames.free(_ID, [*names, target]))
                more[str(roles.id_column)] = column_or_1d(ids)
            if groups is not None:
                roles = replace(roles, group_column=frames.free(_GROUP, [*names, *more]))
                more[str(roles.group_column)] = column_or_1d(groups)
            if time is not None:
                roles = replace(roles, time_column=frames.free(_TIME, [*names, *more]))
                roles = replace(roles, drop=(str(roles.time_column),))
                more[str(roles.time_column)] = column_or_1d(time)
            rows = frames.to_rows(table, more=more)
            seed = self._seed()
            base = from_fitted(self.base, self.base_params) or BaseOptions(
                self.base if isinstance(self.base, str) else ",".join(self.base), self.base_params or {}, seed
            )
            self.model_ = Model.fit(rows, roles, base, self._options(), seed=seed)
        self._learned()
        return self

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[Any]:
        """Return [n, 2] prediction intervals; of classes, [n, classes] which of them are in the prediction set.

        Args:
            X: as `fit`.
            coverage: the share of new rows whose target is to lie within, between 0 and 1.

        Raises:
            ValueError: no rows were held out in fitting, or too few for this coverage.
        """
        table = self._table(X)
        with _as_value_errors():
            return self.model_.predict_interval(table, coverage, threads=self.threads)

    def explain(self, X: Any, *, top: int = 10) -> list[Explained]:
        """Return why each row is predicted as it is: the `top` remembered rows that moved its prediction most."""
        table = self._table(X)
        with _as_value_errors():
            return self.model_.explain(table, top=top, threads=self.threads)

    def evaluate(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        by: str | Sequence[str] = (),
        coverage: float | None = None,
        seed: int = 0,
    ) -> Evaluation:
        """Compare the base with and without the memory on labelled rows, as `resmem evaluate` does.

        `groups` are [n], drawn whole for the intervals; give them if `fit` had some. `by` names columns of X by whose
        values the gain is given, too, or is "auto"; `coverage` is that of prediction intervals that are to be checked;
        `seed` is that of the bootstrap.
        """
        with _as_value_errors():
            rows = self._labelled(X, y, sample_weight, groups)
            return self.model_.evaluate(**rows, by=by, coverage=coverage, seed=seed, threads=self.threads)

    def report(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        by: str | Sequence[str] = "auto",
        seed: int = 0,
    ) -> Page:
        """Return what `evaluate` measures of labelled rows as a page, as `resmem report` writes it.

        A notebook shows the page; its `save` writes it to a file. Needs Jinja2, which the extra "report" installs.

        Args:
            X: as `fit`.
            y: [n] targets.
            sample_weight: [n] weights of 0 or more, if the model was fitted with weights.
            groups: [n], drawn whole for the intervals; give them if `fit` had some.
            by: names of columns of X by whose values the gain is given, or "auto" for all features.
            seed: of the bootstrap.

        Raises:
            ValueError: the rows are not what they should be, or Jinja2 is not installed.
        """
        from resmem_cli.report.page import page, refuse_without_library

        with _as_value_errors():
            refuse_without_library()
            rows = self._labelled(X, y, sample_weight, groups)
            return page(self.model_.diagnose(**rows, by=by, seed=seed, threads=self.threads))

    def distill(
        self, X: Any, *, base: str | Sequence[str] = "auto", base_params: Mapping[str, Any] | None = None
    ) -> Model:
        """Return a `Model` without memory that has learned what this one predicts, as `resmem distill` does.

        Args:
            X: as `fit`, such as the rows that it was fitted on; others are made from them.
            base: what learns: "auto", a name, or a list of names.
            base_params: parameters of the bases by name.

        Raises:
            ValueError: the rows or the parameters are not what they should be.
        """
        table = self._table(X)
        with _as_value_errors():
            names = base if isinstance(base, str) else ",".join(base)
            return self.model_.distill(table, estimator=names, params=base_params, threads=self.threads)

    def remember(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        ids: Any = None,
        *,
        max_residual: float | None = None,
        force: bool = False,
    ) -> Changed:
        """Add labelled rows to the memory, without fitting anything again.

        Rows replace those with the same ids.

        Args:
            X: as `fit`.
            y: [n] targets.
            sample_weight: [n] weights of 0 or more, if the model was fitted with weights.
            ids: [n] if it was fitted with ids.
            max_residual: how large a residual may be, in the units of `y`; by default 100 times the 99.9 %
                quantile of those that are remembered. Of classes there is no such bound.
            force: whether any residual may be remembered.

        Returns:
            What became of the memory; its `drift` says how the model predicted the rows before it remembered them.

        Raises:
            ValueError: the rows are not what they should be, or have residuals that cannot be right.
        """
        check_is_fitted(self)
        check_consistent_length(X, y, ids)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        with _as_value_errors():
            rows = self.model_.labelled_rows(self._table(X), column_or_1d(y), weight, ids)
            return self.model_.remember(rows, max_residual=max_residual, force=force, threads=self.threads)

    def forget(self, *, ids: Any = None, X: Any = None, y: Any = None) -> Changed:
        """Remove rows from the memory: by their ids, or rows without ids by their features and targets.

        Raises:
            ValueError: none of the rows is remembered, or no other is.
        """
        check_is_fitted(self)
        if (ids is None) == (X is None or y is None):
            raise ValueError("give either ids, or X and y, of the rows to forget")
        with _as_value_errors():
            if ids is not None:
                return self.model_.forget(ids=np.atleast_1d(ids).tolist(), threads=self.threads)
            # Rows are found again by their features and target: they need no weights.
            weight = None if self.model_.schema.weight_column is None else np.ones(_num_samples(X))
            rows = self.model_.labelled_rows(self._table(X), column_or_1d(y), weight)
            return self.model_.forget(rows=rows, threads=self.threads)

    def save(self, directory: str | Path) -> None:
        """Write a model directory, which the commands and `load` read; a model that is there is replaced."""
        check_is_fitted(self)
        with _as_value_errors():
            self.model_.save(directory)

    @classmethod
    def load(cls, directory: str | Path, *, threads: int = 0) -> Self:
        """Return a fitted estimator of a model directory that `save` or the commands have written.

        It needs the columns that the model uses, by name; others may be there, in any order. Its parameters but
        `threads` are the defaults, whatever the model was fitted with.

        Raises:
            ModelError: the model is missing or damaged, or has no memory yet and was not distilled.
            ValueError: the model predicts numbers and this is the classifier, or the other way round.
        """
        model = Model.load(directory)
        if model.schema.target.task is not cls._task:
            raise ValueError(f"the model '{directory}' is of a {model.schema.target.task}, not a {cls._task}")
        estimator = cls(threads=threads)
        estimator.model_ = model
        estimator._learned()
        return estimator

    @property
    def selection_(self) -> Selection | None:
        """What the folds chose and measured; None if they measured nothing, or of a loaded model."""
        return self.model_.selection

    @property
    def gain_(self) -> float | None:
        """How much the memory improves the metric on held-out rows, in percent of the base's; None if not measured."""
        measured = self.model_.measured
        return None if measured is None else measured["gain_percent"]

    @property
    def notes_(self) -> tuple[str, ...]:
        """Sentences on what was found in the training rows."""
        return self.model_.notes

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those of a fitted base are not among them: it stays as it is."""
        parameters: dict[str, Any] = super().get_params(deep=False)
        return parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of a fitted base cannot be set."""
        nested = [name for name in params if name.startswith("base__")]
        if nested:
            raise ValueError(f"Invalid parameter {nested[0]!r}: a fitted base stays as it is")
        estimator: Self = super().set_params(**params)
        return estimator

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy; a fitted base stays as it is, which scikit-learn's own clone would unfit."""
        copied = type(self)(
            **{
                name: value if name == "base" else clone(value, safe=False)
                for name, value in self.get_params(deep=False).items()
            }
        )
        if hasattr(self, "_metadata_request"):
            copied._metadata_request = copy.deepcopy(self._metadata_request)
        return copied

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _learned(self) -> None:
        """Set what a task has beyond the model."""

    def _checked(self, X: Any, y: Any) -> tuple[Any, tuple[Any, NDArray[Any]]]:
        """Return the features, and the target with what it was given as."""
        given = y
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        _refuse_missing(y)
        if frames.is_frame(X):
            validate_data(self, X, skip_check_array=True)
            X = self._named(X)
            y = column_or_1d(y, warn=True)
            assert_all_finite(y, input_name="y")
            check_consistent_length(X, y)
        else:
            X, y = validate_data(
                self,
                X,
                y,
                dtype="numeric",
                ensure_all_finite="allow-nan",
                ensure_min_samples=2,
                y_numeric=self._task is Task.REGRESSION,
            )
        if self._task is Task.CLASSIFICATION:
            check_classification_targets(y)
        return X, (given, y)

    def _labelled(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> dict[str, Any]:
        """Return labelled rows by the names that the model's methods have for them, checked."""
        check_is_fitted(self)
        check_consistent_length(X, y, groups)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return {
            "X": self._table(X),
            "y": column_or_1d(y),
            "sample_weight": weight,
            "groups": None if groups is None else column_or_1d(groups),
        }

    def _table(self, X: Any) -> Any:
        """Return features to predict as a frame with the model's columns."""
        check_is_fitted(self)
        is_loaded = not hasattr(self, "n_features_in_")
        if frames.is_frame(X):
            if not is_loaded:
                validate_data(self, X, reset=False, skip_check_array=True)
            return self._named(X)
        if is_loaded:  # nothing is kept of these rows: several threads may predict
            X = check_array(X, dtype="numeric", ensure_all_finite="allow-nan", estimator=self, input_name="X")
            return frames.to_rows(X, self._columns_of_array(X.shape[1])).table
        X = validate_data(self, X, reset=False, dtype="numeric", ensure_all_finite="allow-nan")
        names = getattr(self, "feature_names_in_", None)
        return frames.to_rows(X, None if names is None else names.tolist()).table

    def _columns_of_array(self, n_columns: int) -> list[str] | None:
        """Return the names of the columns of an array, for a loaded model: those that it uses, or x0, x1, …."""
        names = self.model_.schema.names
        return list(names) if len(names) == n_columns else None

    def _named(self, X: Any) -> Any:
        """Return a frame whose columns have names: where they had none, or numbers, those of an array."""
        if hasattr(self, "feature_names_in_") or not hasattr(self, "n_features_in_"):
            return X
        return frames.to_rows(X).table.rename_columns([f"x{i}" for i in range(self.n_features_in_)])

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _options(self) -> MemoryOptions:
        return MemoryOptions(
            n_neighbors=self.n_neighbors,
            bandwidth=self.bandwidth,
            is_relative=self.relative_bandwidth,
            shrinkage=self.shrinkage,
            temperature=self.temperature,
            space=self.representation,
            encoder=cast(Any, self.encoder),
            n_members=self.n_members,
            objective=self.metric,
            effort=self.effort,
            n_folds=self.n_folds,
            graph=GraphOptions(shard_cells=self.shard_cells),
            most_cells=self.max_cells,
            threads=self.threads,
        )


class ResMemRegressor(RegressorMixin, _ResMem):  # type: ignore[misc]
    """A regression model with a memory of its residuals (ResMem, Yang et al. 2023).

    Args:
        base: what is fitted first: "auto", a name ("boosting", "linear", "network", …), a list of names; or a
            fitted estimator or pipeline of scikit-learn's, or a fitted booster of LightGBM, XGBoost or CatBoost, which
            is taken as it is: then give `fit` rows that it was not trained on.
        base_params: parameters of the bases by name.
        effort: "quick" (no encoders, at most 25,000 rows), "default" or "high" (encoders are trained longer).
        representation: where distances are taken: "features", "sensitivity", "model", "learned" or "column:NAME"; None
            leaves this and the following settings to the folds.
        encoder: of a learned representation: "diagonal", "linear", "mlp" or "periodic".
        n_neighbors: k.
        bandwidth: h of the kernel.
        relative_bandwidth: whether `bandwidth` is a fraction of the distance to the k-th neighbour.
        shrinkage: γ, how much of the correction is added; 0 switches the memory off.
        temperature: T of a classifier's probabilities.
        n_members: how many corrected models may share the prediction.
        n_folds: how many folds choose and measure; 0 for none, and then every setting must be given.
        metric: that is chosen by: "rmse" or "mae"; "log_loss" or "accuracy".
        max_cells: how many cells a memory may have; None for any number.
        shard_cells: how many cells a shard may have; a memory of more is cut into shards.
        categories: names of columns of numbers that are categories.
        random_state: seed of every random step.
        threads: how many may be used; 0 for one per core. With 1 the same data give the same model.

    Attributes:
        model_: the fitted `Model`.
        gain_: how much the memory improves the metric on held-out rows, in percent; None if nothing was measured.
        selection_: what the folds chose and measured.
        notes_: sentences on what was found in the training rows.
        n_features_in_, feature_names_in_: the columns of `X`.
    """

    _task = Task.REGRESSION

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return [n] predicted numbers."""
        table = self._table(X)
        with _as_value_errors():
            return self.model_.predict(table, threads=self.threads)[:, 0]


class ResMemClassifier(ClassifierMixin, _ResMem):  # type: ignore[misc]
    """A classifier with a memory of its residuals (ResMem, Yang et al. 2023).

    Parameters and attributes are those of `ResMemRegressor`; `classes_` are the class labels, sorted.
    """

    _task = Task.CLASSIFICATION

    def predict(self, X: Any) -> NDArray[Any]:
        """Return [n] the most probable class of each row."""
        winners = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[winners]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return [n, classes] probabilities, in the order of `classes_`."""
        table = self._table(X)
        with _as_value_errors():
            return self.model_.predict(table, threads=self.threads)

    def _learned(self) -> None:
        self.classes_ = self.model_.classes


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Raise what is wrong with data and parameters as ValueError, as scikit-learn's users expect it."""
    try:
        yield
    except (DataError, UsageError) as error:
        hint = "" if _OF_COMMANDS.search(error.hint) else error.hint
        message = f"{error.message}; {hint}" if hint else error.message
        raise ValueError(_OPTION.sub(lambda found: _parameter(found[1]), message)) from error


def _parameter(option: str) -> str:
    return _PARAMETERS.get(option, option.replace("-", "_"))


def _refuse_one_class(y: NDArray[Any]) -> None:
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"y has one class only ({', '.join(map(str, classes))}): give rows of at least two classes")


def _refuse_missing(y: Any) -> None:
    """Refuse missing targets of any type; scikit-learn looks at floats alone."""
    values = np.asarray(y)
    if values.dtype == object and values.ndim == 1 and frames.has_missing(values):
        raise ValueError("y has missing values: give rows with a target")


def _name_of(y: Any) -> str:
    """Return the name that the target was given with, if it has one."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else _TARGET
