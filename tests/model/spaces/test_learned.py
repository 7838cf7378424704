"""The space of a trained encoder: what it learns from, where it starts, and what it makes of rows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from resmem_cli.model import parallel, spaces
from resmem_cli.model.bases import Problem
from resmem_cli.model.bases.sensitivity import sensitivity
from resmem_cli.model.kernel import residuals
from resmem_cli.model.scaling import Encoded, Scaler, mean_and_std
from resmem_cli.model.spaces import learned
from resmem_cli.model.spaces.encoder import Sizes
from resmem_cli.model.spaces.learning import Schedule
from resmem_cli.model.spaces.training import ResidualKind, Training
from tests.model.examples import (
    BINARY,
    EVERY_LEARNED,
    EVERY_TASK,
    LEARNED,
    MULTICLASS,
    REGRESSION,
    fit_space,
    make_rows,
    one_hot,
    quick_base,
    rows_of,
    training_of,
)

EVERY_KIND_OF_RESIDUALS = pytest.mark.parametrize("kind", ["in-sample", "cross-fitted"])


def encoder_folds(training: Training, kind: ResidualKind = "in-sample") -> list[learned.EncoderFold]:
    return learned.encoder_folds(training, kind, training.scaler)


@EVERY_LEARNED
@EVERY_TASK
def test_a_learned_one_starts_from_the_sensitivity(name, n_classes):
    X, y, problem = make_rows(80, n_classes)
    base = quick_base("linear", X, y, problem)
    space = fit_space(name, base, X, y, problem, n_steps=0)
    moved = sensitivity(base, X, problem, np.random.default_rng(problem.seed))
    of_predictions = [0.5] if n_classes == 0 else [0.3] * n_classes
    expected = np.array([*(moved + 0.1)[space.scaler.sources], *of_predictions], np.float32)
    np.testing.assert_array_equal(space.trained.encoder.weights["scale"], expected)


@EVERY_LEARNED
@EVERY_TASK
def test_a_learned_one_encodes_the_features_and_the_prediction_beside_them(name, n_classes):
    X, y, problem = make_rows(80, n_classes)
    base = quick_base("linear", X, y, problem)
    space = fit_space(name, base, X, y, problem)
    features = Scaler.fit(X, problem.n_categories, "normal").transform(X)
    predictions = base.predict(X)
    predictions[0] = 1e9 if n_classes == 0 else [0.0] * (n_classes - 1) + [1.0]  # is kept within bounds
    if n_classes == 0:
        beside = np.clip((predictions - y.mean()) / y.std(), -4, 4)
    else:
        beside = np.log(np.clip(predictions, 1e-3, 1)) / 2
    done = space.trained.encoder.forward(np.hstack([features, beside]).astype(np.float32))
    found = space.represent(Encoded(X), base, predictions)
    np.testing.assert_allclose(found.points * np.exp(space.trained.log_tau), done.codes, rtol=1e-4, atol=1e-4)
    scaled, made = features.shape[1] + problem.n_outputs, Sizes().codes
    n_codes = {"learned:diagonal": scaled, "learned:linear": scaled + made}.get(name, made)
    assert found.points.shape == (80, n_codes)
    if n_classes == 0:  # in the target's own units
        np.testing.assert_allclose(found.trend, done.trend * y.std(), rtol=1e-4, atol=1e-4)
    else:
        assert found.trend is None


@EVERY_LEARNED
def test_the_same_seed_learns_the_same_whatever_was_learned_before(name):
    X, y, problem = make_rows(80, BINARY)
    training = training_of(rows_of(X, y), problem)
    fitted = {other: spaces.fit(other, training, "in-sample") for other in (*LEARNED[::-1], "features")}
    alone = spaces.fit(name, training_of(rows_of(X, y), problem), "in-sample").to_arrays()
    for key, value in fitted[name].to_arrays().items():
        np.testing.assert_array_equal(value, alone[key])
    other = spaces.fit(name, training_of(rows_of(X, y), replace(problem, seed=8)), "in-sample").to_arrays()
    assert (other["encoder_scale"] != alone["encoder_scale"]).any()


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY])
@pytest.mark.parametrize("n_rows", [2, 3, 9])
def test_few_rows_suffice_to_learn_from(n_rows, n_classes):
    X, y, problem = make_rows(n_rows, n_classes)
    for name in LEARNED:
        arrays = spaces.fit(name, training_of(rows_of(X, y), problem, estimator="constant"), "in-sample").to_arrays()
        assert all(np.isfinite(value).all() for value in arrays.values())


def test_an_encoder_of_principal_components_goes_on_in_those_of_the_rows_that_it_was_begun_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 210))
    y, problem = X[:, 0], Problem((0,) * 210, 0, 0)
    before = spaces.fit("learned:linear", training_of(rows_of(X[:90], y[:90]), problem), "in-sample")
    training = training_of(rows_of(X, y), problem)
    resumed = replace(training, starts={("learned:linear", "in-sample"): before})
    found = spaces.fit("learned:linear", resumed, "in-sample").to_arrays()
    own = training.scaler.to_arrays()
    assert any(not np.array_equal(own[name], value) for name, value in before.scaler.to_arrays().items())
    for name, value in before.scaler.to_arrays().items():
        np.testing.assert_array_equal(found[name], value)


def test_an_encoder_of_as_few_principal_components_as_there_were_rows_is_begun_again_where_there_are_more():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 210))
    y, problem = X[:, 0], Problem((0,) * 210, 0, 0)
    before = spaces.fit("learned:linear", training_of(rows_of(X[:50], y[:50]), problem), "in-sample")
    training = training_of(rows_of(X, y), problem)
    assert (before.scaler.n_outputs, training.scaler.n_outputs) == (50, 64)
    found, anew = (
        spaces.fit("learned:linear", replace(training, starts=starts), "in-sample").to_arrays()
        for starts in ({("learned:linear", "in-sample"): before}, {})
    )
    assert found.keys() == anew.keys()
    for name, value in anew.items():
        np.testing.assert_array_equal(found[name], value)


def test_rows_with_the_same_label_are_no_obstacle():
    X, _, problem = make_rows(40, REGRESSION)
    arrays = spaces.fit("learned:mlp", training_of(rows_of(X, np.full(40, 2.5)), problem), "in-sample").to_arrays()
    assert arrays["unit"].tolist() == [2.5, 1.0]
    assert all(np.isfinite(value).all() for value in arrays.values())


def test_progress_is_reported():
    X, y, problem = make_rows(40, REGRESSION)
    said: list[str] = []
    spaces.fit(
        "learned:linear", replace(training_of(rows_of(X, y), problem, n_steps=50), report=said.append), "in-sample"
    )
    steps = [f"training the encoder: step {step} of 50" for step in (0, 50)]
    assert said == ["fitting 4 out-of-fold bases", *steps]


def test_an_encoder_is_trained_as_densely_as_the_schedule_says():
    X, y, problem = make_rows(6_000, REGRESSION)
    usual = training_of(rows_of(X, y), problem)
    dense = spaces.fit("learned:linear", replace(usual, schedule=Schedule(3, density=2)), "in-sample").to_arrays()
    found = spaces.fit("learned:linear", usual, "in-sample").to_arrays()
    assert (found["encoder_out"] != dense["encoder_out"]).any()
    assert (found["encoder_log_tau"] != dense["encoder_log_tau"]).any()


def test_an_encoder_that_was_begun_on_other_rows_is_trained_further_in_fewer_steps():
    X, y, problem = make_rows(120, REGRESSION)
    before = spaces.fit("learned:linear", training_of(rows_of(X[:60], y[:60]), problem, n_steps=9), "in-sample")
    said: list[str] = []
    training = replace(training_of(rows_of(X, y), problem, n_steps=150), report=said.append)
    resumed = replace(training, starts={("learned:linear", "in-sample"): before})
    found = spaces.fit("learned:linear", resumed, "in-sample").to_arrays()
    assert said[-1] == "training the encoder: step 50 of 50"
    anew = spaces.fit("learned:linear", training, "in-sample").to_arrays()
    assert said[-1] == "training the encoder: step 150 of 150"
    assert (found["encoder_out"] != anew["encoder_out"]).any()
    of_another_kind = replace(training, starts={("learned:linear", "cross-fitted"): before})
    alike = spaces.fit("learned:linear", of_another_kind, "in-sample").to_arrays()
    np.testing.assert_array_equal(alike["encoder_out"], anew["encoder_out"])


@pytest.mark.parametrize(("n_classes", "progress"), [(REGRESSION, 0.0), (3, 0.6)])
def test_it_goes_on_from_the_end_of_a_training_of_numbers_and_from_three_fifths_of_one_of_classes(n_classes, progress):
    X, y, problem = make_rows(120, n_classes)
    before = spaces.fit("learned:linear", training_of(rows_of(X[:60], y[:60]), problem, n_steps=10), "in-sample")
    assert before.checkpoint.progress == progress
    training = replace(training_of(rows_of(X, y), problem, n_steps=0), starts={("learned:linear", "in-sample"): before})
    found = spaces.fit("learned:linear", training, "in-sample")
    for name, value in before.checkpoint.neighbourhood.to_arrays().items():
        np.testing.assert_array_equal(found.trained.to_arrays()[name], value, err_msg=name)


def test_the_number_of_threads_changes_nothing(monkeypatch):
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 200)
    X, y, problem = make_rows(200, REGRESSION)
    one = training_of(rows_of(X, y), problem)
    for first, second in zip(encoder_folds(one), encoder_folds(replace(one, threads=2)), strict=True):
        for key in ("memory", "residuals", "queries", "predictions", "targets"):
            np.testing.assert_array_equal(getattr(first, key), getattr(second, key))


@EVERY_LEARNED
def test_an_encoder_learns_from_the_kind_of_residuals_that_it_is_asked_for(name, parrot):
    """From those of a base that repeats its classes it learns nothing: they are all 0."""
    X, y, problem = make_rows(80, BINARY)
    training = training_of(rows_of(X, y), problem, estimator=parrot, n_steps=8)
    start = replace(training, schedule=Schedule(0))
    scales = {
        kind: [spaces.fit(name, each, kind).trained.encoder.weights["scale"] for each in (training, start)]
        for kind in ("in-sample", "cross-fitted")
    }
    moved = {kind: np.ptp(trained / untrained) for kind, (trained, untrained) in scales.items()}
    assert moved["cross-fitted"] > 10 * moved["in-sample"]


# Where it starts


@pytest.mark.parametrize(("n_classes", "of_each"), [(REGRESSION, [0.5]), (3, [0.3, 0.3, 0.3])])
def test_the_first_scale_is_the_sensitivity_of_each_features_column_and_then_the_predictions(n_classes, of_each):
    X, y, problem = make_rows(60, n_classes)
    training = training_of(rows_of(X, y), problem)
    vars(training)["_sensitivity"] = np.array([1.0, 0.0, 0.4])
    vars(training)["scaler"] = SimpleNamespace(sources=np.array([0, 2, 0, 1, 1, 1]))
    scale = learned._starting_scale(training)
    np.testing.assert_allclose(scale, [1.1, 0.5, 1.1, 0.1, 0.1, 0.1, *of_each], rtol=1e-6)
    assert scale.dtype == np.float32


def test_the_first_scale_has_a_place_for_every_feature():
    X, y, problem = make_rows(80, MULTICLASS)  # numbers, a category, a number that is sometimes missing
    training = training_of(rows_of(X, y), problem)
    assert len(learned._starting_scale(training)) == training.scaler.transform(X).shape[1] + 4
    empty = training_of(rows_of(X[:, :0], y), Problem((), 0, 0), estimator="constant")
    assert len(learned._starting_scale(empty)) == 1


# EncoderFolds


def rows_of_inputs(inputs, training: Training, X) -> list[int]:
    """The rows that a lesson holds, which their first column tells apart."""
    return [np.flatnonzero(training.scaler.transform(X)[:, 0] == value).item() for value in inputs[:, 0]]


@EVERY_TASK
@EVERY_KIND_OF_RESIDUALS
def test_every_row_is_asked_once_of_a_base_and_a_memory_of_the_others(n_classes, kind):
    """What is remembered is what that base left, or, cross-fitted, what the base left that has not seen the row."""
    X, y, problem = make_rows(90, n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 3, 90)
    training = training_of(rows_of(X, y, weight=weight), problem)
    scaler, every = training.scaler, encoder_folds(training, kind)
    target_scale = np.array(mean_and_std(y, weight)) if n_classes == 0 else np.array([0.0, 1.0])
    queries = [rows_of_inputs(lesson.queries, training, X) for lesson in every]
    assert len(every) == 4
    assert sorted(itertools.chain(*queries)) == list(range(90))
    unseen = np.empty((90, problem.n_outputs))
    bases = []
    for asked in queries:
        others = np.setdiff1d(np.arange(90), asked)
        bases.append(quick_base("linear", X[others], y[others], problem, weight[others]))
        unseen[asked] = bases[-1].predict(X[asked])
    for lesson, asked, base in zip(every, queries, bases, strict=True):
        known = rows_of_inputs(lesson.memory, training, X)
        assert sorted(asked + known) == list(range(90))
        of_asked, of_known = base.predict(X[asked]), base.predict(X[known]) if kind == "in-sample" else unseen[known]
        np.testing.assert_allclose(lesson.predictions, of_asked / target_scale[1], rtol=1e-5)
        np.testing.assert_allclose(lesson.targets, one_hot(y[asked], problem.n_outputs) / target_scale[1], rtol=1e-6)
        np.testing.assert_allclose(
            lesson.residuals, residuals(y[known], of_known) / target_scale[1], rtol=1e-4, atol=1e-6
        )
        for inputs, rows, predictions in ((lesson.queries, asked, of_asked), (lesson.memory, known, of_known)):
            features = scaler.transform(X[rows])
            np.testing.assert_array_equal(inputs[:, : features.shape[1]], features)
            scaled = np.log(np.maximum(predictions, 1e-3)) / 2
            if n_classes == 0:
                scaled = (predictions - target_scale[0]) / target_scale[1]
            np.testing.assert_allclose(inputs[:, features.shape[1] :], scaled, rtol=1e-5, atol=1e-6)


def test_a_fixed_base_is_asked_about_new_rows_only_and_remembers_the_others_too():
    X, y, problem = make_rows(90, REGRESSION)
    is_new = np.arange(90) % 3 == 0
    fixed = quick_base("linear", X[~is_new], y[~is_new], problem)
    training = training_of(rows_of(X, y, is_new=is_new), problem, fixed=fixed)
    asked = [rows_of_inputs(lesson.queries, training, X) for lesson in encoder_folds(training)]
    assert sorted(itertools.chain(*asked)) == np.flatnonzero(is_new).tolist()
    left = residuals(y, fixed.predict(X)) / y.std()
    for lesson, rows in zip(encoder_folds(training), asked, strict=True):
        np.testing.assert_allclose(lesson.predictions, fixed.predict(X[rows]) / y.std(), rtol=1e-5)
        assert len(lesson.memory) in (67, 68)  # of all rows a quarter is left out
        assert all(np.abs(left - own).min() < 1e-5 for own in lesson.residuals[:, 0])
        assert not np.isin(left[rows].astype(np.float32), lesson.residuals).any()


def test_a_lesson_without_a_new_row_is_left_out():
    X, y, problem = make_rows(60, REGRESSION)
    fixed = quick_base("linear", X[1:], y[1:], problem)
    training = training_of(rows_of(X, y, is_new=np.arange(60) < 1), problem, fixed=fixed)
    assert [rows_of_inputs(lesson.queries, training, X) for lesson in encoder_folds(training)] == [[0]]


def test_weights_say_how_likely_a_row_is_asked_and_without_them_all_are_equally():
    X, y, problem = make_rows(80, REGRESSION)
    weight = np.random.default_rng(0).uniform(0.5, 3, 80)
    weighted = training_of(rows_of(X, y, weight=weight), problem)
    for lesson in encoder_folds(weighted):
        own = weight[rows_of_inputs(lesson.queries, weighted, X)]
        np.testing.assert_allclose(lesson.weight, own / own.sum())
    assert all(lesson.weight is None for lesson in encoder_folds(training_of(rows_of(X, y), problem)))


def test_of_very_many_rows_lessons_are_drawn_from_a_part():
    X, y, problem = make_rows(80, REGRESSION)
    training = replace(training_of(rows_of(X, y), problem), most_rows_in_folds=50)
    asked = [row for lesson in encoder_folds(training) for row in rows_of_inputs(lesson.queries, training, X)]
    assert len(asked) == len(set(asked)) == 50
    assert max(asked) > 50
    assert {len(lesson.memory) + len(lesson.queries) for lesson in encoder_folds(training)} == {50}
