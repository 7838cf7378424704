"""What representations are fitted to: training rows alone, and folds within them where labels are looked at."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import fitting as fitting_module
from resmem_cli.model import parallel
from resmem_cli.model.bases import ESTIMATORS
from resmem_cli.model.encoder import KINDS
from resmem_cli.model.scaling import mean_and_spread
from resmem_cli.model.fitting import Fitting
from resmem_cli.model.kernel import residuals
from tests.model.examples import (
    BINARY,
    REGRESSION,
    TASKS,
    fit_representation,
    fitting_of,
    make_rows,
    one_hot,
    quick_base,
    rows_of,
)

LEARNED = tuple(f"learned:{kind}" for kind in KINDS)
NAMES = ("features", "sensitivity", "model", *LEARNED)
EVERY_KIND_OF_RESIDUALS = pytest.mark.parametrize("kind", ["in-sample", "cross-fitted"])
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)
EVERY_NAME = pytest.mark.parametrize("name", NAMES)
EVERY_LEARNED = pytest.mark.parametrize("name", LEARNED)


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
    for first, second in zip(one.lessons(), replace(one, threads=2).lessons(), strict=True):
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
    steps = [f"training the encoder: step {step} of 50" for step in (0, 50)]
    assert said == ["fitting 4 bases to learn from", *steps]


def test_an_encoder_that_was_begun_on_other_rows_is_trained_further_in_fewer_steps():
    X, y, problem = make_rows(120, REGRESSION)
    before = fitting_of(rows_of(X[:60], y[:60]), problem, n_steps=9).fit("learned:linear")
    said: list[str] = []
    fitting = replace(fitting_of(rows_of(X, y), problem, n_steps=150), report=said.append)
    resumed = replace(fitting, starts={("learned:linear", "in-sample"): before.trained})
    found = resumed.fit("learned:linear").to_arrays()
    assert said[-1] == "training the encoder: step 50 of 50"
    anew = fitting.fit("learned:linear").to_arrays()
    assert said[-1] == "training the encoder: step 150 of 150"
    assert (found["encoder_out"] != anew["encoder_out"]).any()
    of_another_kind = replace(fitting, starts={("learned:linear", "cross-fitted"): before.trained})
    np.testing.assert_array_equal(of_another_kind.fit("learned:linear").to_arrays()["encoder_out"], anew["encoder_out"])


# Lessons


def rows_of_inputs(inputs, fitting: Fitting, X) -> list[int]:
    """The rows that a lesson holds, which their first column tells apart."""
    return [np.flatnonzero(fitting.space.transform(X)[:, 0] == value).item() for value in inputs[:, 0]]


@EVERY_TASK
@EVERY_KIND_OF_RESIDUALS
def test_every_row_is_asked_once_of_a_base_and_a_memory_of_the_others(n_classes, kind):
    """What is remembered is what that base left, or, cross-fitted, what the base left that has not seen the row."""
    X, y, problem = make_rows(90, n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 3, 90)
    fitting = fitting_of(rows_of(X, y, weight=weight), problem)
    space, lessons = fitting.space, fitting.lessons(kind)
    unit = np.array(mean_and_spread(y, weight)) if n_classes == 0 else np.array([0.0, 1.0])
    queries = [rows_of_inputs(lesson.queries, fitting, X) for lesson in lessons]
    assert len(lessons) == 4
    assert sorted(itertools.chain(*queries)) == list(range(90))
    unseen = np.empty((90, problem.n_outputs))
    bases = []
    for asked in queries:
        others = np.setdiff1d(np.arange(90), asked)
        bases.append(quick_base("linear", X[others], y[others], problem, weight[others]))
        unseen[asked] = bases[-1].predict(X[asked])
    for lesson, asked, base in zip(lessons, queries, bases, strict=True):
        known = rows_of_inputs(lesson.memory, fitting, X)
        assert sorted(asked + known) == list(range(90))
        of_asked, of_known = base.predict(X[asked]), base.predict(X[known]) if kind == "in-sample" else unseen[known]
        np.testing.assert_allclose(lesson.predictions, of_asked / unit[1], rtol=1e-5)
        np.testing.assert_allclose(lesson.targets, one_hot(y[asked], problem.n_outputs) / unit[1], rtol=1e-6)
        np.testing.assert_allclose(lesson.residuals, residuals(y[known], of_known) / unit[1], rtol=1e-4, atol=1e-6)
        for inputs, rows, predictions in ((lesson.queries, asked, of_asked), (lesson.memory, known, of_known)):
            features = space.transform(X[rows])
            np.testing.assert_array_equal(inputs[:, : features.shape[1]], features)
            scaled = (predictions - unit[0]) / unit[1] if n_classes == 0 else np.log(np.maximum(predictions, 1e-3)) / 2
            np.testing.assert_allclose(inputs[:, features.shape[1] :], scaled, rtol=1e-5, atol=1e-6)


def test_a_fixed_base_is_asked_about_new_rows_only_and_remembers_the_others_too():
    X, y, problem = make_rows(90, REGRESSION)
    is_new = np.arange(90) % 3 == 0
    fixed = quick_base("linear", X[~is_new], y[~is_new], problem)
    fitting = fitting_of(rows_of(X, y, is_new=is_new), problem, fixed=fixed)
    asked = [rows_of_inputs(lesson.queries, fitting, X) for lesson in fitting.lessons()]
    assert sorted(itertools.chain(*asked)) == np.flatnonzero(is_new).tolist()
    left = residuals(y, fixed.predict(X)) / y.std()
    for lesson, rows in zip(fitting.lessons(), asked, strict=True):
        np.testing.assert_allclose(lesson.predictions, fixed.predict(X[rows]) / y.std(), rtol=1e-5)
        assert len(lesson.memory) in (67, 68)  # of all rows a quarter is left out
        assert all(np.abs(left - own).min() < 1e-5 for own in lesson.residuals[:, 0])
        assert not np.isin(left[rows].astype(np.float32), lesson.residuals).any()


def test_a_lesson_without_a_new_row_is_left_out():
    X, y, problem = make_rows(60, REGRESSION)
    fixed = quick_base("linear", X[1:], y[1:], problem)
    fitting = fitting_of(rows_of(X, y, is_new=np.arange(60) < 1), problem, fixed=fixed)
    assert [rows_of_inputs(lesson.queries, fitting, X) for lesson in fitting.lessons()] == [[0]]


def test_weights_say_how_likely_a_row_is_asked_and_without_them_all_are_equally():
    X, y, problem = make_rows(80, REGRESSION)
    weight = np.random.default_rng(0).uniform(0.5, 3, 80)
    weighted = fitting_of(rows_of(X, y, weight=weight), problem)
    for lesson in weighted.lessons():
        own = weight[rows_of_inputs(lesson.queries, weighted, X)]
        np.testing.assert_allclose(lesson.weight, own / own.sum())
    assert all(lesson.weight is None for lesson in fitting_of(rows_of(X, y), problem).lessons())


def test_of_very_many_rows_lessons_are_drawn_from_a_part(monkeypatch):
    monkeypatch.setattr(fitting_module, "_MOST_LESSON_ROWS", 50)
    X, y, problem = make_rows(80, REGRESSION)
    fitting = fitting_of(rows_of(X, y), problem)
    asked = [row for lesson in fitting.lessons() for row in rows_of_inputs(lesson.queries, fitting, X)]
    assert len(asked) == len(set(asked)) == 50
    assert max(asked) > 50
    assert {len(lesson.memory) + len(lesson.queries) for lesson in fitting.lessons()} == {50}


# Cross-fitted predictions


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_row_is_predicted_out_of_fold_by_a_base_that_has_not_seen_its_label(estimator):
    X, y, problem = make_rows(80, REGRESSION)
    before = fitting_of(rows_of(X, y), problem, estimator=estimator)
    asked_in_all = []
    for fold in before.folds:
        changed = y.copy()
        changed[fold.asked] += np.random.default_rng(0).normal(size=len(fold.asked)) * 1e3
        after = fitting_of(rows_of(X, changed), problem, estimator=estimator)
        np.testing.assert_array_equal(after.out_of_fold[fold.asked], before.out_of_fold[fold.asked])
        assert not np.isclose(after.in_sample[fold.asked], before.in_sample[fold.asked]).all()
        asked_in_all += fold.asked.tolist()
    assert sorted(asked_in_all) == list(range(80))


@EVERY_TASK
def test_a_base_that_repeats_what_it_has_seen_is_caught_out_of_fold(n_classes, parrot):
    X, y, problem = make_rows(80, n_classes)
    fitting = fitting_of(rows_of(X, y), problem, estimator=parrot)
    np.testing.assert_array_equal(fitting.in_sample, one_hot(y, problem.n_outputs))
    for fold in fitting.folds:
        expected = one_hot(y[fold.known], problem.n_outputs).mean(axis=0)
        np.testing.assert_allclose(fitting.out_of_fold[fold.asked], np.tile(expected, (len(fold.asked), 1)))
    assert fitting.predictions("in-sample") is fitting.in_sample
    assert fitting.predictions("cross-fitted") is fitting.out_of_fold


def test_of_very_many_rows_those_in_no_fold_are_predicted_by_a_base_that_has_not_seen_them_either(monkeypatch, parrot):
    monkeypatch.setattr(fitting_module, "_MOST_LESSON_ROWS", 50)
    X, y, problem = make_rows(80, REGRESSION)
    fitting = fitting_of(rows_of(X, y), problem, estimator=parrot)
    in_folds = np.concatenate([fold.asked for fold in fitting.folds])
    assert len(np.unique(in_folds)) == 50
    assert not np.isin(fitting.out_of_fold[:, 0], y).any()


@EVERY_TASK
def test_a_base_that_repeats_what_it_has_seen_overfits_and_one_that_knows_the_mean_alone_does_not(n_classes, parrot):
    X, y, problem = make_rows(80, n_classes)
    assert fitting_of(rows_of(X, y), problem, estimator=parrot).overfits
    assert not fitting_of(rows_of(X, y), problem, estimator="constant").overfits
    assert not fitting_of(rows_of(X, y), problem, estimator="linear").overfits


def test_a_base_overfits_where_it_loses_less_than_half_on_rows_that_it_has_seen(monkeypatch):
    X, y, problem = make_rows(80, REGRESSION)
    for share, expected in ((0.45, True), (0.55, False)):
        fitting = fitting_of(rows_of(X, y), problem)
        vars(fitting)["in_sample"] = y[:, None] + np.sqrt(share)
        vars(fitting)["out_of_fold"] = y[:, None] - 1
        assert fitting.overfits is expected


def test_whether_a_base_overfits_is_said_by_the_rows_that_count():
    """A row of weight 2 is as good as two, and one of next to none is as good as absent."""
    X, y, problem = make_rows(80, REGRESSION)
    fits_well = np.arange(80) < 40
    for weight, expected in ((np.where(fits_well, 1e6, 1.0), True), (np.where(fits_well, 1.0, 1e6), False)):
        fitting = fitting_of(rows_of(X, y, weight=weight), problem)
        vars(fitting)["in_sample"] = np.where(fits_well, y, y + 1)[:, None]
        vars(fitting)["out_of_fold"] = y[:, None] + 1
        assert fitting.overfits is expected


def test_a_base_that_stays_does_not_overfit_because_its_residuals_of_new_rows_are_honest(parrot):
    X, y, problem = make_rows(80, REGRESSION)
    fixed = quick_base(parrot, X, y, problem)
    assert not fitting_of(rows_of(X, y, is_new=np.ones(80, dtype=bool)), problem, fixed=fixed).overfits


@EVERY_LEARNED
def test_an_encoder_learns_from_the_kind_of_residuals_that_it_is_asked_for(name, parrot):
    """From those of a base that repeats its classes it learns nothing: they are all 0."""
    X, y, problem = make_rows(80, BINARY)
    fitting = fitting_of(rows_of(X, y), problem, estimator=parrot, n_steps=8)
    start = replace(fitting, n_steps=0)
    scales = {
        kind: [each.fit(name, kind).trained.encoder.weights["scale"] for each in (fitting, start)]
        for kind in ("in-sample", "cross-fitted")
    }
    moved = {kind: np.ptp(trained / untrained) for kind, (trained, untrained) in scales.items()}
    assert moved["cross-fitted"] > 10 * moved["in-sample"]


def test_only_a_learned_one_looks_at_the_kind_of_residuals(parrot):
    X, y, problem = make_rows(60, REGRESSION)
    fitting = fitting_of(rows_of(X, y), problem, estimator=parrot)
    for name in ("features", "sensitivity"):
        first, second = (fitting.fit(name, kind).to_arrays() for kind in ("in-sample", "cross-fitted"))
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key])
