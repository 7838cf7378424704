"""LightGBM, XGBoost and CatBoost as bases: fitted here as the libraries themselves would, and taken from elsewhere."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model.bases import ESTIMATORS, IMPORTABLE, KINDS, Problem, protocol
from resmem_cli.model.bases.boosters import lightgbm_text, xgboost_file
from resmem_cli.model.bases.boosters.training_set import SHARED, Sample, TrainingSet
from resmem_cli.model.bases.boosters.trees import plainly
from resmem_cli.model.bases.table import Field, Table
from tests.model.examples import BINARY, INSTALLED, MULTICLASS, REGRESSION, TASKS, make_rows

LIBRARIES = [name for name in ("lightgbm", "xgboost", "catboost") if name in INSTALLED]
EVERY_LIBRARY = pytest.mark.parametrize("name", LIBRARIES)
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={REGRESSION: "number", BINARY: "2", MULTICLASS: "4"}.get)
FEW = {"n_estimators": 12, "learning_rate": 0.3}


# Fitted here


def reference(name: str, X, y, n_classes: int, seed: int):
    """What the library's own wrapper for scikit-learn predicts: numbers or probabilities, and the raw sums of trees."""
    library: ModuleType = pytest.importorskip(name)
    is_number = n_classes == REGRESSION
    y = y if is_number else y.astype(int)
    if name == "lightgbm":
        kind = library.LGBMRegressor if is_number else library.LGBMClassifier
        model = kind(**FEW, random_state=seed, n_jobs=1, verbose=-1, deterministic=True, force_col_wise=True)
        model.fit(X, y, categorical_feature=[2])
        raw = model.booster_.predict(X, raw_score=True)
        return (model.predict(X) if is_number else model.predict_proba(X)), raw
    if name == "xgboost":
        kind = library.XGBRegressor if is_number else library.XGBClassifier
        types = ["q", "q", "c", "q"]
        model = kind(**FEW, random_state=seed, n_jobs=1, feature_types=types, enable_categorical=True).fit(X, y)
        margin = np.zeros(len(y) if n_classes <= 2 else (len(y), n_classes))
        raw = model.predict(X, output_margin=True, base_margin=margin)
        return (model.predict(X) if is_number else model.predict_proba(X)), raw
    texts = X.astype(object)
    texts[:, 2] = [str(int(code)) for code in X[:, 2]]
    kind = library.CatBoostRegressor if is_number else library.CatBoostClassifier
    own = {"random_seed": seed, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    # The numbers before the categories, as the base has them: the trees depend on the order.
    texts = texts[:, [0, 1, 3, 2]]
    model = kind(**FEW, **own, cat_features=[3]).fit(texts, y)
    raw = model.predict(texts, prediction_type="RawFormulaVal")
    return (model.predict(texts) if is_number else model.predict_proba(texts)), raw


@EVERY_TASK
@EVERY_LIBRARY
def test_a_base_predicts_as_its_library_does_and_represents_by_groups_that_sum_to_the_raw_prediction(name, n_classes):
    X, y, problem = make_rows(300, n_classes)
    base = ESTIMATORS[name].fit(X, y, None, problem, FEW)
    expected, raw = reference(name, X, y, n_classes, problem.seed)
    np.testing.assert_allclose(base.predict(X), expected.reshape(300, -1), atol=1e-6)
    n_columns = 4 if n_classes == MULTICLASS else 1
    represented = base.represent(X).astype(np.float64)
    assert represented.shape == (300, 12 * n_columns)
    np.testing.assert_allclose(represented.reshape(300, 12, n_columns).sum(axis=1), raw.reshape(300, -1), atol=1e-5)


@EVERY_LIBRARY
def test_trees_of_many_rounds_are_at_most_16_groups_and_about_64_columns(name):
    for n_classes, n_groups in ((REGRESSION, 16), (MULTICLASS, 16), (30, 2)):
        X, y, problem = make_rows(120, n_classes)
        base = ESTIMATORS[name].fit(X, y, None, problem, {"n_estimators": 33})
        n_columns = len(np.unique(y)) if n_classes else 1
        assert base.represent(X).shape == (120, n_groups * n_columns)


@EVERY_TASK
@EVERY_LIBRARY
def test_of_many_rows_a_tenth_is_held_out_to_stop_by(name, n_classes):
    X, y, problem = make_rows(1_100, n_classes)
    base = ESTIMATORS[name].fit(X, y, None, problem, {"learning_rate": 0.9, "early_stopping_rounds": 2})
    assert 0 < base.n_rounds() < 500
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    weighted = ESTIMATORS[name].fit(X, y, weight, problem, {"learning_rate": 0.9, "early_stopping_rounds": 2})
    assert not np.array_equal(weighted.predict(X), base.predict(X))


@EVERY_LIBRARY
@pytest.mark.parametrize(("n_rows", "asked", "stops"), [(60, 3, True), (1_100, 0, False)])
def test_a_base_stops_early_as_the_user_asks(name, n_rows, asked, stops):
    X, y, problem = make_rows(n_rows, REGRESSION)
    params = {"early_stopping_rounds": asked, "n_estimators": 60, "learning_rate": 0.9}
    n_rounds = ESTIMATORS[name].fit(X, y, None, problem, params).n_rounds()
    assert n_rounds < 60 if stops else n_rounds == 60


@pytest.mark.parametrize(
    ("n_rows", "n_classes", "expected"),
    [
        (999, REGRESSION, (100, 0, 0.1)),
        (1_000, REGRESSION, (2_000, 50, 0.05)),
        (1_000, MULTICLASS, (2_000, 50, 0.05)),
        (1_000, 11, (500, 20, 0.1)),
    ],
)
def test_how_long_to_learn_depends_on_rows_and_classes_where_the_user_does_not_say(n_rows, n_classes, expected):
    X, y, problem = make_rows(n_rows, n_classes)
    for params in ({}, SHARED):
        plan = TrainingSet.plan(Sample(X, y, None), problem, params)
        assert (plan.n_rounds, plan.patience, plan.params["learning_rate"]) == expected
    asked = {"n_estimators": 7, "early_stopping_rounds": 4, "learning_rate": 1}
    plan = TrainingSet.plan(Sample(X, y, None), problem, asked)
    assert (plan.n_rounds, plan.patience, plan.params["learning_rate"]) == (7, 4, 1)


# The mean of several models


@EVERY_TASK
@EVERY_LIBRARY
def test_a_base_of_several_models_is_their_mean_and_comes_back(name, n_classes):
    X, y, problem = make_rows(1_100, n_classes)
    kind, params = ESTIMATORS[name], {"n_estimators": 12, "early_stopping_rounds": 3, "subsample": 0.7}
    params |= {"subsample_freq": 1} if name == "lightgbm" else {"bootstrap_type": "MVS"} if name == "catboost" else {}
    base = kind.fit(X, y, None, problem, params | {"bags": 3})
    alone = kind.fit(X, y, None, problem, params | {"bags": 1})
    assert (len(base.further), len(alone.further)) == (2, 0)
    models = [replace(base, further=()), *base.further]
    predicted = [model.predict(X) for model in models]
    np.testing.assert_array_equal(predicted[0], alone.predict(X))
    assert not any(np.array_equal(predicted[0], other) for other in predicted[1:])  # stopped by other rows
    np.testing.assert_allclose(base.predict(X), np.mean(predicted, axis=0), rtol=1e-12)
    assert base.represent(X).shape[0] == len(X)
    again = kind.restore(base.to_arrays(), base.estimator)
    np.testing.assert_array_equal(again.predict(X), base.predict(X))
    np.testing.assert_array_equal(again.represent(X), base.represent(X))


def test_models_of_which_nothing_is_drawn_are_one():
    X, y, problem = make_rows(60, REGRESSION)
    assert len(ESTIMATORS["lightgbm"].fit(X, y, None, problem, {**FEW, "bags": 3}).further) == 0
    drawn = {**FEW, "bags": 3, "subsample": 0.7, "subsample_freq": 1, "min_child_samples": 5}
    assert len(ESTIMATORS["lightgbm"].fit(X, y, None, problem, drawn).further) == 2


@EVERY_LIBRARY
def test_models_of_a_mean_that_are_damaged_or_of_another_target_are_refused(name):
    X, y, problem = make_rows(60, REGRESSION)
    base = ESTIMATORS[name].fit(X, y, None, problem, {"n_estimators": 3, "bags": 2, "early_stopping_rounds": 1})
    arrays = base.to_arrays()
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the library says of it
        ESTIMATORS[name].restore({**arrays, "further_1": np.frombuffer(b"nothing", np.uint8)}, base.estimator)
    with pytest.raises(ValueError, match=r"further_1 holds"):
        ESTIMATORS[name].restore({**arrays, "further_1": np.zeros(3)}, base.estimator)
    with pytest.raises(ValueError, match=r"^of its models one is missing, or there are too many$"):
        ESTIMATORS[name].restore({**arrays, "further_3": arrays["further_1"]}, base.estimator)
    many = {f"further_{i}": arrays["further_1"] for i in range(1, 11)}
    with pytest.raises(ValueError, match=r"^of its models one is missing, or there are too many$"):
        ESTIMATORS[name].restore({**arrays, **many}, base.estimator)
    X, y, problem = make_rows(60, MULTICLASS)
    other = ESTIMATORS[name].fit(X, y, None, problem, {"n_estimators": 3, "bags": 1})
    mixed = replace(base, further=(replace(other, n_classes=0, classes=base.classes),))
    with pytest.raises(ModelError):
        mixed.predict(X)


def test_of_fewer_rows_than_ten_none_is_held_out():
    X, y, problem = make_rows(9, REGRESSION)
    assert TrainingSet.plan(Sample(X, y, None), problem, {"early_stopping_rounds": 3}).held is None


def test_a_row_of_weight_0_is_not_even_looked_at():
    X, y, problem = make_rows(2_000, MULTICLASS)
    weight = np.repeat([1.0, 0.0], 1_000)
    y[1_000:] = 3
    y[:1_000][y[:1_000] == 3] = 2
    training_set = TrainingSet.plan(Sample(X, y, weight), problem, {})
    assert len(training_set.fitted.y) + len(training_set.held.y) == 1_000
    assert training_set.classes.tolist() == [0, 1, 2]


@EVERY_TASK
@EVERY_LIBRARY
def test_categories_are_taken_as_such(name, n_classes):
    """Codes whose effect is not in their order, one split apart: as numbers it would take two."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (300, 1)).astype(np.float64)
    X[rng.random(300) < 0.1] = np.nan
    y = np.where(X[:, 0] == 1, 1.0, 0.0)
    shallow = {"lightgbm": "num_leaves", "xgboost": "max_depth", "catboost": "depth"}[name]
    params = {"n_estimators": 60, "learning_rate": 0.3, shallow: 2 if name == "lightgbm" else 1}
    if name == "catboost":
        params["one_hot_max_size"] = 4
    base = ESTIMATORS[name].fit(X, y, None, Problem((3,), n_classes, 0), params)
    likely = base.predict(np.array([[0.0], [1.0], [2.0], [np.nan]]))[:, 0 if n_classes == 0 else 1]
    np.testing.assert_allclose(likely, [0, 1, 0, 0], atol=0.1)


@EVERY_LIBRARY
def test_columns_beyond_the_features_are_not_read(name):
    X, y, problem = make_rows(120, REGRESSION)
    base = ESTIMATORS[name].fit(X, y, None, problem, FEW)
    wider = np.column_stack([X, y])
    np.testing.assert_array_equal(ESTIMATORS[name].fit(wider, y, None, problem, FEW).predict(wider), base.predict(X))


@EVERY_TASK
@EVERY_LIBRARY
def test_features_that_are_all_constant_leave_the_mean_or_the_frequencies(name, n_classes):
    X = np.column_stack([np.full(200, 0.5), np.ones(200), np.full(200, np.nan)])
    y = np.random.default_rng(0).integers(0, max(n_classes, 2), 200).astype(np.float64)
    base = ESTIMATORS[name].fit(X, y, None, Problem((0, 2, 0), n_classes, 0), {})
    expected = [y.mean()] if n_classes == 0 else np.bincount(y.astype(int)) / 200
    np.testing.assert_allclose(base.predict(X[:1])[0], expected, atol=0.01)


@EVERY_TASK
@EVERY_LIBRARY
def test_the_same_rows_and_seed_give_the_same_bytes_which_a_worker_gets_alone(name, n_classes):
    X, y, problem = make_rows(120, n_classes)
    first, second = (ESTIMATORS[name].fit(X, y, None, problem, FEW) for _ in range(2))
    assert first.estimator == second.estimator
    copied = pickle.loads(pickle.dumps(first))  # noqa: S301 - our own, as joblib does it
    assert "model" in vars(first)
    assert "model" not in vars(copied)
    np.testing.assert_array_equal(copied.predict(X), first.predict(X))
    random = FEW | {{"catboost": "rsm"}.get(name, "colsample_bytree"): 0.5}
    seeds = (ESTIMATORS[name].fit(X, y, None, replace(problem, seed=seed), random).predict(X) for seed in (7, 8))
    assert not np.array_equal(*seeds)


@EVERY_TASK
@EVERY_LIBRARY
def test_what_the_tool_rules_is_no_parameter(name, n_classes):
    names = set(ESTIMATORS[name].parameters(make_rows(2, n_classes)[2]))
    ruled = {"n_jobs", "thread_count", "random_seed", "verbosity", "verbose", "device", "task_type", "callbacks"}
    assert not names & {"kwargs", "cat_features", "enable_categorical", "feature_types", *ruled}
    assert set(SHARED) <= names
    assert bool(names & {"objective", "loss_function"}) == (n_classes == REGRESSION)
    assert {"lightgbm": "num_leaves", "xgboost": "max_depth", "catboost": "one_hot_max_size"}[name] in names


def test_every_parameter_of_catboosts_that_is_kept_exists():
    pytest.importorskip("catboost")
    from resmem_cli.model.bases.boosters import catboost

    kept = ESTIMATORS["catboost"].parameters(make_rows(2, REGRESSION)[2])
    assert set(kept) == catboost._GROWTH | set(SHARED)


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("lightgbm", {"num_leaves": "x"}, 'Parameter num_leaves should be of type int, got "x"'),
        ("lightgbm", {"num_leaves": 1}, "Check failed: (num_leaves) > (1)"),
        ("lightgbm", {"objective": "gamma"}, "[gamma]: at least one target label is negative"),
        ("xgboost", {"max_depth": "x"}, "Invalid Parameter format for max_depth expect int but value='x'"),
        ("xgboost", {"max_depth": -1}, "value -1 for Parameter max_depth should be greater equal to 0"),
        ("xgboost", {"objective": "nope"}, "Unknown objective function: `nope`"),
        ("xgboost", {"objective": "reg:gamma"}, "label must be positive for gamma regression"),
        ("catboost", {"depth": "x"}, 'Can\'t parse parameter "depth" with value: "x"'),
        ("catboost", {"depth": 20}, "Maximum tree depth is 16"),
        ("catboost", {"loss_function": "RMSEWithUncertainty"}, "the model predicts 2 numbers per row"),
        *((name, {"n_estimators": 0}, "n_estimators is 0, not a whole number of 1 or more") for name in LIBRARIES),
        *((name, {"n_estimators": "x"}, "n_estimators is 'x', not a whole number of 1") for name in LIBRARIES),
        *((name, {"early_stopping_rounds": -1}, "early_stopping_rounds is -1, not") for name in LIBRARIES),
        *((name, {"bags": 0}, "bags is 0, not a whole number of 1 to 10") for name in LIBRARIES),
        *((name, {"bags": True}, "bags is True, not a whole number of 1 to 10") for name in LIBRARIES),
        *((name, {"learning_rate": 0}, "learning_rate is 0, not a number of more than 0") for name in LIBRARIES),
    ],
)
def test_a_parameter_that_the_library_refuses_is_told_in_a_sentence(name, params, sentence, capfd):
    pytest.importorskip(name)
    X, y, problem = make_rows(60, REGRESSION)
    with pytest.raises(UsageError) as refused:
        ESTIMATORS[name].fit(X, y, None, problem, params)
    assert refused.value.message.startswith(sentence)
    assert refused.value.hint == "correct the --param"
    assert "\n" not in str(refused.value)
    assert "/" not in str(refused.value)
    if params != {"objective": "gamma"}:  # a matter of the rows, which LightGBM finds when it has begun
        assert capfd.readouterr() == ("", "")


@EVERY_LIBRARY
def test_without_its_library_a_base_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setattr(protocol, "is_installed", lambda package: False)
    with pytest.raises(UsageError) as refused:
        ESTIMATORS[name].parameters(Problem((0,), 0, 0))
    assert refused.value.message == f"this base needs the package {name}, which is not installed"
    assert refused.value.hint == f"install it: pip install 'resmem-cli[{name}]'"


def test_no_library_is_loaded_before_it_is_needed():
    code = f"import sys, resmem_cli.model.bases; sys.exit(len(set(sys.modules) & set({LIBRARIES})))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_error_is_told_without_where_in_the_librarys_source_it_was():
    told = {
        "[15:46:30] /__w/xgboost/src/json.cc:409: Expecting digit, around 289\n   ^~~\nStack trace:": (
            "Expecting digit, around 289"
        ),
        "Check failed: (num_leaves) > (1) at /__w/src/io/config_auto.cpp, line 352 .\n": (
            "Check failed: (num_leaves) > (1)"
        ),
        "catboost/libs/model/model.cpp:1237: Incorrect model file descriptor": "Incorrect model file descriptor",
        "": "",
    }
    assert [plainly(ValueError(text)) for text in told] == list(told.values())


# Taken from elsewhere

COLOURS = ("blue", "green", "red")
TABLE = Table((Field("colour", "category", 0, 1, COLOURS), Field("size", "number", 1), Field("new", "boolean", 2)))
CLASSES = ("high", "low", "middle")


def rows_from_elsewhere(n: int = 200) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """A frame as a user's, the same rows as resmem encodes them, a number and codes of three classes.

    The frame's columns and categories are in another order than the table's, and it knows a colour more.
    """
    rng = np.random.default_rng(0)
    codes, size, new = rng.integers(0, 3, n), rng.normal(size=n), rng.random(n) < 0.5
    X = np.column_stack([codes, size, new]).astype(np.float64)
    colour = pd.Series(pd.Categorical.from_codes(codes, COLOURS)).cat.set_categories(["red", "grey", "blue", "green"])
    y = size + 2 * (codes == 1) - (codes == 2) + new
    return pd.DataFrame({"size": size, "new": new, "colour": colour}), X, y, np.digitize(y, [0.0, 1.5])


def trained(name: str, frame: pd.DataFrame, y: np.ndarray, **params) -> tuple[bytes, np.ndarray]:
    """A user's model as bytes, and its predictions."""
    library: ModuleType = pytest.importorskip(name)
    if name == "lightgbm":
        model = library.train(
            {"verbose": -1, "num_threads": 1, "min_data_per_group": 1, "seed": 0, **params},
            library.Dataset(frame, y),
            10,
        )
        return model.model_to_string().encode(), model.predict(frame)
    if name == "xgboost":
        own = {"verbosity": 0, "nthread": 1, **params}
        matrix = library.DMatrix(frame, label=y, enable_categorical=True)
        model = library.train(own, matrix, 10)
        return bytes(model.save_raw("ubj")), model.predict(matrix)
    is_number = not params.pop("classes", False)
    kind = library.CatBoostRegressor if is_number else library.CatBoostClassifier
    own = {"iterations": 10, "verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
    texts = [name for name in frame if frame[name].dtype == "category"]
    frame = frame.astype(dict.fromkeys(texts, str))
    model = kind(**own, **params, cat_features=texts).fit(frame, y)
    return as_cbm(model), model.predict(frame) if is_number else model.predict_proba(frame)


def as_cbm(model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(str(Path(folder, "m.cbm")))
        return Path(folder, "m.cbm").read_bytes()


def of_classes(name: str) -> dict:
    return {
        "lightgbm": {"objective": "multiclass", "num_class": 3},
        "xgboost": {"objective": "multi:softprob", "num_class": 3},
        "catboost": {"classes": True, "loss_function": "MultiClass"},
    }[name]


def imported(name: str, data: bytes, table: Table = TABLE):
    """The base, which must be the same when it has been stored and restored."""
    base = IMPORTABLE[name].imported(data, table, {})
    stored = io.BytesIO()
    np.savez(stored, **base.to_arrays())
    stored.seek(0)
    with np.load(stored, allow_pickle=False) as arrays:
        restored = IMPORTABLE[name].restore(dict(arrays), base.estimator)
    X = rows_from_elsewhere(20)[1] if table.fields == TABLE.fields else np.random.default_rng(0).normal(size=(20, 9))
    np.testing.assert_array_equal(restored.predict(X), base.predict(X))
    np.testing.assert_array_equal(restored.represent(X), base.represent(X))
    assert restored.estimator == base.estimator
    return base


@EVERY_LIBRARY
def test_a_model_of_numbers_finds_its_columns_by_name_and_its_categories_by_text(name):
    frame, X, y, _ = rows_from_elsewhere()
    data, expected = trained(name, frame, y)
    base = imported(name, data)
    np.testing.assert_allclose(base.predict(X)[:, 0], expected, atol=1e-6)
    assert base.predict(X[:0]).shape == (0, 1)
    assert base.represent(X).shape == (200, 10)


@EVERY_LIBRARY
def test_a_model_of_classes_gives_their_probabilities(name):
    frame, X, _, classes = rows_from_elsewhere()
    data, expected = trained(name, frame, classes, **of_classes(name))
    table = replace(TABLE, classes=(0, 1, 2) if name == "catboost" else CLASSES)
    base = imported(name, data, table)
    np.testing.assert_allclose(base.predict(X), expected, atol=1e-6)
    assert base.represent(X).shape == (200, 30)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lightgbm", {"objective": "binary"}),
        ("xgboost", {"objective": "binary:logistic"}),
        ("xgboost", {"objective": "binary:logitraw"}),
        ("catboost", {"classes": True}),
    ],
)
def test_a_model_of_two_classes_gives_both_probabilities(name, params):
    frame, X, y, _ = rows_from_elsewhere()
    data, expected = trained(name, frame, (y > 0).astype(int), **params)
    if params.get("objective") == "binary:logitraw":
        expected = 1 / (1 + np.exp(-expected))
    found = imported(name, data, replace(TABLE, classes=(False, True) if name == "lightgbm" else (0, 1))).predict(X)
    np.testing.assert_allclose(found[:, 1], expected if expected.ndim == 1 else expected[:, 1], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_classes_of_catboost_that_are_in_another_order_are_put_in_ours():
    frame, X, _, codes = rows_from_elsewhere()
    names = np.array(CLASSES)[codes]
    order = ["middle", "high", "low"]
    data, expected = trained("catboost", frame, names, classes=True, loss_function="MultiClass", class_names=order)
    found = imported("catboost", data, replace(TABLE, classes=CLASSES)).predict(X)
    np.testing.assert_allclose(found, expected[:, [1, 2, 0]], atol=1e-6)


def test_one_against_the_rest_is_made_to_sum_to_1():
    frame, X, _, codes = rows_from_elsewhere()
    for name, params in (
        ("lightgbm", {"objective": "multiclassova", "num_class": 3}),
        ("catboost", {"classes": True, "loss_function": "MultiClassOneVsAll"}),
    ):
        data, expected = trained(name, frame, codes, **params)
        found = imported(name, data, replace(TABLE, classes=(0, 1, 2))).predict(X)
        np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lightgbm", {"objective": "poisson"}),
        ("lightgbm", {"objective": "regression_l1"}),
        ("xgboost", {"objective": "count:poisson"}),
        ("xgboost", {"objective": "reg:absoluteerror"}),
        ("catboost", {"loss_function": "Poisson"}),
        ("catboost", {"loss_function": "Tweedie:variance_power=1.5"}),
        ("catboost", {"loss_function": "MAE"}),
    ],
)
def test_objectives_with_a_scale_of_their_own_are_predicted_in_the_targets(name, params):
    frame, X, y, _ = rows_from_elsewhere()
    y = np.abs(y).round() + 1
    data, expected = trained(name, frame, y, **params)
    np.testing.assert_allclose(imported(name, data).predict(X)[:, 0], expected, rtol=1e-6)
    encoded = ESTIMATORS[name].fit(X, y, None, Problem((3, 0, 0), 0, 0), params | FEW).predict(X)
    assert abs(np.median(encoded) - np.median(y)) < 1


def test_xgboosts_json_is_read_as_its_ubjson():
    frame, X, y, _ = rows_from_elsewhere()
    data, expected = trained("xgboost", frame, y)
    base = imported("xgboost", bytes(loaded(data).save_raw("json")))
    assert base.estimator == data
    np.testing.assert_allclose(base.predict(X)[:, 0], expected, atol=1e-6)


def test_a_linear_model_of_xgboosts_is_one_group():
    frame, X, y, _ = rows_from_elsewhere()
    data, expected = trained("xgboost", frame[["size", "new"]], y, booster="gblinear")
    base = imported("xgboost", data)
    np.testing.assert_allclose(base.predict(X)[:, 0], expected, atol=1e-6)
    assert base.represent(X).shape == (200, 1)


@EVERY_LIBRARY
def test_missing_and_unknown_values_are_what_the_model_takes_them_for(name):
    frame, X, y, _ = rows_from_elsewhere()
    data, _ = trained(name, frame, y)
    base = imported(name, data)
    missing, beyond = X[:1].copy(), X[:1].copy()
    missing[0, 0], beyond[0, 0] = np.nan, len(COLOURS)
    np.testing.assert_array_equal(base.predict(missing), base.predict(beyond))
    assert np.isfinite(base.predict(np.full((1, 3), np.nan))).all()


@EVERY_LIBRARY
def test_whole_numbers_and_booleans_that_are_categories_are_known_by_their_text(name):
    frame, X, y, _ = rows_from_elsewhere()
    frame["colour"] = pd.Categorical(X[:, 0].astype(int) * 10 + 5)
    frame["new"] = pd.Categorical(frame["new"])
    if name == "xgboost":  # which takes no booleans as categories
        frame["new"] = frame["new"].astype(str).astype("category")
    if name == "catboost":
        frame["new"] = pd.Categorical(frame["new"].astype(int))
    data, expected = trained(name, frame, y)
    table = replace(TABLE, fields=(Field("colour", "category", 0, 1, ("5", "15", "25")), *TABLE.fields[1:]))
    np.testing.assert_allclose(IMPORTABLE[name].imported(data, table, {}).predict(X)[:, 0], expected, atol=1e-6)


@EVERY_LIBRARY
def test_a_model_without_names_reads_the_columns_in_order_and_vectors_as_several(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 9))
    frame = pd.DataFrame(X[:, [0, 4, 5, 6, 2]]).to_numpy()
    library = pytest.importorskip(name)
    y = frame[:, 0] + frame[:, 2] ** 2
    if name == "xgboost":
        model = library.train({"verbosity": 0, "nthread": 1}, library.DMatrix(frame, label=y), 5)
        data, expected = bytes(model.save_raw("ubj")), model.predict(library.DMatrix(frame))
    else:
        own = {"num_threads": 1, "verbose": -1}
        if name == "lightgbm":
            model = library.train(own, library.Dataset(frame, y), 5)
            data = model.model_to_string().encode()
        else:
            model = library.CatBoostRegressor(iterations=5, verbose=False, allow_writing_files=False).fit(frame, y)
            data = as_cbm(model)
        expected = model.predict(frame)
    fields = (Field("a", "number", 0), Field("v", "vector", 4, 3), Field("b", "boolean", 2))
    np.testing.assert_allclose(imported(name, data, Table(fields)).predict(X)[:, 0], expected, atol=1e-6)
    with pytest.raises(UsageError) as refused:
        IMPORTABLE[name].imported(data, Table(fields[:2]), {})
    assert refused.value.message == "the model reads 5 unnamed features, and the columns given make 4"


def test_codes_that_lightgbm_and_xgboost_were_trained_on_may_be_numbers_but_not_categories():
    _, X, y, _ = rows_from_elsewhere()
    coded = Table((Field("colour", "number", 0), *TABLE.fields[1:]))
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, y, categorical_feature=[0]), 5)
    texts = [model.model_to_string().encode()]
    texts.append(texts[0][: texts[0].index(b"\nparameters:")])  # then only the features' ranges say it
    for data in texts:
        assert_needs_codes("lightgbm", data, coded, X, model.predict(X))
    xgboost = pytest.importorskip("xgboost")
    matrix = xgboost.DMatrix(X, label=y, feature_types=["c", "q", "q"], enable_categorical=True)
    model = xgboost.train({"verbosity": 0, "nthread": 1}, matrix, 5)
    assert_needs_codes("xgboost", bytes(model.save_raw("ubj")), coded, X, model.predict(matrix))


def assert_needs_codes(name: str, data: bytes, coded: Table, X: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(IMPORTABLE[name].imported(data, coded, {}).predict(X)[:, 0], expected, atol=1e-6)
    with pytest.raises(UsageError) as refused:
        IMPORTABLE[name].imported(data, TABLE, {})
    assert refused.value.message == "the file does not say which codes the model has for the categories of 'colour'"
    assert "--predictions" in refused.value.hint


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ([Field("shade", "category", 0, 1, COLOURS)], "the model needs the column 'colour', which is not among"),
        ([Field("colour", "number", 0)], "the model reads categories from 'colour', and the column holds numbers"),
        ([Field("colour", "timestamp", 0)], "the model reads a number from 'colour', and the column holds times"),
        ([Field("colour", "vector", 0, 1)], "the model reads one number from 'colour', and the column holds vectors"),
        (
            [TABLE.fields[0], Field("size", "category", 1, 1, ("s", "xl"))],
            "the model reads numbers from 'size', and the column holds categories",
        ),
    ],
)
@EVERY_LIBRARY
def test_a_column_that_is_missing_or_of_another_kind_is_named(name, fields, sentence):
    frame, _, y, _ = rows_from_elsewhere()
    data, _ = trained(name, frame, y)
    with pytest.raises(UsageError) as refused:
        IMPORTABLE[name].imported(data, Table((*fields, *TABLE.fields[len(fields) :])), {})
    assert refused.value.message.startswith(sentence)
    assert refused.value.hint


def test_lightgbm_writes_spaces_in_names_as_underscores():
    frame, X, y, _ = rows_from_elsewhere()
    data, expected = trained("lightgbm", frame.rename(columns={"size": "size in cm"}), y)
    table = Table((TABLE.fields[0], Field("size in cm", "number", 1), TABLE.fields[2]))
    np.testing.assert_allclose(IMPORTABLE["lightgbm"].imported(data, table, {}).predict(X)[:, 0], expected)


def test_lightgbms_text_may_have_the_line_ends_of_windows():
    frame, X, y, _ = rows_from_elsewhere()
    data, expected = trained("lightgbm", frame, y)
    np.testing.assert_allclose(imported("lightgbm", data.replace(b"\n", b"\r\n")).predict(X)[:, 0], expected)


def test_a_category_of_one_value_does_not_shift_the_others():
    frame, X, y, _ = rows_from_elsewhere()
    frame.insert(0, "only", pd.Categorical(["x"] * len(frame)))
    data, expected = trained("lightgbm", frame, y)
    table = Table((*TABLE.fields, Field("only", "category", 3, 1, ("x",))))
    wider = np.column_stack([X, np.zeros(len(X))])
    np.testing.assert_allclose(IMPORTABLE["lightgbm"].imported(data, table, {}).predict(wider)[:, 0], expected)


@EVERY_LIBRARY
def test_a_model_of_another_task_or_of_other_classes_is_refused(name):
    frame, _, y, codes = rows_from_elsewhere()
    of_numbers, _ = trained(name, frame, y)
    several, _ = trained(name, frame, codes, **of_classes(name))
    for data, classes, sentence in (
        (of_numbers, CLASSES, "the model predicts a number (its objective is"),
        (several, (), "the model predicts classes (its objective is"),
        (several, ("no", "yes"), "the model knows 3 classes, and the target has 2"),
    ):
        with pytest.raises(UsageError) as refused:
            IMPORTABLE[name].imported(data, replace(TABLE, classes=classes), {})
        assert refused.value.message.startswith(sentence)
        assert refused.value.hint


def test_catboosts_classes_must_be_the_targets():
    frame, _, _, codes = rows_from_elsewhere()
    data, _ = trained("catboost", frame, np.array(CLASSES)[codes], classes=True, loss_function="MultiClass")
    with pytest.raises(UsageError, match=r"the model's classes \(high, low, middle\) are not the target's \(a, b, c\)"):
        IMPORTABLE["catboost"].imported(data, replace(TABLE, classes=("a", "b", "c")), {})


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("lightgbm", {"objective": "cross_entropy_lambda"}, "the model's objective is cross_entropy_lambda, which"),
        ("xgboost", {"objective": "binary:hinge"}, "the model's objective is binary:hinge, which"),
        ("xgboost", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}, "the model predicts 2 numbers"),
        ("catboost", {"loss_function": "MultiQuantile:alpha=0.1,0.9"}, "the model predicts 2 numbers per row"),
    ],
)
def test_a_model_that_predicts_something_else_is_refused(name, params, sentence):
    frame, _, y, _ = rows_from_elsewhere()
    data, _ = trained(name, frame, (y > 0).astype(float), **params)
    with pytest.raises(UsageError) as refused:
        IMPORTABLE[name].imported(data, TABLE, {})
    assert refused.value.message.startswith(sentence)


def test_a_model_of_catboosts_that_reads_texts_is_refused():
    catboost = pytest.importorskip("catboost")
    frame = pd.DataFrame({"size": np.arange(40.0), "colour": ["a blue one", "the red one"] * 20})
    own = {"iterations": 2, "verbose": False, "allow_writing_files": False}
    model = catboost.CatBoostRegressor(**own, text_features=["colour"]).fit(frame, np.arange(40.0))
    with pytest.raises(UsageError, match="the model has text or embedding features"):
        IMPORTABLE["catboost"].imported(as_cbm(model), TABLE, {})


@EVERY_LIBRARY
def test_outputs_by_name_are_refused(name):
    frame, _, y, _ = rows_from_elsewhere()
    with pytest.raises(UsageError, match="has no named outputs"):
        IMPORTABLE[name].imported(trained(name, frame, y)[0], TABLE, {"embedding": "last"})


@EVERY_LIBRARY
def test_damaged_bytes_and_files_of_other_libraries_are_told_so(name):
    frame, _, y, _ = rows_from_elsewhere()
    data = trained(name, frame, y)[0]
    others = [trained(other, frame, y)[0] for other in LIBRARIES if other != name]
    end = data.index(b"end of trees") if name == "lightgbm" else len(data)
    cut = [data[:at] for at in np.linspace(0, end - 1, 9).astype(int).tolist()]
    arrays = IMPORTABLE[name].imported(data, TABLE, {}).to_arrays()
    for damaged in (*cut, *others, b"PK\x03\x04garbage", b"{}"):
        for attempt in (
            lambda each: IMPORTABLE[name].imported(each, TABLE, {}),
            lambda each: IMPORTABLE[name].restore(arrays, each),
        ):
            with pytest.raises(ValueError, match=r"^.{5,200}$"):
                attempt(damaged)


@pytest.mark.parametrize(
    "tail", [b"L", b"i\x01a", b"i\x01a[#L" + b"\x7f" * 8, b"i\x01a[$d#L\x7f" + b"\xff" * 7, b"i\x01aSL" + b"\xff" * 8]
)
def test_ubjson_that_says_it_is_longer_than_it_is_does_not_reach_xgboost(tail):
    with pytest.raises(ValueError, match="it is damaged"):
        xgboost_file.refuse_damaged(b"{" + tail)


def test_no_part_of_an_ubjson_is_whole():
    frame, _, y, _ = rows_from_elsewhere()
    data, _ = trained("xgboost", frame, y)
    xgboost_file.refuse_damaged(data)
    for end in range(0, len(data), 211):
        with pytest.raises(ValueError, match="it is damaged"):
            xgboost_file.refuse_damaged(data[:end])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_children", 10**6),
        ("left_children", 0),
        ("right_children", -5),
        ("right_children", 1),
        ("split_indices", 3),
        ("split_indices", -1),
        ("categories_nodes", 10**6),
        ("categories_segments", 10**6),
        ("categories_sizes", -1),
        ("categories", -1),
        ("split_type", 1),  # of a number
        ("tree_info", 1),
        ("iteration_indptr", 1),
    ],
)
def test_a_tree_of_xgboosts_that_leads_nowhere_does_not_reach_it(field, value):
    content = xgboosts_json()
    forest = content["learner"]["gradient_booster"]["model"]
    tree = next(each for each in forest["trees"] if each["categories_nodes"])
    values = forest[field] if field in forest else tree[field]
    values[values.index(0) if field == "split_type" else 0] = value
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        IMPORTABLE["xgboost"].imported(json.dumps(content).encode(), TABLE, {})


def of_trees(change):
    """Change what each tree says."""
    return lambda learner: [change(tree) for tree in learner["gradient_booster"]["model"]["trees"]]


@pytest.mark.parametrize(
    "change",
    [
        of_trees(lambda tree: tree.update(id=0)),
        of_trees(lambda tree: tree.update(parents=[10**8] * len(tree["parents"]))),
        of_trees(lambda tree: tree["parents"].reverse()),
        of_trees(lambda tree: tree["tree_param"].update(size_leaf_vector="1000")),
        of_trees(
            lambda tree: tree["categories_nodes"].reverse() if len(tree["categories_nodes"]) > 1 else tree.clear()
        ),
        of_trees(lambda tree: tree.update(categories=[(1 << 31) - 2] * len(tree["categories"]))),
        lambda learner: learner["learner_model_param"].update(num_feature="4000000000"),
        lambda learner: learner["feature_names"].pop(),
        lambda learner: learner["feature_types"].append("q"),
        lambda learner: learner["gradient_booster"].update(name="gblinear"),
        lambda learner: learner["gradient_booster"].update(name="forest"),
        lambda learner: learner["gradient_booster"].update(gbtree=dict(learner["gradient_booster"]), name="dart"),
    ],
)
def test_a_model_of_xgboosts_whose_parts_do_not_fit_does_not_reach_it(change):
    content = xgboosts_json()
    change(content["learner"])
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        IMPORTABLE["xgboost"].imported(json.dumps(content).encode(), TABLE, {})


def test_a_line_of_xgboosts_has_a_weight_for_each_feature():
    frame, _, y, _ = rows_from_elsewhere()
    content = as_json(trained("xgboost", frame[["size", "new"]], y, booster="gblinear")[0])
    xgboost_file.refuse_damaged(json.dumps(content).encode())
    content["learner"]["gradient_booster"]["model"]["weights"].pop()
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        xgboost_file.refuse_damaged(json.dumps(content).encode())


def test_texts_that_are_categories_lie_within_what_xgboost_stored():
    frame, _, y, _ = rows_from_elsewhere()
    content = as_json(trained("xgboost", frame, y)[0])
    texts = [each for each in content["learner"]["gradient_booster"]["model"]["cats"]["enc"] if each.get("offsets")]
    assert texts
    texts[0]["offsets"][-1] = 10**8
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        xgboost_file.refuse_damaged(json.dumps(content).encode())


def test_a_key_of_ubjson_stands_there_once():
    assert xgboost_file.read_ubj(b"{i\x01ai\x01i\x01bi\x02}") == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match=r"^$"):
        xgboost_file.read_ubj(b"{i\x01ai\x01i\x01ai\x02}")


def test_ubjson_holds_what_json_does():
    content = xgboosts_json()
    found = xgboost_file.read_ubj(bytes(loaded(json.dumps(content).encode()).save_raw("ubj")))
    assert found["version"] == content["version"]
    boosted, expected = (each["learner"]["gradient_booster"]["model"] for each in (found, content))
    np.testing.assert_array_equal(boosted["tree_info"], expected["tree_info"])
    for tree, other in zip(boosted["trees"], expected["trees"], strict=True):
        assert tree["tree_param"] == other["tree_param"]
        for name in ("left_children", "right_children", "split_indices", "split_type", "categories"):
            np.testing.assert_array_equal(tree[name], other[name])
        np.testing.assert_allclose(tree["split_conditions"], other["split_conditions"], rtol=1e-6, atol=1e-40)


def loaded(data):
    """A model that XGBoost reads from its UBJSON or JSON."""
    model = pytest.importorskip("xgboost").Booster()
    model.load_model(bytearray(data))
    return model


def as_json(data):
    """What XGBoost says of a model in its JSON."""
    return json.loads(loaded(data).save_raw("json"))


def xgboosts_json():
    """A model of trees that split a category, as XGBoost's JSON."""
    frame, _, y, _ = rows_from_elsewhere()
    return as_json(trained("xgboost", frame, y, max_cat_to_onehot=1)[0])


@pytest.mark.parametrize(
    ("line", "replaced"),
    [
        (b"threshold=", b"threohold="),
        (b"Tree=1\n", b"Tree=2\n"),
        (b"num_leaves=", b"num_leaves=1"),
        (b"left_child=", b"left_child=99 "),
        (b"left_child=1 ", b"left_child=0 "),
        (b"split_feature=", b"split_feature=7 "),
        (b"split_gain=", b"split_gain=-a"),
        (b"leaf_value=", b"leaf_value=0 "),
        (b"max_feature_idx=2", b"max_feature_idx=1"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=0"),
        (b"cat_threshold=", b"cat_threshold=1 "),
    ],
)
def test_a_text_of_lightgbms_whose_parts_do_not_fit_is_refused_before_the_library_ends_the_process(line, replaced):
    frame, _, y, _ = rows_from_elsewhere()
    data, _ = trained("lightgbm", frame, y)
    assert line in data
    changed = data.replace(line, replaced, 1)
    sizes = data[data.index(b"tree_sizes=") :].partition(b"\n")[0]
    first = int(sizes.removeprefix(b"tree_sizes=").split()[0])
    grown = len(replaced) - len(line) if data.index(line) > data.index(b"Tree=0") else 0
    if line != b"Tree=1\n":
        changed = changed.replace(sizes, sizes.replace(b"%d" % first, b"%d" % (first + grown), 1))
    with pytest.raises(ValueError, match="it is damaged"):
        IMPORTABLE["lightgbm"].imported(changed, TABLE, {})


def with_sizes(text):
    """A text of LightGBM's with the lengths of its trees made right again."""
    head, _, body = text.partition("\n\n")
    starts = [found.start() for found in re.finditer("Tree=", body)] + [body.index("end of trees")]
    sizes = " ".join(str(b - a) for a, b in pairwise(starts))
    return (re.sub(r"tree_sizes=[^\n]*", f"tree_sizes={sizes}", head) + "\n\n" + body).encode()


def line_of(text, name):
    return re.search(rf"^{name}=[^\n]*$", text, re.MULTILINE)[0]


LISTS = (
    *("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child"),
    *("leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count"),
    *("cat_boundaries", "cat_threshold", "leaf_const", "num_features", "leaf_features", "leaf_coeff"),
)


@pytest.fixture(scope="module")
def lines_in_leaves():
    """A text of LightGBM's with every list that there is: trees of categories and of lines."""
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), rng.integers(0, 5, 300)])
    y = X[:, 0] ** 2 + (X[:, 1] == 2)
    params = {"verbosity": -1, "num_threads": 1, "linear_tree": True, "min_data_per_group": 5, "num_leaves": 6}
    return lightgbm.train(params, lightgbm.Dataset(X, y, categorical_feature=[1]), 2).model_to_string()


@pytest.mark.parametrize("change", [lambda line: line + " 1", lambda line: re.sub(r" ?[^ =]+ *$", "", line)])
@pytest.mark.parametrize("name", LISTS)
def test_no_list_of_lightgbms_has_a_value_more_or_less_than_belongs_to_it(lines_in_leaves, name, change):
    lightgbm_text.refuse_damaged(with_sizes(lines_in_leaves))
    head, _, last = lines_in_leaves.rpartition("Tree=")  # of which the leaves have lines
    line = line_of(last, name)
    changed = with_sizes(head + "Tree=" + last.replace(line, change(line), 1))
    assert changed != with_sizes(lines_in_leaves)
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        lightgbm_text.refuse_damaged(changed)


@pytest.mark.parametrize(
    ("line", "replaced"),
    [
        ("num_class=1", "num_class=3"),
        ("num_class=1", "num_class=0"),
        ("num_class=1\nnum_tree_per_iteration=1", "num_class=2\nnum_tree_per_iteration=2"),  # with 3 trees
        ("objective=regression", "objective="),
        ("objective=regression", "objective=multiclass num_class:7"),
        ("num_class=1", "num_class=1\nnum_class=1"),
        ("label_index=0", "label_index=0\rnum_class=9"),
        ("end of parameters", ""),
        ("[boosting: gbdt]", "[boosting"),
        ("shrinkage=1\n", "shrinkage=1\n" + "".join(f"extra_{chr(97 + i)}=1\n" for i in range(20))),
    ],
)
def test_what_lightgbms_text_says_of_the_whole_fits_its_trees(line, replaced):
    lightgbm = pytest.importorskip("lightgbm")
    X = np.random.default_rng(0).normal(size=(100, 2))
    text = lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X, X[:, 0]), 3).model_to_string()
    assert line in text
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        lightgbm_text.refuse_damaged(with_sizes(text.replace(line, replaced, 1)))


@pytest.mark.parametrize(
    "change",
    [
        *(
            of_trees(lambda tree, name=name, cut=cut: tree.update({name: cut(tree[name])}))
            for name in (
                "base_weights",
                "default_left",
                "loss_changes",
                "split_conditions",
                "split_type",
                "sum_hessian",
            )
            for cut in (lambda values: values[:-1], lambda values: [*values, 0])
        ),
        of_trees(lambda tree: tree.pop("split_conditions")),
        of_trees(lambda tree: tree["tree_param"].update(num_feature="9")),
        lambda learner: learner["learner_model_param"].update(base_score="[1E0,2E0]"),
        lambda learner: learner["learner_model_param"].update(num_class="-3"),
        lambda learner: learner["objective"].update(softmax_multiclass_param={"num_class": "7"}),
        *(
            lambda learner, name=name, value=value: learner["gradient_booster"]["model"]["gbtree_model_param"].update(
                {name: value}
            )
            for name, value in (("num_trees", "1"), ("num_parallel_tree", "0"), ("num_parallel_tree", "1000"))
        ),
        lambda learner: learner["gradient_booster"]["model"]["cats"]["feature_segments"].pop(),
        lambda learner: learner["gradient_booster"]["model"]["cats"].update(sorted_idx=[10**6]),
    ],
)
def test_no_list_of_xgboosts_has_another_length_than_belongs_to_it(change):
    content = xgboosts_json()
    xgboost_file.refuse_damaged(json.dumps(content).encode())
    change(content["learner"])
    with pytest.raises(ValueError, match=r"^it is damaged$"):
        xgboost_file.refuse_damaged(json.dumps(content).encode())


# As it is for its owner


def stopped_early(n_classes, **params):
    """A model of XGBoost's own estimators that was stopped early, its predictions, and how many rounds there are."""
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    value = X[:, 0] + rng.normal(size=300)
    y = np.digitize(value, np.linspace(-0.5, 0.5, n_classes - 1)) if n_classes else value
    kind = xgboost.XGBClassifier if n_classes else xgboost.XGBRegressor
    own = {"n_estimators": 60, "early_stopping_rounds": 6, "learning_rate": 0.5, "n_jobs": 1, "random_state": 0}
    model = kind(**own | params).fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])], verbose=False)
    expected = model.predict_proba(X) if n_classes else model.predict(X)[:, None]
    booster = model.get_booster()
    return bytes(booster.save_raw("json")), X, expected, model.best_iteration, booster.num_boosted_rounds()


NUMBERS = tuple(Field(f"f{i}", "number", i) for i in range(3))


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_a_model_that_xgboost_stopped_early_predicts_with_the_rounds_up_to_its_best(n_classes, booster):
    data, X, expected, best, n_rounds = stopped_early(n_classes, booster=booster)
    assert best + 1 < n_rounds
    base = IMPORTABLE["xgboost"].imported(data, Table(NUMBERS, tuple(range(n_classes))), {})
    np.testing.assert_allclose(base.predict(X), expected, atol=1e-6)
    assert base.notes[0] == (
        f"the model predicts with the first {best + 1} of its {n_rounds} rounds of trees, as XGBoost's own estimators "
        f"do with a model that was stopped early (best_iteration {best})"
    )
    assert base.agrees(data, X)
    restored = KINDS["xgboost"].restore(base.to_arrays(), base.estimator)
    np.testing.assert_array_equal(restored.predict(X), base.predict(X))
    assert restored.n_rounds() == best + 1


@pytest.mark.parametrize("best", ["60", "-1", "many", ""])
def test_a_best_round_that_xgboosts_file_does_not_have_is_damage(best):
    content = json.loads(stopped_early(0)[0])
    content["learner"]["attributes"]["best_iteration"] = best
    with pytest.raises(ValueError, match=rf"^its best_iteration is {best}, and it has \d+ rounds$"):
        IMPORTABLE["xgboost"].imported(json.dumps(content).encode(), Table(NUMBERS), {})


@EVERY_LIBRARY
def test_a_base_agrees_with_its_librarys_own_predict_and_not_with_that_of_another_model(name):
    frame, X, y, codes = rows_from_elsewhere()
    for target, classes, params in ((y, (), {}), (codes, CLASSES, of_classes(name))):
        others = (target + 1) % 3 if classes else 2 * target + 1
        if classes and name == "catboost":  # which knows the classes by their names
            named = [np.array(CLASSES)[each] for each in (target, others)]
        else:
            named = [target, others]
        data, other = (trained(name, frame, each, **params)[0] for each in named)
        base = IMPORTABLE[name].imported(data, replace(TABLE, classes=classes), {})
        assert base.agrees(data, X) is True
        assert base.agrees(other, X) is False


@EVERY_LIBRARY
def test_what_is_said_of_an_import_are_its_trees_and_columns_that_are_known_by_their_place_alone(name):
    frame, X, y, _ = rows_from_elsewhere()
    data, _ = trained(name, frame, y)
    base = IMPORTABLE[name].imported(data, TABLE, {})
    assert base.notes == (f"the model predicts with all its {base.n_rounds()} boosting rounds",)
    library = pytest.importorskip(name)
    if name == "lightgbm":
        numbered = library.train({"verbose": -1, "num_threads": 1}, library.Dataset(X[:, 1:], y), 2)
        data, first, second = numbered.model_to_string().encode(), "Column_0", "Column_1"
    elif name == "xgboost":
        numbered = library.train({"nthread": 1}, library.DMatrix(X[:, 1:], label=y), 2)
        data, first, second = bytes(numbered.save_raw("ubj")), "f0", "f1"
    else:
        own = {"iterations": 2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
        data, first, second = as_cbm(library.CatBoostRegressor(**own).fit(X[:, 1:], y)), "0", "1"
    base = IMPORTABLE[name].imported(data, replace(TABLE, fields=TABLE.fields[1:]), {})
    assert base.notes[1:] == (
        f"the model has no feature names: the columns are used in order, {first} is 'size', {second} is 'new'",
    )


@EVERY_LIBRARY
def test_what_a_library_has_to_say_reaches_neither_stream(name, capfd):
    """Not when it learns, is read or predicts, in this thread or in another."""
    X, y, problem = make_rows(60, REGRESSION)
    base = ESTIMATORS[name].fit(X, y, None, problem, FEW)
    KINDS[name].restore(base.to_arrays(), base.estimator).predict(X)
    base.represent(X)
    frame, _, y, _ = rows_from_elsewhere()
    data, _ = trained(name, frame, y)
    capfd.readouterr()
    IMPORTABLE[name].imported(data, TABLE, {}).predict(np.zeros((3, 3)))
    with pytest.raises((UsageError, ValueError)):
        IMPORTABLE[name].imported(data[:-200], replace(TABLE, classes=CLASSES), {})
    assert capfd.readouterr() == ("", "")


def test_what_lightgbm_refuses_of_targets_it_says_once(capfd):
    """It writes its refusals to the error stream as well."""
    pytest.importorskip("lightgbm")
    X, y, problem = make_rows(60, REGRESSION)
    with pytest.raises(UsageError, match="at least one target label is negative"):
        ESTIMATORS["lightgbm"].fit(X, y - 9, None, problem, FEW | {"objective": "poisson"})
    assert capfd.readouterr() == ("", "")
