"""The metrics of `evaluate`, against scikit-learn's, and their paired bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from resmem_cli.model import metrics
from resmem_cli.model.metrics import Reduced, are_same, compare, joined, reduced, row_loss
from tests.model.examples import FEW

WEIGHTED = pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])


def probabilities(rng, n, n_classes, *, ties):
    values = rng.dirichlet(np.ones(n_classes), n)
    return np.round(values * 8 + 0.5) / np.round(values * 8 + 0.5).sum(axis=1, keepdims=True) if ties else values


def numbers(n=80, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return y, (y + rng.normal(size=n))[:, None], (y + 0.5 * rng.normal(size=n))[:, None], rng.uniform(0.1, 4, n)


def classes(n_classes, n=120, seed=0, *, ties=False):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes).astype(np.float64)
    base, resmem = (probabilities(rng, n, n_classes, ties=ties) for _ in range(2))
    return y, base, resmem, rng.uniform(0.1, 4, n)


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


@FEW
@given(
    scores=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 3)), min_size=2, max_size=30),
)
def test_the_area_is_how_often_a_positive_outranks_a_negative(scores):
    positive = [(s, w) for s, is_positive, w in scores if is_positive]
    negative = [(s, w) for s, is_positive, w in scores if not is_positive]
    p = np.array([s / 4 for s, _, _ in scores])
    y, weight = (np.array([float(row[i]) for row in scores]) for i in (1, 2))
    found = metrics._Area(p, y == 1).value(weight)
    pairs = [((a > b) + (a == b) / 2, v * w) for a, v in positive for b, w in negative]
    if not pairs:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(np.average([win for win, _ in pairs], weights=[w for _, w in pairs]))


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


# Gains


@pytest.mark.parametrize("name", ["rmse", "mae", "r2", "log_loss", "accuracy", "balanced_accuracy", "roc_auc", "brier"])
def test_a_gain_is_positive_where_the_memory_is_better_and_relative_to_the_base(name):
    if metrics.METRICS[name].is_regression:
        y, base, resmem, _ = numbers(200)
        y, base, resmem = 3 * y, base + 2 * y[:, None], resmem + 2 * y[:, None]  # an r2 of about 0.9
    else:
        y, base, _, _ = classes(3, 200)
        resmem = 0.5 * base + 0.5 * np.eye(3)[y.astype(int)]
    found = compare(y, base, resmem, None, 0)[name]
    assert found.gain > 0
    assert found.gain == pytest.approx(abs(found.resmem - found.base))
    assert found.gain_percent == pytest.approx(100 * found.gain / found.base)
    assert found.ci95[0] <= found.gain_percent <= found.ci95[1]
    turned = compare(y, resmem, base, None, 0)[name]
    assert turned.gain == pytest.approx(-found.gain)
    assert turned.gain_percent < 0


@WEIGHTED
def test_identical_predictions_gain_exactly_nothing(weighted):
    y, base, _, weight = numbers()
    p, _, own = classes(3)[1:]
    labels = classes(3)[0]
    for found in (
        compare(y, base, base.copy(), weight if weighted else None, 0),
        compare(labels, p, p.copy(), own if weighted else None, 0),
    ):
        assert {(c.gain, c.gain_percent, c.ci95) for c in found.values()} == {(0.0, 0.0, (0.0, 0.0))}


def test_a_gain_over_a_perfect_base_has_no_percentage():
    y = np.arange(10.0)
    found = compare(y, y[:, None], y[:, None] + 1, None, 0)["rmse"]
    assert (found.base, found.resmem, found.gain) == (0, 1, -1)
    assert math.isnan(found.gain_percent)
    assert all(map(math.isnan, found.ci95))


def test_a_gain_over_an_r2_below_0_has_no_percentage():
    y, _, resmem, _ = numbers(100)
    found = compare(y, resmem[::-1], resmem, None, 0)["r2"]
    assert found.base < 0 < found.gain
    assert all(map(math.isnan, (found.gain_percent, *found.ci95)))


def test_an_r2_that_may_as_well_be_below_0_bounds_no_interval():
    """Leaving out the resamples without a percentage would make an interval of the others."""
    rng = np.random.default_rng(0)
    y, noise = rng.normal(size=(2, 50))
    found = compare(y, (0.1 * y + 0.1 * noise)[:, None], (0.5 * y)[:, None], None, 0)["r2"]
    assert 0 < found.base < 0.3
    assert np.isfinite(found.gain_percent)
    assert all(map(math.isnan, found.ci95))


# The bootstrap


def test_the_same_seed_gives_the_same_interval_and_another_a_similar_one():
    y, base, resmem, _ = numbers(200)
    first, again, other = (compare(y, base, resmem, None, seed)["rmse"].ci95 for seed in (1, 1, 2))
    assert first == again != other
    width = first[1] - first[0]
    np.testing.assert_allclose(first, other, atol=0.15 * width)


def test_the_interval_of_errors_that_are_all_halved_is_the_half():
    y, base, _, _ = numbers(100)
    found = compare(y, base, (y[:, None] + base) / 2, None, 0)
    assert found["rmse"].ci95 == pytest.approx((50, 50))
    assert found["mae"].ci95 == pytest.approx((50, 50))


def test_the_interval_is_that_of_the_paired_resamples():
    y, base, resmem, weight = numbers(30)
    rng = np.random.default_rng(5)
    percents = []
    for _ in range(1_000):
        rows = rng.integers(0, 30, 30)
        before, after = (
            reference.mean_absolute_error(y[rows], p[rows, 0], sample_weight=weight[rows]) for p in (base, resmem)
        )
        percents.append(100 * (before - after) / before)
    found = compare(y, base, resmem, weight, 5)["mae"]
    assert found.ci95 == pytest.approx(tuple(np.percentile(percents, [2.5, 97.5])))


def test_the_interval_covers_the_true_gain_about_as_often_as_it_says():
    """Of errors of spread 1 and 0.9 the gain in RMSE is 10 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        shared = rng.normal(size=(2, 150))
        base, resmem = shared[0], 0.9 * (0.8 * shared[0] + 0.6 * shared[1])
        low, high = compare(np.zeros(150), base[:, None], resmem[:, None], None, 0)["rmse"].ci95
        covered += low <= 10 <= high
    assert 52 <= covered <= 60


def test_of_very_many_rows_fewer_resamples_are_taken():
    for n, n_resamples in ((100, 300), (100_000, 200), (10, 1_000)):
        assert len(list(metrics._resamples(n, 0, most_draws=100 * 300))) == n_resamples
    y, base, resmem = np.random.default_rng(0).normal(size=(3, 20))
    few, most, default = (
        compare(y, base[:, None], resmem[:, None], None, 0, **draws)["rmse"].ci95
        for draws in ({"most_draws": 20 * 200}, {"most_draws": 20 * 5_000}, {})
    )
    assert few != most == default


def test_rows_of_a_group_are_drawn_together():
    groups = np.array([7, 3, 7, 7, -1, 3])
    for times in metrics._resamples(6, 0, 6 * 200, groups):
        assert len(set(times[groups == 7])) == len(set(times[groups == 3])) == 1
        assert times[0] + times[1] + times[4] == 3  # draws of the three groups


def test_groups_of_one_row_are_rows():
    y, base, resmem, weight = numbers(50)
    of_rows, of_groups = (compare(y, base, resmem, weight, 3, groups=groups) for groups in (None, np.arange(50)))
    assert (of_rows["rmse"], of_rows["mae"]) == (of_groups["rmse"], of_groups["mae"])


@pytest.mark.parametrize("n", [1, 5])
def test_a_single_row_or_group_has_no_interval(n):
    y, base, resmem, _ = numbers(n)
    found = compare(y, base, resmem, None, 0, groups=None if n == 1 else np.zeros(n, dtype=np.int64))
    for each in found.values():
        assert all(map(math.isnan, each.ci95))
    assert np.isfinite(found["rmse"].gain_percent)


def test_the_interval_of_groups_covers_the_true_gain_where_that_of_rows_is_too_narrow():
    """Forty groups of ten rows, whose errors are shared for the greater part; the gain in the mean error is 10 %."""
    rng = np.random.default_rng(0)
    groups, covered = np.repeat(np.arange(40), 10), {"rows": 0, "groups": 0}
    for _ in range(60):
        errors = [mean + 0.3 * rng.normal(size=40)[groups] + 0.1 * rng.normal(size=400) for mean in (2.0, 1.8)]
        base, resmem = (each[:, None] for each in errors)
        for unit, given_groups in (("rows", None), ("groups", groups)):
            found = compare(np.zeros(400), base, resmem, None, 0, groups=given_groups, most_draws=400 * 300)
            low, high = found["mae"].ci95
            covered[unit] += low <= 10 <= high
    assert covered["groups"] >= 53
    assert covered["rows"] <= 40
