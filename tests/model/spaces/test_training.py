"""Training rows and their base: folds within them, and whether the base overfits."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.metrics import row_loss
from tests.model.examples import EVERY_TASK, REGRESSION, make_rows, one_hot, quick_base, rows_of, training_of

# Cross-fitted predictions


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_row_is_predicted_out_of_fold_by_a_base_that_has_not_seen_its_label(estimator):
    X, y, problem = make_rows(80, REGRESSION)
    before = training_of(rows_of(X, y), problem, estimator=estimator)
    asked_in_all = []
    for fold in before.folds:
        changed = y.copy()
        changed[fold.held_out] += np.random.default_rng(0).normal(size=len(fold.held_out)) * 1e3
        after = training_of(rows_of(X, changed), problem, estimator=estimator)
        np.testing.assert_array_equal(after.out_of_fold[fold.held_out], before.out_of_fold[fold.held_out])
        assert not np.isclose(after.in_sample[fold.held_out], before.in_sample[fold.held_out]).all()
        asked_in_all += fold.held_out.tolist()
    assert sorted(asked_in_all) == list(range(80))


@EVERY_TASK
def test_a_base_that_repeats_what_it_has_seen_is_caught_out_of_fold(n_classes, parrot):
    X, y, problem = make_rows(80, n_classes)
    training = training_of(rows_of(X, y), problem, estimator=parrot)
    np.testing.assert_array_equal(training.in_sample, one_hot(y, problem.n_outputs))
    for fold in training.folds:
        expected = one_hot(y[fold.training], problem.n_outputs).mean(axis=0)
        np.testing.assert_allclose(training.out_of_fold[fold.held_out], np.tile(expected, (len(fold.held_out), 1)))
    assert training.predictions("in-sample") is training.in_sample
    assert training.predictions("cross-fitted") is training.out_of_fold


def test_of_very_many_rows_those_in_no_fold_are_predicted_by_a_base_that_has_not_seen_them_either(parrot):
    X, y, problem = make_rows(80, REGRESSION)
    training = replace(training_of(rows_of(X, y), problem, estimator=parrot), most_rows_in_folds=50)
    in_folds = np.concatenate([fold.held_out for fold in training.folds])
    assert len(np.unique(in_folds)) == 50
    assert not np.isin(training.out_of_fold[:, 0], y).any()


@EVERY_TASK
def test_a_base_that_repeats_what_it_has_seen_overfits_and_one_that_knows_the_mean_alone_does_not(n_classes, parrot):
    X, y, problem = make_rows(80, n_classes)
    assert training_of(rows_of(X, y), problem, estimator=parrot).overfits
    assert not training_of(rows_of(X, y), problem, estimator="constant").overfits
    assert not training_of(rows_of(X, y), problem, estimator="linear").overfits


def test_the_constant_base_never_overfits_however_much_groups_differ():
    groups = np.arange(90) % 3
    y = 5.0 * (groups == 2) + np.random.default_rng(0).normal(size=90)
    rows = replace(rows_of(np.arange(90.0)[:, None], y), groups=groups)
    training = training_of(rows, Problem((0,), REGRESSION, 0), estimator="constant")
    seen, unseen = (row_loss(y, predictions).mean() for predictions in (training.in_sample, training.out_of_fold))
    assert seen < unseen / 2
    assert not training.overfits


def test_a_base_overfits_where_it_loses_less_than_half_on_rows_that_it_has_seen():
    X, y, problem = make_rows(80, REGRESSION)
    for share, expected in ((0.45, True), (0.55, False)):
        training = training_of(rows_of(X, y), problem)
        vars(training)["in_sample"] = y[:, None] + np.sqrt(share)
        vars(training)["out_of_fold"] = y[:, None] - 1
        assert training.overfits is expected


def test_whether_a_base_overfits_is_said_by_the_rows_that_count():
    """A row of weight 2 is as good as two, and one of next to none is as good as absent."""
    X, y, problem = make_rows(80, REGRESSION)
    fits_well = np.arange(80) < 40
    for weight, expected in ((np.where(fits_well, 1e6, 1.0), True), (np.where(fits_well, 1.0, 1e6), False)):
        training = training_of(rows_of(X, y, weight=weight), problem)
        vars(training)["in_sample"] = np.where(fits_well, y, y + 1)[:, None]
        vars(training)["out_of_fold"] = y[:, None] + 1
        assert training.overfits is expected


def test_a_base_that_stays_does_not_overfit_because_the_queries_are_rows_it_has_not_seen(parrot):
    X, y, problem = make_rows(80, REGRESSION)
    fixed = quick_base(parrot, X, y, problem)
    assert not training_of(rows_of(X, y, is_new=np.ones(80, dtype=bool)), problem, fixed=fixed).overfits


def test_what_goes_to_another_process_has_one_thread_and_the_folds(parrot):
    X, y, problem = make_rows(80, REGRESSION)
    training = replace(training_of(rows_of(X, y), problem), threads=2, report=[].append)
    alone = training.for_one_thread()
    assert alone.threads == 1
    assert alone.folds is training.folds
    np.testing.assert_array_equal(alone.out_of_fold, training.out_of_fold)


# Sensitivity


def test_the_scale_of_features_is_the_sensitivity_of_their_columns_and_a_tenth():
    X, y, problem = make_rows(40, REGRESSION)
    training = training_of(rows_of(X, y), problem)
    vars(training)["_sensitivity"] = np.array([1.0, 0.0, 0.4])
    vars(training)["scaler"] = SimpleNamespace(sources=np.array([0, 2, 0, 1, 1, 1]))
    np.testing.assert_allclose(training.feature_scale, [1.1, 0.5, 1.1, 0.1, 0.1, 0.1], rtol=1e-6)
    assert training.feature_scale.dtype == np.float32
