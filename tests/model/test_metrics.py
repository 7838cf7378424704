"""The metrics of `evaluate`, against scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from resmem_cli.model import metrics
from resmem_cli.model.comparison import compare
from resmem_cli.model.metrics import Reduced, are_same, joined, reduced, row_loss
from tests.model.examples import classes, numbers

WEIGHTED = pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])


# Values


@WEIGHTED
def test_metrics_of_numbers_are_those_of_scikit_learn(weighted):
    y, base, resmem, weight = numbers()
    weight = weight if weighted else None
    found = compare(y, base, resmem, weight, 0)
    expected = {
        "rmse": reference.root_mean_squared_error,
        "mae": reference.mean_absolute_error,
        "r2": reference.r2_score,
    }
    assert list(found) == list(expected)
    for name, metric in expected.items():
        assert found[name].base == pytest.approx(metric(y, base[:, 0], sample_weight=weight))
        assert found[name].resmem == pytest.approx(metric(y, resmem[:, 0], sample_weight=weight))


def expected_of_classes(y, p, weight):
    """Scikit-learn's metrics, and where it has none (one against the rest with weights) their definition."""
    n_classes = p.shape[1]
    log_loss = reference.log_loss(y, p, sample_weight=weight, labels=range(n_classes))
    if n_classes == 2:
        area = reference.roc_auc_score(y, p[:, 1], sample_weight=weight)
        brier = reference.brier_score_loss(y, p[:, 1], sample_weight=weight)
    else:
        one_against_rest = [reference.roc_auc_score(y == c, p[:, c], sample_weight=weight) for c in range(n_classes)]
        area = np.mean(one_against_rest)
        brier = np.average(np.square(p - np.eye(n_classes)[y.astype(int)]).sum(axis=1), weights=weight)
    return {
        "log_loss": log_loss,
        "accuracy": reference.accuracy_score(y, p.argmax(axis=1), sample_weight=weight),
        "balanced_accuracy": reference.balanced_accuracy_score(y, p.argmax(axis=1), sample_weight=weight),
        "roc_auc": area,
        "brier": brier,
    }


@WEIGHTED
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "tied"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_metrics_of_classes_are_those_of_scikit_learn(n_classes, ties, weighted):
    y, base, resmem, weight = classes(n_classes, ties=ties)
    weight = weight if weighted else None
    found = compare(y, base, resmem, weight, 0)
    for side, p in (("base", base), ("resmem", resmem)):
        expected = expected_of_classes(y, p, weight)
        assert {name: getattr(value, side) for name, value in found.items()} == pytest.approx(expected)


@WEIGHTED
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "tied"])
def test_reduced_predictions_have_the_same_metrics_but_those_that_need_every_class(ties, weighted):
    y, base, resmem, weight = classes(5, ties=ties)
    weight = weight if weighted else None
    expected = compare(y, base, resmem, weight, 0)
    found = compare(y, Reduced.of(y, base), Reduced.of(y, resmem), weight, 0)
    assert expected.keys() - found.keys() == {"roc_auc"}
    for name, value in found.items():
        assert (value.base, value.resmem) == pytest.approx((expected[name].base, expected[name].resmem))
        assert value.ci95 == pytest.approx(expected[name].ci95)
    for objective in (None, "accuracy"):
        np.testing.assert_array_equal(row_loss(y, Reduced.of(y, base), objective), row_loss(y, base, objective))


def test_predictions_of_very_many_classes_are_reduced_and_joined():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 101, 9).astype(float), rng.dirichlet(np.ones(101), 9)
    whole = reduced(y, p)
    assert isinstance(whole, Reduced)
    assert reduced(y, p[:, :100]) is not whole
    assert whole.shape == (9, 101)
    both = joined([reduced(y[:4], p[:4]), reduced(y[4:], p[4:])])
    assert are_same(both, whole)
    assert not are_same(both, reduced(y, p[:, ::-1]))
    assert are_same(whole[y > 50], reduced(y[y > 50], p[y > 50]))
    np.testing.assert_array_equal(joined([p[:4, :3], p[4:, :3]]), p[:, :3])
    assert are_same(p[:, :3], p[:, :3].copy())
    assert not are_same(p[:, :3], p[:, 1:4])


def test_several_classes_have_scikit_learns_macro_area_and_brier_score():
    y, base, resmem, _ = classes(4, ties=True)
    found = compare(y, base, resmem, None, 0)
    assert found["roc_auc"].base == pytest.approx(reference.roc_auc_score(y, base, multi_class="ovr"))
    assert found["brier"].base == pytest.approx(reference.brier_score_loss(y, base, labels=range(4)))


def test_a_class_without_rows_counts_in_neither_balanced_accuracy_nor_area():
    y, base, resmem, _ = classes(3)
    wider = [np.column_stack([p * 0.9, np.full(len(p), 0.1)]) for p in (base, resmem)]
    with_absent, without = compare(y, *wider, None, 0), compare(y, base, resmem, None, 0)
    for name in ("balanced_accuracy", "roc_auc"):
        assert with_absent[name].base == pytest.approx(without[name].base)


def test_of_equally_probable_classes_the_first_is_predicted():
    p = np.array([[0.4, 0.4, 0.2], [0.1, 0.45, 0.45]])
    assert compare(np.array([0.0, 1.0]), p, p, None, 0)["accuracy"].base == 1
    assert compare(np.array([1.0, 2.0]), p, p, None, 0)["accuracy"].base == 0


def test_a_metric_that_is_not_defined_is_nan_without_a_warning():
    y = np.full(10, 3.0)
    found = compare(y, y[:, None] + 1, y[:, None] + 2, None, 0)["r2"]
    assert all(map(math.isnan, (found.base, found.resmem, found.gain, found.gain_percent, *found.ci95)))
    one_class = compare(np.zeros(10), *[np.tile([0.6, 0.4], (10, 1))] * 2, None, 0)["roc_auc"]
    assert math.isnan(one_class.base)


def test_the_loss_of_a_row_is_its_squared_error_or_minus_its_log_probability():
    assert row_loss(np.array([1.0, 2.0]), np.array([[3.0], [2.0]])).tolist() == [4.0, 0.0]
    p = np.array([[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_allclose(row_loss(np.array([1.0, 0.0]), p), [-math.log(0.75), 0])
    assert row_loss(np.array([1.0]), p[1:])[0] == pytest.approx(-math.log(1e-12))


# Objectives


def test_what_can_be_made_best_is_a_metric_of_the_task_and_the_first_is_the_default():
    assert metrics.objectives(is_regression=True) == ("rmse", "mae")
    assert metrics.objectives(is_regression=False) == ("log_loss", "accuracy")
    for is_regression in (True, False):
        of_task = {name for name, metric in metrics.METRICS.items() if metric.is_regression == is_regression}
        assert set(metrics.objectives(is_regression)) < of_task


@WEIGHTED
@pytest.mark.parametrize("name", ["rmse", "mae", "log_loss", "accuracy"])
def test_an_objective_is_the_metric_of_its_mean_loss_per_row(name, weighted):
    y, p, _, weight = numbers() if metrics.METRICS[name].is_regression else classes(4, ties=True)
    weight = weight if weighted else None
    found = metrics.as_metric(name, float(np.average(row_loss(y, p, name), weights=weight)))
    assert found == pytest.approx(compare(y, p, p, weight, 0)[name].base)


def test_without_an_objective_the_loss_is_that_of_the_default():
    for (y, p, _, _), default in ((numbers(), "rmse"), (classes(3), "log_loss")):
        np.testing.assert_array_equal(row_loss(y, p), row_loss(y, p, default))


def test_a_row_whose_classes_are_equally_probable_is_right_if_its_class_is_the_first():
    p = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.2, 0.2, 0.6]])
    assert row_loss(np.array([0.0, 1.0, 2.0]), p, "accuracy").tolist() == [0.0, 1.0, 0.0]


def test_an_absolute_error_is_the_distance_to_the_target():
    assert row_loss(np.array([1.0, 2.0]), np.array([[3.5], [2.0]]), "mae").tolist() == [2.5, 0.0]
