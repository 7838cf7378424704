"""The estimators on the kinds of tables that Python users have, and in scikit-learn's tools."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import resmem_cli
from resmem_cli import ResMemClassifier, ResMemRegressor, load
from resmem_cli.errors import ModelError, UsageError
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


def test_a_memory_in_shards_predicts_as_one_in_a_piece_before_and_after_it_changes(table, tmp_path):
    X, y = table
    whole, several = (ResMemRegressor(**QUICK, **more).fit(X, y) for more in ({}, {"shard_cells": 50}))
    np.testing.assert_array_equal(several.predict(X), whole.predict(X))
    several.save(tmp_path / "model")
    loaded = ResMemRegressor.load(tmp_path / "model")
    for model in (whole, loaded):
        model.remember(X.assign(a=X["a"] + 0.1, b=X["b"] + 0.1), y)
    np.testing.assert_array_equal(loaded.predict(X), whole.predict(X))


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
    with pytest.raises(ValueError, match=r"^this memory has no held-out rows to make prediction intervals from$"):
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
    with pytest.raises(ValueError, match=r"^50 of 50 rows have residuals larger than .* max_residual or force$"):
        model.remember(X[190:], y[190:] + 1e4, ids=np.arange(190, N_ROWS))
    np.testing.assert_array_equal(model.predict(X[200:]), before)
    changed = model.remember(X[190:], y[190:] + 1e4, ids=np.arange(190, N_ROWS), force=True)
    assert (changed.n_removed, changed.drift.n_rows, changed.drift.residuals) == (10, 50, 1.0)
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


def test_a_loaded_model_needs_its_columns_by_name_alone(table, tmp_path):
    """Columns that say nothing are left out in fitting; others may be there, in any order."""
    X, y = table
    X = X.assign(nothing=np.nan)
    model = ResMemRegressor(**QUICK).fit(X, y)
    model.save(tmp_path / "model")
    loaded = ResMemRegressor.load(tmp_path / "model", threads=1)
    expected = model.predict(X)
    for other in (X, X.drop(columns="nothing"), X[["flag", "kind", "b", "a"]].assign(more=1)):
        np.testing.assert_array_equal(loaded.predict(other), expected)
    with pytest.raises(ValueError, match="lacks the column 'kind', which the model needs"):
        loaded.predict(X.drop(columns="kind"))


def test_a_loaded_model_takes_the_array_that_it_was_fitted_to(table, tmp_path):
    X, y = table
    numbers = X[["a", "b"]].assign(nothing=np.nan, flag=X["flag"].astype(float)).to_numpy()
    model = ResMemRegressor(**QUICK).fit(numbers, y)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(ResMemRegressor.load(tmp_path / "model").predict(numbers), model.predict(numbers))


def test_a_directory_that_was_written_since_is_not_taken_for_the_loaded_model(table, iris, tmp_path):
    ResMemRegressor(**QUICK).fit(*table).save(tmp_path / "model")
    loaded = ResMemRegressor.load(tmp_path / "model")
    before = loaded.predict(table[0])
    ResMemClassifier(**QUICK).fit(*iris).save(tmp_path / "model")
    with pytest.raises(ModelError, match="was written since it was loaded; load it again"):
        loaded.explain(table[0])
    np.testing.assert_array_equal(loaded.predict(table[0]), before)


def test_a_pickled_model_that_was_loaded_needs_no_directory(table, tmp_path):
    X, y = table
    ResMemRegressor(**QUICK).fit(X, y).save(tmp_path / "model")
    pickled = pickle.dumps(ResMemRegressor.load(tmp_path / "model"))
    shutil.rmtree(tmp_path / "model")
    assert pickle.loads(pickled).remember(X[:1], y[:1]).n_rows == N_ROWS + 1  # noqa: S301


def test_rows_with_weights_are_forgotten_by_what_is_in_them(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y, sample_weight=np.ones(N_ROWS))
    assert model.forget(X=X[:3], y=y[:3]).n_rows == N_ROWS - 3
    with pytest.raises(ValueError, match=r"^give either ids, or X and y"):
        model.forget()


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=["none", "nan", "na"])
def test_missing_targets_are_refused_whatever_their_type(iris, missing):
    X, y = iris
    y = y.astype(object)
    y[3] = missing
    with pytest.raises(ValueError, match=r"^y has missing values: give rows with a target$"):
        ResMemClassifier(**QUICK).fit(X, y)


def test_categories_of_pandas_are_categories_whatever_their_type(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X.assign(zone=pd.Categorical(np.arange(N_ROWS) % 7)), y)
    kinds = {column.name: column.kind.value for column in model.model_.schema.columns}
    assert kinds["zone"] == kinds["kind"] == "category"


def test_categories_of_polars_are_text(table):
    X, y = table
    frame = pl.from_pandas(X)
    expected = ResMemRegressor(**QUICK).fit(frame, y).predict(frame)
    for kind in (pl.Categorical, pl.Enum(["red", "green", "blue"])):
        other = frame.with_columns(pl.col("kind").cast(kind))
        np.testing.assert_array_equal(ResMemRegressor(**QUICK).fit(other, y).predict(other), expected)


def test_what_is_no_table_is_refused(table):
    X, y = table
    with pytest.raises(ValueError, match=r"Expected 2D array|no table"):
        ResMemRegressor(**QUICK).fit(pl.from_pandas(X).lazy(), y)
    with pytest.raises(ValueError, match="2-dimensional"):
        ResMemRegressor(**QUICK).fit(X["b"], y)


def test_too_few_rows_to_measure_are_noted(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X[:20], y[:20])
    (note,) = model.notes_
    assert note.startswith("only 20 distinct rows could be held out, too few to measure a gain, so the memory is off;")


def test_a_call_leaves_the_process_as_it_was(table, monkeypatch):
    X, y = table
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    before, n_threads = dict(os.environ), pa.cpu_count()
    ResMemRegressor(**QUICK).fit(X, y).predict(X)
    assert (dict(os.environ), pa.cpu_count()) == (before, n_threads)


def test_a_base_that_is_not_thread_safe_is_asked_by_one_thread_at_a_time(table):
    xgboost = pytest.importorskip("xgboost")
    X, y = table
    base = xgboost.XGBRegressor(n_estimators=20, n_jobs=1).fit(X[["a", "b"]], y)
    model = ResMemRegressor(base, **{name: value for name, value in QUICK.items() if name != "base"})
    model.fit(X[["a", "b"]], y)
    expected = model.predict(X[["a", "b"]])
    with ThreadPoolExecutor(4) as pool:
        for predicted in pool.map(lambda _: model.predict(X[["a", "b"]]), range(40)):
            np.testing.assert_array_equal(predicted, expected)


def test_while_rows_are_remembered_others_predict_with_a_graph_that_stays_as_it_was():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(1_500, 3)), rng.normal(size=(100, 3))
    fixed = {"representation": "features", "n_neighbors": 8, "bandwidth": 0.5, "shrinkage": 1.0, "n_folds": 0}
    model = ResMemRegressor("linear", threads=1, **fixed).fit(X, np.sin(3 * X[:, 0])).model_
    asked = model._stored.resmem  # as a thread holds it that has begun to predict
    before = asked.predict(X[:50]).resmem
    model.remember(model.labelled_rows(new, np.full(100, 0.5)), threads=1)
    np.testing.assert_array_equal(asked.predict(X[:50]).resmem, before)
    np.testing.assert_array_equal(asked.members[0].memory.index.n_points, 1_500)
    assert not np.array_equal(model.predict(X[:50]), before)


def test_rows_that_several_threads_remember_are_all_remembered(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X[:200], y[:200])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: model.remember(X[i : i + 1], y[i : i + 1]), range(200, 230)))
    assert model.remember(X[230:], y[230:]).n_rows == N_ROWS


# In scikit-learn's tools


def test_parameters_of_a_fitted_base_are_not_searched(table):
    X, y = table
    base = Ridge(alpha=1).fit(X[["b"]], y)
    with pytest.raises(ValueError, match="Invalid parameter"):
        clone(ResMemRegressor(base)).set_params(base__alpha=99)
    assert base.alpha == 1


def test_a_clone_keeps_what_was_asked_of_metadata():
    with config_context(enable_metadata_routing=True):
        model = ResMemRegressor().set_fit_request(sample_weight=True)
        assert clone(model).get_metadata_routing().fit.requests["sample_weight"] is True


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
        ({"effort": "slow"}, "The 'effort' parameter of ResMemRegressor must be a str among"),
        ({"n_neighbors": 0}, "The 'n_neighbors' parameter"),
        ({"threads": -1}, "The 'threads' parameter"),
        ({"base": Ridge()}, "the base cannot be used .*|.*not fitted.*"),
        (
            {"n_neighbors": 1000},
            "1000 neighbours are more than the 240 rows of the memory; set n_neighbors to at most 240",
        ),
        ({"metric": "accuracy"}, "accuracy is no metric of a regression; choose metric from: rmse, mae"),
        ({"base": 3}, "a base cannot be a int; give a name"),
    ],
    ids=[
        "unknown_base",
        "unknown_effort",
        "no_neighbours",
        "negative_threads",
        "unfitted_base",
        "too_many_neighbours",
        "metric_of_another_task",
        "no_base",
    ],
)
def test_a_wrong_parameter_is_a_value_error_in_the_words_of_python(table, parameters, sentence):
    X, y = table
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ResMemRegressor(**QUICK | parameters).fit(X, y)


def test_ids_must_be_given_where_the_model_has_them(table):
    X, y = table
    model = ResMemRegressor(**QUICK).fit(X, y, ids=np.arange(N_ROWS))
    with pytest.raises(ValueError, match=r"^the model was fitted with ids, and these rows have none; give ids$"):
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


# Rows that belong together


def test_groups_and_times_are_obeyed_and_not_read_as_features():
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 10)
    X = rng.normal(size=(60, 2))[who] + rng.normal(0, 0.02, (600, 2))
    y = rng.normal(0, 3, 60)[who] + rng.normal(0, 0.3, 600)
    blind = ResMemRegressor(**QUICK).fit(X, y)
    grouped = ResMemRegressor(**QUICK).fit(X, y, groups=[f"customer {each}" for each in who])
    assert blind.gain_ > 50
    assert grouped.gain_ < 10
    both = ResMemRegressor(**QUICK).fit(X, y, groups=who, time=pd.date_range("2024-01-01", periods=600))
    schema = both.model_.schema
    assert (schema.group_column, schema.time_column, len(schema.columns)) == ("group", "time", 2)
    assert both.predict(X).shape == (600,)
    both.remember(X[:5] + 9, y[:5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ResMemRegressor(**QUICK).fit(X, y, groups=who[:-1])
    with pytest.raises(ValueError, match="all 600 rows have the same group 'group'; give rows of several groups"):
        ResMemRegressor(**QUICK).fit(X, y, groups=np.zeros(600))


def test_a_column_named_as_groups_are_stays_a_feature(table):
    X, y = table
    X = X.rename(columns={"a": "group", "b": "time"})
    model = ResMemRegressor(**QUICK).fit(X, y, groups=np.arange(N_ROWS) // 4, time=np.arange(N_ROWS))
    assert model.model_.schema.names == ("group", "time", "kind", "flag")
    assert (model.model_.schema.group_column, model.model_.schema.time_column) == ("group_", "time_")
