"""What it means for two rows to be near each other."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model import learning, parallel, representation
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.encoder import KINDS
from resmem_cli.model.features import FeatureSpace
from resmem_cli.model.kernel import residuals
from resmem_cli.model.representation import Fitting
from tests.model.examples import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    TASKS,
    fit_representation,
    make_rows,
    one_hot,
    quick_base,
    quick_recipe,
    rows_of,
)

OF_THEIR_OWN = [name for name in ESTIMATORS if name != "constant"]
LEARNED = tuple(f"learned:{kind}" for kind in KINDS)
NAMES = ("features", "sensitivity", "model", *LEARNED)
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)
EVERY_NAME = pytest.mark.parametrize("name", NAMES)
EVERY_LEARNED = pytest.mark.parametrize("name", LEARNED)


def fitting_of(rows, problem: Problem, *, estimator="linear", fixed=None, n_steps=3) -> Fitting:
    base = quick_base(estimator, rows.X, rows.y, problem, rows.weight) if fixed is None else fixed
    return Fitting(rows, base, quick_recipe(estimator, problem, fixed), n_steps, threads=1)


# Which there are


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_base_allows_all_but_a_representation_of_its_own_which_some_have(name):
    X, y, problem = make_rows(60, BINARY)
    expected = tuple(space for space in NAMES if space != "model" or name in OF_THEIR_OWN)
    assert representation.available(quick_base(name, X, y, problem), X) == expected


@pytest.mark.parametrize("name", ["feature", "learned", "learned:", "learned:deep", ""])
def test_a_name_that_there_is_not_is_refused(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base("linear", X, y, problem)
    space = fit_representation("features", base, X, y, problem)
    with pytest.raises(ValueError, match=f"there is no representation '{name}'"):
        fit_representation(name, base, X, y, problem)
    with pytest.raises(ValueError, match=f"there is no representation '{name}'"):
        representation.restore(name, {**space.to_arrays(), "unit": np.array([0.0, 1.0])})


# What each is


def test_features_are_the_normal_scores_whatever_the_base():
    X, y, problem = make_rows(60, BINARY)
    expected = FeatureSpace.fit(X, problem.n_categories, "normal").transform(X)
    for name in ESTIMATORS:
        base = quick_base(name, X, y, problem)
        space = fit_representation("features", base, X, y, problem)
        np.testing.assert_array_equal(space.represent(X, base, base.predict(X)), expected)


def test_no_column_of_the_features_outweighs_the_others():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=500) * 1e6, rng.lognormal(size=500), rng.random(500)])
    y, problem = np.zeros(500), Problem((0, 0, 0), 0, 0)
    base = quick_base("constant", X, y, problem)
    spreads = fit_representation("features", base, X, y, problem).represent(X, base, base.predict(X)).std(axis=0)
    np.testing.assert_allclose(spreads, 1, atol=0.05)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sensitivity_is_the_features_in_proportion_to_how_far_their_columns_move_the_base(estimator):
    X, y, problem = make_rows(80, MULTICLASS)
    base = quick_base(estimator, X, y, problem)
    space = fit_representation("sensitivity", base, X, y, problem)
    features = FeatureSpace.fit(X, problem.n_categories, "normal")
    moved = learning.sensitivity(base, X, np.random.default_rng(problem.seed))
    expected = features.transform(X) * (moved + 0.1)[features.sources].astype(np.float32)
    np.testing.assert_allclose(space.represent(X, base, base.predict(X)), expected, rtol=1e-6)


@EVERY_LEARNED
@EVERY_TASK
def test_a_learned_one_starts_from_the_sensitivity(name, n_classes):
    X, y, problem = make_rows(80, n_classes)
    base = quick_base("linear", X, y, problem)
    space = fit_representation(name, base, X, y, problem, n_steps=0)
    moved = learning.sensitivity(base, X, np.random.default_rng(problem.seed))
    expected = learning.starting_scale(moved, space.space.sources, problem.n_outputs)
    lengths = expected / space.encoder.weights["scale"]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_the_models_representation_is_what_the_base_computes(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base(name, X, y, problem)
    space = fit_representation("model", base, X, y, problem)
    np.testing.assert_array_equal(space.represent(X, base, base.predict(X)), base.represent(X))


def test_a_base_without_a_representation_of_its_own_says_what_to_choose():
    X, y, problem = make_rows(60, BINARY)
    base = quick_base("constant", X, y, problem)
    with pytest.raises(UsageError) as refused:
        fit_representation("model", base, X, y, problem).represent(X, base, base.predict(X))
    assert str(refused.value) == (
        "this base has no representation of its own; choose another --representation, for example features"
    )


@EVERY_LEARNED
@EVERY_TASK
def test_a_learned_one_encodes_the_features_and_the_prediction_beside_them(name, n_classes):
    X, y, problem = make_rows(80, n_classes)
    base = quick_base("linear", X, y, problem)
    space = fit_representation(name, base, X, y, problem)
    features = FeatureSpace.fit(X, problem.n_categories, "normal").transform(X)
    predictions = base.predict(X)
    predictions[0] = 1e9 if n_classes == 0 else [0.0] * (n_classes - 1) + [1.0]  # is kept within bounds
    if n_classes == 0:
        beside = np.clip((predictions - y.mean()) / y.std(), -4, 4)
    else:
        beside = np.log(np.clip(predictions, 1e-3, 1)) / 2
    codes = space.encoder.encode(np.hstack([features, beside]).astype(np.float32))
    np.testing.assert_allclose(space.represent(X, base, predictions), codes, rtol=1e-4, atol=1e-5)
    assert codes.shape[1] == features.shape[1] + problem.n_outputs + (0 if name == "learned:diagonal" else 24)


@EVERY_NAME
@EVERY_TASK
def test_equal_rows_have_equal_representations_wherever_they_stand(name, n_classes):
    """A cell is made of rows that are equal to the last bit, and the graph loses rows that are nearly equal."""
    X, y, problem = make_rows(120, n_classes)
    base = quick_base("mlp", X, y, problem)
    space = fit_representation(name, base, X, y, problem)

    def represented(rows):
        return space.represent(rows, base, base.predict(rows))

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
    space = fit_representation(name, base, X, y, problem)
    restored = representation.restore(name, space.to_arrays())
    assert restored.name == space.name == name
    assert restored.to_arrays().keys() == space.to_arrays().keys()
    fresh = make_rows(30, n_classes, seed=1)[0]
    predictions = base.predict(fresh)
    np.testing.assert_array_equal(
        restored.represent(fresh, base, predictions), space.represent(fresh, base, predictions)
    )


# What they are fitted to


@EVERY_NAME
@EVERY_TASK
def test_rows_outside_the_training_rows_change_nothing(name, n_classes):
    X, y, problem = make_rows(100, n_classes)
    training = np.setdiff1d(np.arange(100), np.arange(0, 100, 5))
    changed, moved = (y + 1) % (n_classes or np.inf), X * 3
    changed[training], moved[training] = y[training], X[training]
    first, second = (
        fitting_of(rows.take(training), problem).fit(name).to_arrays()
        for rows in (rows_of(X, y), rows_of(moved, changed))
    )
    assert not (y == changed).all()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


@pytest.mark.parametrize("name", ["features", "sensitivity", "model"])
def test_only_a_learned_one_looks_at_labels(name):
    X, y, problem = make_rows(60, REGRESSION)
    base = quick_base("linear", X, y, problem)
    first, second = (fit_representation(name, base, X, labels, problem).to_arrays() for labels in (y, y[::-1] * 9))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])
    learned = (fit_representation(LEARNED[0], base, X, labels, problem).to_arrays() for labels in (y, y[::-1] * 9))
    assert len({arrays["encoder_scale"].tobytes() for arrays in learned}) == 2


@EVERY_LEARNED
def test_the_same_seed_learns_the_same_whatever_was_learned_before(name):
    X, y, problem = make_rows(80, BINARY)
    fitting = fitting_of(rows_of(X, y), problem)
    fitted = {other: fitting.fit(other) for other in (*LEARNED[::-1], "features")}
    alone = fitting_of(rows_of(X, y), problem).fit(name).to_arrays()
    for key, value in fitted[name].to_arrays().items():
        np.testing.assert_array_equal(value, alone[key])
    other = fitting_of(rows_of(X, y), replace(problem, seed=8)).fit(name).to_arrays()
    assert (other["encoder_scale"] != alone["encoder_scale"]).any()


def test_the_number_of_threads_changes_nothing(monkeypatch):
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 200)
    X, y, problem = make_rows(200, REGRESSION)
    one = fitting_of(rows_of(X, y), problem)
    for first, second in zip(one.lessons, replace(one, threads=2).lessons, strict=True):
        for key in ("memory", "residuals", "queries", "predictions", "targets"):
            np.testing.assert_array_equal(getattr(first, key), getattr(second, key))


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY])
@pytest.mark.parametrize("n_rows", [2, 3, 9])
def test_few_rows_suffice_to_learn_from(n_rows, n_classes):
    X, y, problem = make_rows(n_rows, n_classes)
    for name in LEARNED:
        arrays = fitting_of(rows_of(X, y), problem, estimator="constant").fit(name).to_arrays()
        assert all(np.isfinite(value).all() for value in arrays.values())


def test_rows_with_the_same_label_are_no_obstacle():
    X, _, problem = make_rows(40, REGRESSION)
    arrays = fitting_of(rows_of(X, np.full(40, 2.5)), problem).fit("learned:mlp").to_arrays()
    assert arrays["unit"].tolist() == [2.5, 1.0]
    assert all(np.isfinite(value).all() for value in arrays.values())


def test_progress_is_reported():
    X, y, problem = make_rows(40, REGRESSION)
    said: list[str] = []
    replace(fitting_of(rows_of(X, y), problem, n_steps=50), report=said.append).fit("learned:linear")
    assert said == [
        "training the linear encoder", "fitting 4 bases to learn from", "training the encoder: step 50 of 50"
    ]  # fmt: skip


# Lessons


def rows_of_inputs(inputs, fitting: Fitting, X) -> list[int]:
    """The rows that a lesson holds, which their first column tells apart."""
    return [np.flatnonzero(fitting.space.transform(X)[:, 0] == value).item() for value in inputs[:, 0]]


@EVERY_TASK
def test_every_row_is_asked_once_of_a_base_and_a_memory_of_the_others(n_classes):
    X, y, problem = make_rows(90, n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 3, 90)
    fitting = fitting_of(rows_of(X, y, weight=weight), problem)
    unit = np.array([y.mean(), y.std()]) if n_classes == 0 else np.array([0.0, 1.0])
    asked_in_all = []
    assert len(fitting.lessons) == 4
    for lesson in fitting.lessons:
        asked, known = (rows_of_inputs(inputs, fitting, X) for inputs in (lesson.queries, lesson.memory))
        assert sorted(asked + known) == list(range(90))
        base = quick_base("linear", X[known], y[known], problem, weight[known])
        space, of_asked, of_known = fitting.space, base.predict(X[asked]), base.predict(X[known])
        np.testing.assert_allclose(lesson.predictions, of_asked / unit[1], rtol=1e-5)
        np.testing.assert_allclose(lesson.targets, one_hot(y[asked], problem.n_outputs) / unit[1], rtol=1e-6)
        np.testing.assert_allclose(lesson.residuals, residuals(y[known], of_known) / unit[1], rtol=1e-4, atol=1e-6)
        for inputs, rows, predictions in ((lesson.queries, asked, of_asked), (lesson.memory, known, of_known)):
            features = space.transform(X[rows])
            np.testing.assert_array_equal(inputs[:, : features.shape[1]], features)
            scaled = (predictions - unit[0]) / unit[1] if n_classes == 0 else np.log(np.maximum(predictions, 1e-3)) / 2
            np.testing.assert_allclose(inputs[:, features.shape[1] :], scaled, rtol=1e-5, atol=1e-6)
        asked_in_all += asked
    assert sorted(asked_in_all) == list(range(90))


def test_a_fixed_base_is_asked_about_new_rows_only_and_remembers_the_others_too():
    X, y, problem = make_rows(90, REGRESSION)
    is_new = np.arange(90) % 3 == 0
    fixed = quick_base("linear", X[~is_new], y[~is_new], problem)
    fitting = fitting_of(rows_of(X, y, is_new=is_new), problem, fixed=fixed)
    asked = [rows_of_inputs(lesson.queries, fitting, X) for lesson in fitting.lessons]
    assert sorted(itertools.chain(*asked)) == np.flatnonzero(is_new).tolist()
    left = residuals(y, fixed.predict(X)) / y.std()
    for lesson, rows in zip(fitting.lessons, asked, strict=True):
        np.testing.assert_allclose(lesson.predictions, fixed.predict(X[rows]) / y.std(), rtol=1e-5)
        assert len(lesson.memory) in (67, 68)  # of all rows a quarter is left out
        assert all(np.abs(left - own).min() < 1e-5 for own in lesson.residuals[:, 0])
        assert not np.isin(left[rows].astype(np.float32), lesson.residuals).any()


def test_a_lesson_without_a_new_row_is_left_out():
    X, y, problem = make_rows(60, REGRESSION)
    fixed = quick_base("linear", X[1:], y[1:], problem)
    fitting = fitting_of(rows_of(X, y, is_new=np.arange(60) < 1), problem, fixed=fixed)
    assert [rows_of_inputs(lesson.queries, fitting, X) for lesson in fitting.lessons] == [[0]]


def test_weights_say_how_likely_a_row_is_asked_and_without_them_all_are_equally():
    X, y, problem = make_rows(80, REGRESSION)
    weight = np.random.default_rng(0).uniform(0.5, 3, 80)
    weighted = fitting_of(rows_of(X, y, weight=weight), problem)
    for lesson in weighted.lessons:
        own = weight[rows_of_inputs(lesson.queries, weighted, X)]
        np.testing.assert_allclose(lesson.weight, own / own.sum())
    assert all(lesson.weight is None for lesson in fitting_of(rows_of(X, y), problem).lessons)


def test_of_very_many_rows_lessons_are_drawn_from_a_part(monkeypatch):
    monkeypatch.setattr(representation, "_MOST_LESSON_ROWS", 50)
    X, y, problem = make_rows(80, REGRESSION)
    fitting = fitting_of(rows_of(X, y), problem)
    asked = [row for lesson in fitting.lessons for row in rows_of_inputs(lesson.queries, fitting, X)]
    assert len(asked) == len(set(asked)) == 50
    assert max(asked) > 50
    assert {len(lesson.memory) + len(lesson.queries) for lesson in fitting.lessons} == {50}
