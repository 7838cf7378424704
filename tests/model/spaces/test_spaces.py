"""What it means for two rows to be near each other."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model import spaces
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.bases.sensitivity import sensitivity
from resmem_cli.model.scaling import Encoded, Scaler
from resmem_cli.model.spaces.protocol import fits_single_precision
from tests.model.examples import (
    BINARY,
    EVERY_TASK,
    LEARNED,
    MULTICLASS,
    REGRESSION,
    fit_space,
    make_rows,
    quick_base,
    rows_of,
    training_of,
)

OF_THEIR_OWN = [name for name in ESTIMATORS if name != "constant"]
NAMES = ("features", "sensitivity", "model", *LEARNED)
EVERY_NAME = pytest.mark.parametrize("name", NAMES)


# Which there are


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_base_allows_all_that_need_no_training_and_that_it_has_a_say_in(name):
    X, y, problem = make_rows(60, BINARY)
    expected = ("features", *(("sensitivity", "model") if name in OF_THEIR_OWN else ()))
    assert spaces.untrained_names(quick_base(name, X, y, problem), X, problem) == expected


@pytest.mark.parametrize(
    "name", ["feature", "features:", "model:deep", "column", "learned", "learned:", "learned:deep", ""]
)
def test_a_name_that_there_is_not_is_refused(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base("linear", X, y, problem)
    space = fit_space("features", base, X, y, problem)
    with pytest.raises(ValueError, match=f"there is no representation '{name}'"):
        fit_space(name, base, X, y, problem)
    with pytest.raises(ValueError, match=f"there is no representation '{name}'"):
        spaces.restore(name, {**space.to_arrays(), "unit": np.array([0.0, 1.0])})


# What each is


def test_features_are_the_normal_scores_whatever_the_base():
    X, y, problem = make_rows(60, BINARY)
    expected = Scaler.fit(X, problem.n_categories, "normal").transform(X)
    for name in ESTIMATORS:
        base = quick_base(name, X, y, problem)
        space = fit_space("features", base, X, y, problem)
        np.testing.assert_array_equal(space.represent(Encoded(X), base, base.predict(X)).points, expected)


def test_no_column_of_the_features_outweighs_the_others():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=500) * 1e6, rng.lognormal(size=500), rng.random(500)])
    y, problem = np.zeros(500), Problem((0, 0, 0), 0, 0)
    base = quick_base("constant", X, y, problem)
    points = fit_space("features", base, X, y, problem).represent(Encoded(X), base, base.predict(X)).points
    np.testing.assert_allclose(points.std(axis=0), 1, atol=0.05)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sensitivity_is_the_features_in_proportion_to_how_far_their_columns_move_the_base(estimator):
    X, y, problem = make_rows(80, MULTICLASS)
    base = quick_base(estimator, X, y, problem)
    space = fit_space("sensitivity", base, X, y, problem)
    features = Scaler.fit(X, problem.n_categories, "normal")
    moved = sensitivity(base, X, problem, np.random.default_rng(problem.seed))
    expected = features.transform(X) * (moved + 0.1)[features.sources].astype(np.float32)
    np.testing.assert_allclose(space.represent(Encoded(X), base, base.predict(X)).points, expected, rtol=1e-6)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_the_models_representation_is_what_the_base_computes(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base(name, X, y, problem)
    space = fit_space("model", base, X, y, problem)
    np.testing.assert_array_equal(space.represent(Encoded(X), base, base.predict(X)).points, base.represent(X))


def test_a_base_without_a_representation_of_its_own_says_what_to_choose():
    X, y, problem = make_rows(60, BINARY)
    base = quick_base("constant", X, y, problem)
    with pytest.raises(UsageError) as refused:
        fit_space("model", base, X, y, problem).represent(Encoded(X), base, base.predict(X))
    assert str(refused.value) == (
        "this base has no representation of its own; choose another --representation, for example features"
    )


@EVERY_NAME
@EVERY_TASK
def test_equal_rows_have_equal_representations_wherever_they_stand(name, n_classes):
    """A cell is made of rows that are equal to the last bit, and the graph loses rows that are nearly equal."""
    X, y, problem = make_rows(120, n_classes)
    base = quick_base("mlp", X, y, problem)
    space = fit_space(name, base, X, y, problem)

    def represented(rows):
        return space.represent(Encoded(rows), base, base.predict(rows)).points

    many = represented(np.tile(X, (11, 1))).reshape(11, len(X), -1)
    assert many.dtype == np.float32
    np.testing.assert_array_equal(many, np.broadcast_to(many[0], many.shape))
    np.testing.assert_array_equal(represented(X[5:12]), many[0, 5:12])
    np.testing.assert_array_equal(represented(X[3:4]), many[0, 3:4])


@EVERY_NAME
@EVERY_TASK
def test_a_restored_representation_is_the_same(name, n_classes):
    X, y, problem = make_rows(60, n_classes)
    base = quick_base("mlp", X, y, problem)
    space = fit_space(name, base, X, y, problem)
    restored = spaces.restore(name, space.to_arrays())
    assert restored.name == space.name == name
    assert restored.to_arrays().keys() == space.to_arrays().keys()
    fresh = make_rows(30, n_classes, seed=1)[0]
    predictions = base.predict(fresh)
    found, expected = (each.represent(Encoded(fresh), base, predictions) for each in (restored, space))
    np.testing.assert_array_equal(found.points, expected.points)
    assert (found.trend is None) == (expected.trend is None)
    if expected.trend is not None:
        np.testing.assert_array_equal(found.trend, expected.trend)


# What they are fitted to


@EVERY_NAME
@EVERY_TASK
def test_rows_outside_the_training_rows_change_nothing(name, n_classes):
    X, y, problem = make_rows(100, n_classes)
    training = np.setdiff1d(np.arange(100), np.arange(0, 100, 5))
    changed, moved = (y + 1) % (n_classes or np.inf), X * 3
    changed[training], moved[training] = y[training], X[training]
    first, second = (
        spaces.fit(name, training_of(rows.take(training), problem), "in-sample").to_arrays()
        for rows in (rows_of(X, y), rows_of(moved, changed))
    )
    assert not (y == changed).all()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


@pytest.mark.parametrize("name", ["features", "sensitivity", "model"])
def test_only_a_learned_one_looks_at_labels(name):
    X, y, problem = make_rows(60, REGRESSION)
    base = quick_base("linear", X, y, problem)
    first, second = (fit_space(name, base, X, labels, problem).to_arrays() for labels in (y, y[::-1] * 9))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])
    learned = (fit_space(LEARNED[0], base, X, labels, problem).to_arrays() for labels in (y, y[::-1] * 9))
    assert len({arrays["encoder_scale"].tobytes() for arrays in learned}) == 2


def test_only_a_learned_one_looks_at_the_kind_of_residuals(parrot):
    X, y, problem = make_rows(60, REGRESSION)
    training = training_of(rows_of(X, y), problem, estimator=parrot)
    for name in ("features", "sensitivity"):
        first, second = (spaces.fit(name, training, kind).to_arrays() for kind in ("in-sample", "cross-fitted"))
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key])


# Of many columns


def wide_rows(n_columns: int) -> tuple[Floats, Floats, Problem]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, n_columns))
    return X, X[:, 0], Problem((0,) * n_columns, 0, 0, {"v": (0, n_columns)})


def test_of_many_columns_there_is_neither_their_sensitivity_nor_the_terms_of_a_linear_model():
    X, y, problem = wide_rows(201)
    assert spaces.untrained_names(quick_base("linear", X, y, problem), X, problem) == ("features", "column:v")
    assert spaces.untrained_names(quick_base("mlp", X, y, problem), X, problem) == ("features", "model", "column:v")
    X, y, problem = wide_rows(200)
    names = spaces.untrained_names(quick_base("linear", X, y, problem), X, problem)
    assert names == ("features", "sensitivity", "model", "column:v")


@pytest.mark.parametrize("name", ["features", "column:v", "learned:mlp", "learned:periodic"])
def test_of_many_columns_the_points_have_few_and_are_restored(name):
    X, y, problem = wide_rows(201)
    base = quick_base("linear", X, y, problem)
    space = fit_space(name, base, X, y, problem)
    points = space.represent(Encoded(X), base, base.predict(X)).points
    assert points.shape == (80, 48 if name.startswith("learned") else 64)
    assert space.belongs(problem, points.shape[1])
    assert not space.belongs(problem, 201)
    restored = spaces.restore(name, space.to_arrays())
    np.testing.assert_array_equal(restored.represent(Encoded(X), base, base.predict(X)).points, points)


@pytest.mark.parametrize("factor", [1e-24, 1e21])
def test_where_distances_would_not_fit_single_precision_a_space_is_left_out(factor):
    X, y, problem = make_rows(300, REGRESSION)
    base = ESTIMATORS["boosting"].fit(X, factor * y, None, problem, {"max_iter": 20})
    assert spaces.untrained_names(base, X, problem) == ("features", "sensitivity")
    vectors = Problem((0, 0), REGRESSION, 0, {"v": (0, 2)})
    rows = np.random.default_rng(0).normal(size=(300, 2))
    line = ESTIMATORS["linear"].fit(rows, rows[:, 0], None, vectors, {})
    assert "column:v" in spaces.untrained_names(line, rows, vectors)
    assert "column:v" not in spaces.untrained_names(line, factor * rows, vectors)


def test_infinite_points_do_not_fit_single_precision_and_missing_ones_do_not_count():
    points = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    points[3] = np.nan
    assert fits_single_precision(points)
    assert fits_single_precision(points[[3]])
    points[4, 0] = np.inf
    assert not fits_single_precision(points)


def test_a_short_vector_is_its_own_point():
    X, y, problem = wide_rows(200)
    base = quick_base("linear", X, y, problem)
    points = fit_space("column:v", base, X, y, problem).represent(Encoded(X), base, base.predict(X)).points
    np.testing.assert_array_equal(points, X.astype(np.float32))
