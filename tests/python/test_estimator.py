"""The estimators on the kinds of tables that Python users have, and in scikit-learn's tools."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import resmem_cli
from resmem_cli import ResMemClassifier, ResMemRegressor, load
from resmem_cli.errors import UsageError
from resmem_cli.workflow.scoring import ScoreOptions

QUICK: dict[str, Any] = {"base": "linear", "effort": "quick", "n_folds": 3, "threads": 1}
N_ROWS = 240


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, pd.Series]:
    """Numbers with gaps, a category and a boolean; and a number that depends on them."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "a": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.normal(size=N_ROWS)),
            "b": rng.normal(size=N_ROWS),
            "kind": rng.choice(["red", "green", "blue"], N_ROWS),
            "flag": rng.random(N_ROWS) < 0.5,
        }
    )
    return X, (X["b"] + np.sin(3 * X["b"]) + (X["kind"] == "red") + X["flag"]).rename("y")


@pytest.fixture(scope="module")
def iris() -> tuple[pd.DataFrame, np.ndarray]:
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


FRAMES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda X: X,
    "polars": pl.from_pandas,
    "arrow_table": lambda X: pa.Table.from_pandas(X, preserve_index=False),
    "arrow_batch": lambda X: pa.RecordBatch.from_pandas(X, preserve_index=False),
}


@pytest.mark.parametrize("made", FRAMES.values(), ids=FRAMES)
def test_every_kind_of_frame_gives_the_same_predictions(table, made):
    X, y = table
    expected = ResMemRegressor(**QUICK).fit(X, y).predict(X)
    np.testing.assert_array_equal(ResMemRegressor(**QUICK).fit(made(X), y).predict(made(X)), expected)


@pytest.mark.parametrize("made", [pd.Series, pl.Series, list, pa.array], ids=["pandas", "polars", "list", "arrow"])
def test_every_kind_of_target_is_taken(table, made):
    X, y = table
    expected = ResMemRegressor(**QUICK).fit(X, y).predict(X)
    np.testing.assert_array_equal(ResMemRegressor(**QUICK).fit(X, made(y.to_numpy())).predict(X), expected)


def test_an_array_and_a_frame_of_the_same_numbers_give_the_same_predictions(table):
    X, y = table
    numbers = X[["b", "flag"]].astype(float)
    expected = ResMemRegressor(**QUICK).fit(numbers, y).predict(numbers)
    np.testing.assert_array_equal(
        ResMemRegressor(**QUICK).fit(numbers.to_numpy(), y).predict(numbers.to_numpy()), expected
    )


def test_columns_without_names_are_taken_by_position(table):
    X, y = table
    unnamed = X[["b", "flag"]].astype(float).set_axis([3, 1], axis=1)
    model = ResMemRegressor(**QUICK).fit(unnamed, y)
    np.testing.assert_array_equal(model.predict(unnamed), model.predict(unnamed.to_numpy()))


def test_columns_in_another_order_are_refused(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y)
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(X[["b", "a", "kind", "flag"]])


def test_a_target_that_is_named_as_a_column_is_no_column(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y.rename("b"))
    assert model.model_.schema.target.name == "b_"
    assert "b" in model.model_.schema.names


def test_classes_are_labels_of_the_type_that_was_given(iris):
    X, y = iris
    model = ResMemClassifier(**QUICK).fit(X, y)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(model.predict(X)) <= set(y)
    assert model.score(X, y) > 0.95
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (150, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_gain_is_what_the_folds_measured(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y)
    selection = model.selection_
    base, resmem = np.sqrt(selection.base_loss), np.sqrt(selection.resmem_loss)
    assert model.gain_ == pytest.approx(100 * (base - resmem) / base)
    assert model.gain_ > 10


def test_without_folds_nothing_is_measured(table):
    X, y = table
    fixed = {"n_neighbors": 5, "bandwidth": 0.4, "shrinkage": 1, "representation": "features", "n_folds": 0}
    model = ResMemRegressor(**QUICK | fixed).fit(X, y)
    assert model.gain_ is None
    assert model.selection_ is None
    with pytest.raises(
        ValueError, match=r"^this memory has no held-out rows .*; run fit-residual with n_folds 2 or more$"
    ):
        model.predict_interval(X)


def test_intervals_cover_what_they_promise(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X[:160], y[:160])
    ends = model.predict_interval(X[160:], coverage=0.8)
    assert ends.shape == (80, 2)
    assert 0.65 < ((ends[:, 0] <= y[160:]) & (y[160:] <= ends[:, 1])).mean() < 0.95


def test_prediction_sets_hold_the_most_probable_class(iris):
    X, y = iris
    model = ResMemClassifier(**QUICK).fit(X, y)
    inside = model.predict_interval(X, coverage=0.9)
    assert inside.shape == (150, 3)
    assert inside[np.arange(150), model.predict_proba(X).argmax(axis=1)].all()


def test_an_explanation_names_the_rows_by_their_ids(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y, ids=[f"row {i}" for i in range(N_ROWS)])
    first = model.explain(X[:2], top=3)[0]
    assert first.prediction == pytest.approx(model.predict(X[:1])[0])
    assert first.prediction == pytest.approx(first.base + first.correction + first.adjustment)
    assert "row 0" in [name for neighbor in first.neighbors for name in neighbor.rows]


def test_rows_are_remembered_replaced_and_forgotten_by_their_ids(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X[:200], y[:200], ids=np.arange(200))
    before = model.predict(X[200:])
    assert model.remember(X[190:], y[190:] + 100, ids=np.arange(190, N_ROWS)).n_removed == 10
    assert (model.predict(X[200:]) - before).mean() > 10
    assert model.forget(ids=range(190, N_ROWS)).n_rows == 190
    assert model.remember(X[190:200], y[190:200], ids=np.arange(190, 200)).n_rows == 200
    np.testing.assert_allclose(model.predict(X[200:]), before)


def test_rows_without_ids_are_forgotten_by_what_is_in_them(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y)
    assert model.forget(X=X[:7], y=y[:7]).n_rows == N_ROWS - 7
    with pytest.raises(ValueError, match=r"^the rows of this model have no ids"):
        model.forget(ids=[1])


def test_weights_count(table):
    X, y = table
    weight = np.where(np.arange(N_ROWS) < 120, 1.0, 0.0)
    expected = ResMemRegressor(**QUICK).fit(X[:120], y[:120]).predict(X)
    np.testing.assert_allclose(ResMemRegressor(**QUICK).fit(X, y, sample_weight=weight).predict(X), expected)


# In scikit-learn's tools


def test_it_is_cross_validated(iris):
    X, y = iris
    scores = cross_val_score(ResMemClassifier(**QUICK), X, y, cv=3)
    assert scores.min() > 0.9


def test_its_parameters_are_searched(table):
    X, y = table
    numbers = X[["b", "flag"]].astype(float)
    search = GridSearchCV(ResMemRegressor(**QUICK), {"base": ["linear", "constant"]}, cv=2).fit(numbers, y)
    assert search.best_params_["base"] in ("linear", "constant")
    assert search.best_estimator_.predict(numbers).shape == (N_ROWS,)


def test_it_ends_a_pipeline(table):
    X, y = table
    numbers = X[["b", "flag"]].astype(float)
    assert make_pipeline(StandardScaler(), ResMemRegressor(**QUICK)).fit(numbers, y).score(numbers, y) > 0.8


def test_a_clone_has_the_parameters_and_a_fitted_base_stays_fitted(table):
    X, y = table
    base = LinearRegression().fit(X[["b"]], y)
    model = ResMemRegressor(base, effort="quick")
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert copied.base is base
    with pytest.raises(NotFittedError):
        copied.predict(X)


def test_a_fitted_estimator_is_pickled(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))  # noqa: S301


# What is wrong is told


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"base": "forest"}, "there is no estimator 'forest'"),
        ({"base": Ridge()}, "the base cannot be used .*|.*not fitted.*"),
        (
            {"n_neighbors": 1000},
            "1000 neighbours are more than the 240 rows of the memory; set n_neighbors to at most 240",
        ),
        ({"metric": "accuracy"}, "accuracy is no metric of a regression; choose metric from: rmse, mae"),
        ({"base": 3}, "a base cannot be a int; give a name"),
    ],
    ids=["unknown_base", "unfitted_base", "too_many_neighbours", "metric_of_another_task", "no_base"],
)
def test_a_wrong_parameter_is_a_value_error_in_the_words_of_python(table, parameters, sentence):
    X, y = table
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ResMemRegressor(**QUICK | parameters).fit(X, y)


def test_ids_must_be_given_where_the_model_has_them(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y, ids=np.arange(N_ROWS))
    with pytest.raises(
        ValueError, match=r"^the model was fitted with ids, and these rows come without; fit without them$"
    ):
        model.remember(X, y)


# Scoring


def test_a_batch_is_scored_alone(table, tmp_path):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y)
    model.save(tmp_path / "model")
    batches = pa.Table.from_pandas(X, preserve_index=False).to_batches(max_chunksize=70)
    scored = pa.Table.from_batches(list(load(tmp_path / "model").score(batches)))
    assert scored.column_names == [*X.columns, "prediction", "prediction_base"]
    np.testing.assert_array_equal(scored["prediction"].to_numpy(), model.predict(X))


def test_a_batch_is_scored_with_what_is_asked_for(iris, tmp_path):
    X, y = iris
    model = ResMemClassifier(**QUICK).fit(X, y)
    options = ScoreOptions(keep="none", with_probabilities=True, interval=0.9, with_support=True)
    batch = pa.RecordBatch.from_pandas(X, preserve_index=False)
    (scored,) = model.model_.score([batch], options)
    assert scored.schema.names == [
        "prediction",
        "prediction_base",
        "probability",
        *(f"probability_{name}" for name in model.classes_),
        "prediction_set",
        "distance_percentile",
    ]
    np.testing.assert_array_equal(scored["probability_setosa"].to_numpy(), model.predict_proba(X)[:, 0])


def test_a_model_of_another_task_is_not_loaded(iris, tmp_path):
    X, y = iris
    ResMemClassifier(**QUICK).fit(X, y).save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"is of a classification, not a regression$"):
        ResMemRegressor.load(tmp_path / "model")


def test_nothing_but_a_model_is_written_over(table, tmp_path):
    X, y = table
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="contains files that do not belong to a model"):
        ResMemRegressor(**QUICK).fit(X, y).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


# Loading


def test_the_package_loads_nothing_heavy_until_it_is_asked_for():
    code = "import sys, resmem_cli; print(sorted({'numpy', 'sklearn', 'pyarrow', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_lists_its_names():
    assert {"ResMemClassifier", "ResMemRegressor", "Model", "load", "__version__"} <= set(dir(resmem_cli))
    with pytest.raises(AttributeError, match=r"^module 'resmem_cli' has no attribute 'ResMem'$"):
        _ = resmem_cli.ResMem


def test_a_model_that_was_never_loaded_knows_its_rows(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y, ids=np.arange(N_ROWS))
    with pytest.raises(UsageError, match=r"^this would forget every remembered row"):
        model.model_.forget(ids=[str(i) for i in range(N_ROWS)])
