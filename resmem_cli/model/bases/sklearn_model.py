"""A model that scikit-learn was asked to fit elsewhere: an estimator, or a pipeline that ends in one."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import threadpoolctl

from resmem_cli.errors import DataError, ModelError, UsageError
from resmem_cli.model.arrays import TRUTH, WHOLE, Arrays, Floats, stored, stored_number
from resmem_cli.model.bases.protocol import NotFitted, Problem
from resmem_cli.model.bases.sklearn_values import as_known, known_values
from resmem_cli.model.bases.table import Field, Table
from resmem_cli.model.parallel import heard

_MOST_LISTED = 8
_DAY_MICROSECONDS = 86_400_000_000
_OF_ONE_TARGET = "give a model of this target alone"


@dataclass(frozen=True)
class SklearnModel(NotFitted):
    """An estimator of scikit-learn's.

    Attributes:
        model: the fitted estimator.
        table: the columns that it reads, in its order, and the target's classes.
        reads_names: whether it reads a DataFrame with these columns, or a matrix.
        order: per class of the target the position of its probability; empty for regression.
        notes: of a model that is imported, how it is read.
        by_text: whether a value is what an encoder knows by the same text, whatever its type; not where it is stored by
            an older resmem, with a memory of what it predicted then.
    """

    is_thread_safe: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    stored_as: ClassVar[str | None] = "skops"

    model: Any
    table: Table
    reads_names: bool
    order: tuple[int, ...]
    notes: tuple[str, ...] = ()
    by_text: bool = True

    @classmethod
    def imported(cls, model: Any, table: Table, outputs: Mapping[str, str]) -> Self:
        """Return an estimator that was fitted elsewhere; `Importable` says what is raised.

        One that was fitted to a DataFrame finds its columns by name. Any other reads every column there is, in order.
        """
        _refuse_other_things(model, bool(table.classes))
        if outputs:
            raise UsageError("a scikit-learn model has no named outputs", "leave --output out")
        names = getattr(model, "feature_names_in_", None)
        read = table if names is None else table.take(tuple(str(name) for name in names))
        if names is None:
            _refuse_other_matrix(model, read)
        for field in read.fields:
            if names is not None and field.kind == "vector":
                raise UsageError(
                    f"the model was fitted to a DataFrame, and the column '{field.name}' holds vectors",
                    "give every number of the vector a column of its own",
                )
        return cls(model, read, names is not None, _order(model, table) if table.classes else (), _said_of(read, names))

    def predict(self, X: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, n_classes] probabilities.

        Raises:
            DataError: the model refuses the rows, such as missing values or categories that it does not know.
            ModelError: it fails in a way in which no row is to blame.
        """
        width = len(self.order) or 1
        if len(X) == 0:  # which scikit-learn refuses
            return np.empty((0, width))
        n_threads = _openmp_threads()

        def predicted() -> Any:
            with threadpoolctl.threadpool_limits(n_threads, user_api="openmp"), _predicting():
                ask = self.model.predict_proba if self.order else self.model.predict
                return ask(self._rows(X))

        values = np.asarray(heard(predicted), dtype=np.float64).reshape(len(X), -1)
        if values.shape[1] != width:
            raise UsageError(
                f"the model predicts {values.shape[1]} numbers per row, and the target is one", _OF_ONE_TARGET
            )
        return values[:, list(self.order)] if self.order else values

    def represent(self, X: Floats) -> None:
        return None

    def agrees(self, model: Any, X: Floats) -> None:
        return None

    @cached_property
    def known(self) -> dict[str, Mapping[str, Any]]:
        """By column, what an encoder of the model's knows each of its values as."""
        if not self.by_text:
            return {}
        return known_values(self.model, [field.name for field in self.table.fields])

    def to_arrays(self) -> Arrays:
        return {
            "table": self.table.to_array(),
            "reads_names": np.array([self.reads_names]),
            "order": np.array(self.order, dtype=np.int64),
            "by_text": np.array([self.by_text]),
        }

    @property
    def estimator(self) -> Any:
        return self.model

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        table, order = Table.from_array(arrays["table"]), tuple(stored(arrays, "order", WHOLE, None).tolist())
        if not hasattr(estimator, "predict") or sorted(order) != list(range(len(table.classes))):
            raise ValueError("the estimator does not fit its table")
        reads_names = bool(stored_number(arrays, "reads_names", TRUTH))
        by_text = bool(stored_number(arrays, "by_text", TRUTH)) if "by_text" in arrays else False
        return cls(estimator, table, reads_names, order, by_text=by_text)

    def belongs(self, problem: Problem, width: int) -> bool:
        return self.table.belongs(problem.n_classes, width)

    def _rows(self, X: Floats) -> Any:
        """Return what the model reads: a DataFrame of n rows, or [n, width] numbers."""
        if not self.reads_names:
            return np.hstack([field.values(X) for field in self.table.fields])
        import pandas as pd

        columns = {field.name: _column(field, X, self.known.get(field.name, {})) for field in self.table.fields}
        return pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})


def _column(field: Field, X: Floats, known: Mapping[str, Any]) -> Any:
    """Return the [n] values of a column as pandas would have read them, or as an encoder knows them."""
    values = X[:, field.start]
    if field.kind == "category":
        import pandas as pd

        if known:
            return as_known(np.array([*field.categories, None], dtype=object), known)[field.codes(X)]
        texts = field.texts(X)
        # Missing as pandas reads it, but as objects: of its own text type some estimators make numbers.
        return pd.Series(np.where(texts.astype(np.bool_), texts, np.nan), dtype=object)
    if field.kind == "timestamp":
        return (values * _DAY_MICROSECONDS).round().astype("datetime64[us]")
    if field.kind == "boolean" and not np.isnan(values).any():
        values = values.astype(np.bool_)
    if known and all(isinstance(value, str) for value in known.values()):
        distinct, where = np.unique(values, return_inverse=True)
        return as_known(distinct, known)[where]
    return values


def _refuse_other_things(model: Any, is_classification: bool) -> None:
    """Refuse what is no fitted classifier with probabilities, or no fitted regressor."""
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind = type(model).__name__
    if not isinstance(model, BaseEstimator):
        raise UsageError(f"a {kind} is not a scikit-learn model", "save the fitted estimator or pipeline itself")
    if is_classification and not is_classifier(model):
        raise UsageError(f"the model, a {kind}, does not predict classes", "give a classifier, or --task regression")
    if not is_classification and not is_regressor(model):
        raise UsageError(f"the model, a {kind}, does not predict numbers", "give a regressor, or --task classification")
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise UsageError(f"the model, a {kind}, is not fitted", "fit it before it is saved") from error
    if is_classification and not hasattr(model, "predict_proba"):
        can_calibrate = hasattr(model, "decision_function")
        raise UsageError(
            f"the model, a {kind}, gives no probabilities",
            "calibrate it with CalibratedClassifierCV" if can_calibrate else "give one that has predict_proba",
        )


def _refuse_other_matrix(model: Any, table: Table) -> None:
    """Refuse columns that are no numbers, or not as many as the model reads."""
    for field in table.fields:
        if field.kind in ("category", "timestamp"):
            what = "categories" if field.kind == "category" else "times"
            raise UsageError(
                f"the model was fitted to a matrix of numbers, and the column '{field.name}' holds {what}",
                f"leave it out with --drop '{field.name}', or fit the model to a DataFrame",
            )
    wanted, width = getattr(model, "n_features_in_", None), sum(field.width for field in table.fields)
    if wanted is None:
        raise UsageError("the model does not store which columns it reads", "fit it to a DataFrame or to a matrix")
    if wanted != width:
        raise UsageError(
            f"the model was fitted to a matrix of {wanted} columns, and the features make {width}",
            "name the columns that it was fitted to, in order, with --features",
        )


def _said_of(table: Table, names: Any) -> tuple[str, ...]:
    """Return what is to be said of a matrix, whose columns have no names: which they are taken for."""
    if names is not None or len(table.fields) < 2:
        return ()
    listed = [f"'{field.name}'" for field in table.fields]
    columns = ", ".join(listed if len(listed) <= _MOST_LISTED else [*listed[: _MOST_LISTED - 1], "…", listed[-1]])
    return (f"the model was fitted without column names: its columns are, in order, {columns}",)


def _order(model: Any, table: Table) -> tuple[int, ...]:
    classes = np.asarray(model.classes_) if not isinstance(model.classes_, list) else np.empty((0, 0))
    if classes.ndim != 1:
        raise UsageError("the model predicts several targets", _OF_ONE_TARGET)
    return tuple(table.order_of(tuple(classes.tolist())))


@contextmanager
def _predicting() -> Iterator[None]:
    """Hold the estimator to this process and to silence, and turn its refusal of rows into a sentence."""
    import joblib

    # In one thread, because forests add their trees up in the order in which threads are ready.
    with warnings.catch_warnings(), joblib.parallel_config(backend="sequential"):
        warnings.filterwarnings("ignore", category=UserWarning)  # of names, and of categories that it knows not
        try:
            yield
        except (TypeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".:")
            raise DataError(
                f"the model refuses the rows ({reason})", "give rows like those that it was fitted to"
            ) from error
        except (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError) as error:
            what = textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
            raise ModelError(f"the scikit-learn model fails ({what})", "save it again") from error


def _openmp_threads() -> int:
    """Return how many threads OpenMP may have in this thread, which another would not know."""
    limits = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]
    return min(limits, default=1)
