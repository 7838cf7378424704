"""Estimators of scikit-learn's that were fitted elsewhere: to a DataFrame by name, or to a matrix in order."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.svm import LinearSVC

from resmem_cli.errors import DataError, ModelError, UsageError
from resmem_cli.model.bases import IMPORTABLE, Problem
from resmem_cli.model.bases.sklearn_model import SklearnModel
from resmem_cli.model.bases.table import Field, Table

A, B = Field("a", "number", 0), Field("b", "number", 1)
C = Field("c", "category", 2, categories=("x", "y", "z"))
D = Field("d", "boolean", 3)
V = Field("v", "vector", 4, 3)
W = Field("when", "timestamp", 7, 7)
FRAME, MATRIX = (A, B, C, D, W), (A, B, D, V)
CLASSES = ("high", "low", "middle")
N_ROWS = 60


def rows(seed: int = 0) -> np.ndarray:
    """Encoded rows of every column."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, 14))
    X[:, 2], X[:, 3] = rng.integers(0, 3, N_ROWS), rng.integers(0, 2, N_ROWS)
    X[:, 7] = rng.integers(0, 20_000, N_ROWS) + rng.integers(0, 86_400, N_ROWS) / 86_400
    return X


def frame(X: np.ndarray) -> pd.DataFrame:
    """The same rows as pandas would have read them."""
    return pd.DataFrame(
        {
            "a": X[:, 0],
            "b": X[:, 1],
            "c": np.array(["x", "y", "z"])[X[:, 2].astype(int)],
            "d": X[:, 3].astype(bool),
            "when": pd.Timestamp(0) + pd.to_timedelta((X[:, 7] * 86_400).round(), unit="s"),
        }
    )


def target(X: np.ndarray, classes: Sequence[Any] | None = CLASSES) -> np.ndarray:
    value = X[:, 0] + X[:, 2] + X[:, 3]
    return value if classes is None else np.array(classes)[np.digitize(value, [0.5, 2]) % len(classes)]


def imported(
    model: Any, fields: Sequence[Field] = FRAME, classes: tuple[Any, ...] = (), outputs: dict[str, str] | None = None
) -> SklearnModel:
    return SklearnModel.imported(model, Table(tuple(fields), classes), outputs or {})


def refused(model: Any, fields: Sequence[Field] = FRAME, classes: tuple[Any, ...] = (), **outputs: str) -> str:
    """The one sentence in which a model is refused."""
    with pytest.raises(UsageError) as raised:
        imported(model, fields, classes, outputs)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def encoder() -> Any:
    return make_column_transformer((StandardScaler(), ["b", "a"]), (OneHotEncoder(), ["c", "d"]))


# The contract


def test_it_is_registered_and_never_fitted():
    assert IMPORTABLE["sklearn"] is SklearnModel
    assert (SklearnModel.package, SklearnModel.stored_as, SklearnModel.reads_features) == (None, "skops", True)
    assert SklearnModel.parameters(Problem((0,), 0, 0)) == {}
    with pytest.raises(AssertionError):
        SklearnModel.fit(rows(), rows()[:, 0], None, Problem((0,), 0, 0), {})


@pytest.mark.parametrize("classes", [None, CLASSES], ids=["regression", "classification"])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_restored_model_predicts_the_same_in_a_worker_too(classes, by_name):
    X = rows()
    model = Ridge() if classes is None else LogisticRegression()
    fitted = model.fit(frame(X)[["b", "a"]] if by_name else X[:, :2], target(X, classes))
    base = imported(fitted, (A, B), classes or ())
    restored = pickle.loads(pickle.dumps(SklearnModel.restore(base.to_arrays(), base.estimator)))  # noqa: S301 - ours
    assert base.predict(X).dtype == np.float64
    assert base.predict(X).shape == (N_ROWS, len(classes or "1"))
    np.testing.assert_array_equal(restored.predict(X), base.predict(X))
    assert base.predict(X[:0]).shape == (0, len(classes or "1"))
    assert base.represent(X) is None


def test_what_is_stored_and_does_not_fit_is_a_value_error():
    X = rows()
    base = imported(LogisticRegression().fit(X[:, :2], target(X)), (A, B), CLASSES)
    for arrays, estimator in (
        (base.to_arrays(), {}),
        (base.to_arrays() | {"order": np.array([0, 1, 1])}, base.estimator),
        (base.to_arrays() | {"order": np.array([0, 1])}, base.estimator),
    ):
        with pytest.raises(ValueError, match="the estimator does not fit its table"):
            SklearnModel.restore(arrays, estimator)


def test_a_forest_predicts_in_this_thread_alone(monkeypatch):
    """Its trees are added up in the order in which threads are ready, which the last bit would tell."""
    X = rows()
    used = []
    configured = joblib.parallel.Parallel.__call__
    monkeypatch.setattr(
        joblib.parallel.Parallel,
        "__call__",
        lambda self, tasks: (used.append(self._backend), configured(self, tasks))[1],
    )
    forest = RandomForestRegressor(4, n_jobs=2, random_state=0).fit(X[:, :2], target(X, None))
    used.clear()
    imported(forest, (A, B)).predict(X)
    assert [type(backend).__name__ for backend in used] == ["SequentialBackend"]


# By name


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        (make_pipeline(encoder(), LogisticRegression()), CLASSES),
        (make_pipeline(encoder(), RandomForestClassifier(3, random_state=0)), CLASSES),
        (make_pipeline(encoder(), Ridge()), None),
        (HistGradientBoostingRegressor(max_iter=3), None),
    ],
    ids=str,
)
def test_a_dataframe_is_given_by_name_whatever_the_order_of_the_columns(model, classes):
    X = rows()
    given = frame(X).drop(columns="when")
    if isinstance(model, HistGradientBoostingRegressor):
        given = given[["d", "b"]]
    fitted = model.fit(given, target(X, classes))
    expected = fitted.predict(given)[:, None] if classes is None else fitted.predict_proba(given)
    np.testing.assert_allclose(imported(fitted, (W, D, C, B, A), classes or ()).predict(X), expected)


def test_what_is_given_is_what_pandas_would_have_read():
    X = rows()
    found = imported(Ridge().fit(frame(X)[["a"]], X[:, 0]))._rows(X)
    pd.testing.assert_frame_equal(found, frame(X)[["a"]])
    every = SklearnModel(None, Table(FRAME), True, ())._rows(X)
    expected = frame(X).astype({"c": object, "when": "datetime64[us]"})
    pd.testing.assert_frame_equal(every, expected)


def test_missing_values_are_missing():
    X = rows()
    X[::5, [0, 2, 3, 7]] = np.nan
    X[1, 2] = 3  # beyond the categories
    found = SklearnModel(None, Table(FRAME), True, ())._rows(X)
    assert found["c"].dtype == object
    assert found["d"].dtype == np.float64
    for name in ("a", "c", "d", "when"):
        missing = np.arange(N_ROWS) % 5 == 0
        missing[1] = name == "c"
        np.testing.assert_array_equal(found[name].isna(), missing)
    assert all(isinstance(value, float) for value in found["c"][found["c"].isna()])  # NaN and not None


def test_a_pipeline_that_imputes_text_and_numbers_predicts_the_same():
    X = rows()
    X[::5, 0] = X[::7, 2] = np.nan
    given = frame(np.nan_to_num(X))[["a", "c"]].mask(np.isnan(X[:, [0, 2]]))
    model = make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["a"]), (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["c"])
        ),
        LogisticRegression(),
    ).fit(given, target(np.nan_to_num(X)))
    np.testing.assert_allclose(imported(model, FRAME, CLASSES).predict(X), model.predict_proba(given))


def test_categories_of_pandas_own_type_are_found_again():
    X = rows()
    given = frame(X)[["a", "c"]].astype({"c": "category"})
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(given, target(X))
    np.testing.assert_allclose(imported(model, FRAME, CLASSES).predict(X), model.predict_proba(given))


def test_times_are_given_as_times():
    X = rows()
    year = make_pipeline(FunctionTransformer(years), LinearRegression()).fit(frame(X)[["when"]], X[:, 7])
    np.testing.assert_allclose(imported(year).predict(X)[:, 0], year.predict(frame(X)[["when"]]))


def years(given: pd.DataFrame) -> np.ndarray:
    return given["when"].dt.year.to_numpy()[:, None]


def test_columns_that_are_not_there_and_vectors_are_named():
    X = rows()
    model = Ridge().fit(pd.DataFrame(X[:, :2], columns=["a", "e"]), X[:, 0])
    assert refused(model) == (
        "the model needs the column 'e', which is not among the features; the features are: a, b, c, d, when"
    )
    model = Ridge().fit(pd.DataFrame(X[:, :2], columns=["a", "v"]), X[:, 0])
    assert refused(model, (A, V)) == (
        "the model was fitted to a DataFrame, and the column 'v' holds vectors; "
        "give every number of the vector a column of its own"
    )


# In order


def test_a_matrix_is_every_column_in_order():
    X = rows()
    given = X[:, [0, 1, 3, 4, 5, 6]]
    model = Ridge().fit(given, target(X, None))
    np.testing.assert_allclose(imported(model, MATRIX).predict(X)[:, 0], model.predict(given))
    assert refused(model, (A, B, D)) == (
        "the model was fitted to a matrix of 6 columns, and the features make 3; "
        "name the columns that it was fitted to, in order, with --features"
    )


def test_a_matrix_holds_no_categories_and_no_times():
    X = rows()
    model = Ridge().fit(X[:, :2], X[:, 0])
    for field, what in ((C, "categories"), (W, "times")):
        assert refused(model, (A, field)) == (
            f"the model was fitted to a matrix of numbers, and the column '{field.name}' holds {what}; "
            f"leave it out with --drop '{field.name}', or fit the model to a DataFrame"
        )


def test_a_model_that_does_not_say_what_it_reads_is_refused():
    model = make_pipeline(CountVectorizer(), Ridge()).fit(["some text", "other text"], [1, 2])
    assert refused(model, (A, B)) == (
        "the model does not store which columns it reads; fit it to a DataFrame or to a matrix"
    )


# What comes out


@pytest.mark.parametrize(
    ("own", "classes", "order"),
    [
        (CLASSES, CLASSES, [0, 1, 2]),
        ((10, 8, 9), ("10", "8", "9"), [2, 0, 1]),
        (("10", "8", "9"), (8, 9, 10), [1, 2, 0]),
        ((1.0, 2.0, 3.0), (1, 2, 3), [0, 1, 2]),
        ((False, True), (False, True), [0, 1]),
        (("False", "True"), (False, True), [0, 1]),
    ],
)
def test_the_columns_are_in_the_order_of_the_targets_classes(own, classes, order):
    X = rows()
    model = LogisticRegression().fit(X[:, :2], target(X, own))
    np.testing.assert_array_equal(imported(model, (A, B), classes).predict(X), model.predict_proba(X[:, :2])[:, order])


def test_other_classes_are_refused_and_both_listed():
    X = rows()
    model = LogisticRegression().fit(X[:, :2], target(X, ("high", "low", "mean")))
    assert refused(model, (A, B), CLASSES) == (
        "the model's classes (high, low, mean) are not the target's (high, low, middle); "
        "check --target, or give rows of the same classes"
    )


def test_a_model_of_something_else_is_refused():
    X = rows()
    numbers, classes = Ridge().fit(X[:, :2], X[:, 0]), LogisticRegression().fit(X[:, :2], target(X))
    assert refused(numbers, (A, B), CLASSES) == (
        "the model, a Ridge, does not predict classes; give a classifier, or --task regression"
    )
    for model in (classes, KMeans(2, n_init=1).fit(X[:, :2])):
        assert refused(model, (A, B)) == (
            f"the model, a {type(model).__name__}, does not predict numbers; give a regressor, or --task classification"
        )
    assert refused({"model": numbers}, (A, B)) == (
        "a dict is not a scikit-learn model; save the fitted estimator or pipeline itself"
    )
    assert refused(BaseEstimator(), (A, B)) == (
        "the model, a BaseEstimator, does not predict numbers; give a regressor, or --task classification"
    )
    assert refused(Ridge(), (A, B)) == "the model, a Ridge, is not fitted; fit it before it is saved"
    assert refused(numbers, (A, B), prediction="y") == ("a scikit-learn model has no named outputs; leave --output out")


def test_a_classifier_without_probabilities_is_to_be_calibrated():
    X = rows()
    assert refused(LinearSVC().fit(X[:, :2], target(X)), (A, B), CLASSES) == (
        "the model, a LinearSVC, gives no probabilities; calibrate it with CalibratedClassifierCV"
    )
    voting = VotingClassifier([("one", LogisticRegression())]).fit(X[:, :2], target(X))
    assert refused(voting, (A, B), CLASSES) == (
        "the model, a VotingClassifier, gives no probabilities; give one that has predict_proba"
    )


def test_a_model_of_several_targets_is_refused():
    X = rows()
    several = MultiOutputClassifier(LogisticRegression()).fit(X[:, :2], np.stack([target(X), target(X)], axis=1))
    assert refused(several, (A, B), CLASSES) == (
        "the model predicts several targets; give a model of this target alone"
    )
    base = imported(Ridge().fit(X[:, :2], X[:, :3]), (A, B))
    with pytest.raises(UsageError) as raised:
        base.predict(X)
    assert str(raised.value) == (
        "the model predicts 3 numbers per row, and the target is one; give a model of this target alone"
    )


# Rows that it refuses


def test_rows_that_the_model_refuses_are_told_with_its_reason():
    X = rows()
    base = imported(Ridge().fit(X[:, :2], X[:, 0]), (A, B))
    X[3, 1] = np.nan
    with pytest.raises(DataError) as raised:
        base.predict(X)
    assert str(raised.value) == (
        "the model refuses the rows (Input X contains NaN); give rows like those that it was fitted to"
    )


def test_a_category_that_the_model_does_not_know_is_told():
    X = rows()
    given = frame(X)[["c"]].replace("z", "y")
    base = imported(make_pipeline(OneHotEncoder(), Ridge()).fit(given, X[:, 0]), FRAME)
    with pytest.raises(DataError, match=r"the model refuses the rows \(Found unknown categories \['z'\] in column 0"):
        base.predict(X)


def test_no_warning_escapes():
    """Of names that a step does not know, and of categories that it ignores."""
    X = rows()
    given = frame(X)[["a", "c"]].replace({"c": {"z": "y"}})
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", drop="first"), ["c"]), remainder="passthrough"
    )
    names = make_pipeline(encode, FunctionTransformer(np.asarray), Ridge())
    base = imported(names.fit(given, X[:, 0]), FRAME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert base.predict(X).shape == (N_ROWS, 1)


def test_codes_of_categories_are_the_models_own():
    """The same text has another code in the model than in our columns."""
    X = rows()
    given = frame(X)[["c"]]
    model = make_pipeline(OrdinalEncoder(categories=[["z", "x", "y"]]), LinearRegression()).fit(given, X[:, 2])
    np.testing.assert_allclose(imported(model, FRAME).predict(X)[:, 0], model.predict(given))


# One text of a value


INTEGERS, TEXTS = (1, 2, 3), ("1", "2", "3")
NUMBERED = Field("c", "category", 2, categories=TEXTS)


def numbered(X: np.ndarray, values: Sequence[Any], **dtype: Any) -> pd.DataFrame:
    """The category as values of another kind, with a number beside it."""
    return pd.DataFrame({"a": X[:, 0], "c": pd.Series([values[int(code)] for code in X[:, 2]], **dtype)})


def of_categories(*steps: Any) -> Any:
    return make_pipeline(
        make_column_transformer((make_pipeline(*steps), ["c"]), remainder="passthrough"), LinearRegression()
    )


ENCODED = {
    "one-hot": lambda: of_categories(OneHotEncoder(sparse_output=False)),
    "one-hot that ignores": lambda: of_categories(OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
    "ordinal": lambda: of_categories(OrdinalEncoder()),
    "target": lambda: of_categories(TargetEncoder()),
    "imputed": lambda: of_categories(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
    "voting": lambda: VotingRegressor([("one", ENCODED["ordinal"]())]),
    "searched": lambda: GridSearchCV(ENCODED["ordinal"](), {"linearregression__fit_intercept": [True]}, cv=2),
    "alone": lambda: make_pipeline(FeatureUnion([("one", OneHotEncoder())]), LinearRegression()),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize(
    ("values", "field"),
    [
        (INTEGERS, NUMBERED),
        ((1.0, 2.0, 3.0), NUMBERED),
        (TEXTS, NUMBERED),
        (INTEGERS, replace(NUMBERED, categories=("1.0", "2.0", "3.0"))),
        (TEXTS, Field("c", "number", 2)),
        (INTEGERS, Field("c", "number", 2)),
    ],
    ids=["integers as text", "floats as text", "text", "integers as decimals", "text as numbers", "numbers"],
)
def test_a_category_is_what_an_encoder_knows_by_the_same_text(name: str, values: Sequence[Any], field: Field) -> None:
    X = rows()
    given, y = numbered(X, values), X[:, 2] % 2 * 5 + X[:, 0]
    if name == "alone":
        given = given[["c"]]
    model = ENCODED[name]().fit(given, y)
    read = X.copy()
    if field.kind == "number":
        read[:, 2] += 1
    base = imported(model, (A, field))
    np.testing.assert_allclose(base.predict(read)[:, 0], model.predict(given))
    restored = SklearnModel.restore(base.to_arrays(), base.estimator)
    np.testing.assert_array_equal(restored.predict(read), base.predict(read))


@pytest.mark.parametrize("features", [["c"], "from_dtype"])
def test_categories_that_boosted_trees_know_as_whole_numbers_are_found_by_their_text(features: Any) -> None:
    X = rows()
    given = numbered(X, INTEGERS, dtype="category" if features == "from_dtype" else "int64")
    model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5, categorical_features=features)
    model.fit(given, X[:, 2] % 2 * 5 + X[:, 0])
    np.testing.assert_allclose(imported(model, (A, NUMBERED)).predict(X)[:, 0], model.predict(given))


def test_a_missing_category_and_one_that_an_encoder_does_not_know_are_those_of_its_own_type() -> None:
    X = rows()
    model = of_categories(OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    model.fit(numbered(X, INTEGERS), X[:, 2] % 2 * 5 + X[:, 0])
    base = imported(model, (A, replace(NUMBERED, categories=(*TEXTS, "7", "x"))))
    X[0, 2], X[1, 2], X[2, 2] = np.nan, 3, 0
    found = base._rows(X[:3])["c"]
    assert found.dtype == object  # because of "x", which is no number
    assert np.isnan(found[0])
    assert found[1:].tolist() == [7.0, 1]
    # "01" is what pandas reads as the number 1.
    codes = imported(model, (A, replace(NUMBERED, categories=("01", "02", "03"))))
    X = rows()
    np.testing.assert_allclose(codes.predict(X)[:, 0], model.predict(numbered(X, INTEGERS)))


def test_what_an_older_resmem_stored_predicts_as_it_did() -> None:
    """Its memory holds what was left of those predictions."""
    X = rows()
    model = of_categories(OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    given = numbered(X, INTEGERS)
    base = imported(model.fit(given, X[:, 2] % 2 * 5), (A, NUMBERED))
    arrays = {name: array for name, array in base.to_arrays().items() if name != "by_text"}
    older = SklearnModel.restore(arrays, base.estimator)
    expected = model.predict(given.assign(c=given["c"].astype(str).astype(object)))
    np.testing.assert_allclose(older.predict(X)[:, 0], expected)
    assert not np.allclose(older.predict(X), base.predict(X))


def test_which_columns_a_matrix_is_taken_to_hold_is_said() -> None:
    X = rows()
    assert imported(Ridge().fit(X[:, :2], X[:, 0]), (A, B)).notes == (
        "the model was fitted without column names: its columns are, in order, 'a', 'b'",
    )
    assert imported(Ridge().fit(frame(X)[["a", "b"]], X[:, 0])).notes == ()


@pytest.mark.parametrize("error", [AttributeError, ZeroDivisionError, IndexError, KeyError, RuntimeError])
def test_a_model_that_fails_in_another_way_is_damaged(error: type[Exception], monkeypatch: Any) -> None:
    X = rows()
    base = imported(Ridge().fit(X[:, :2], X[:, 0]), (A, B))

    def fail(_: Any) -> None:
        raise error("inside")

    monkeypatch.setattr(type(base.model), "predict", lambda _, rows: fail(rows))
    with pytest.raises(ModelError, match=r"^the scikit-learn model fails \(\w+: '?inside'?\); save it again$"):
        base.predict(X)
