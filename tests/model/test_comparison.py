"""Two predictions side by side: gains, and their bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from resmem_cli.model import metrics, resampling
from resmem_cli.model.comparison import compare
from tests.model.examples import classes, numbers

WEIGHTED = pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])


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
    times = resampling.weights(resampling.states(np.arange(30, dtype=np.uint64), 5), range(1_000))
    percents = []
    for drawn in times.T:
        rows = np.repeat(np.arange(30), drawn.astype(int))
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


def test_as_many_resamples_are_taken_as_is_said_or_as_so_many_rows_have():
    y, base, resmem = np.random.default_rng(0).normal(size=(3, 20))
    few, most, default = (
        compare(y, base[:, None], resmem[:, None], None, 0, **given)["rmse"].ci95
        for given in ({"n_resamples": 200}, {"n_resamples": 1_000}, {})
    )
    assert few != most == default


def test_a_resample_without_any_row_is_none():
    """Of two rows about one resample in seven is empty; the others hold either row, or both."""
    y, base, resmem = np.zeros(2), np.array([[1.0], [4.0]]), np.array([[0.5], [1.0]])
    assert compare(y, base, resmem, None, 0)["mae"].ci95 == (50, 75)


def test_rows_and_resamples_are_weighed_in_blocks_without_a_difference(monkeypatch):
    """How many at once decides how long it takes, and nothing else."""
    whole = [compare(*numbers(200), 0), compare(*classes(5, 200), 0)]
    monkeypatch.setattr("resmem_cli.model.sums._WEIGHTS", 1)
    monkeypatch.setattr("resmem_cli.model.sums._SUMS", 1)
    for one, other in zip(whole, [compare(*numbers(200), 0), compare(*classes(5, 200), 0)], strict=True):
        for name, found in one.items():
            assert found.ci95 == pytest.approx(other[name].ci95, rel=1e-9, nan_ok=True)


def test_groups_of_one_row_are_rows():
    y, base, resmem, weight = numbers(50)
    of_rows, of_groups = (
        compare(y, base, resmem, weight, 3, units=units) for units in (None, np.arange(50, dtype=np.uint64))
    )
    assert (of_rows["rmse"], of_rows["mae"]) == (of_groups["rmse"], of_groups["mae"])


@pytest.mark.parametrize("n", [1, 5])
def test_a_single_row_or_group_has_no_interval(n):
    y, base, resmem, _ = numbers(n)
    found = compare(y, base, resmem, None, 0, units=None if n == 1 else np.zeros(n, dtype=np.uint64))
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
        for unit, units in (("rows", None), ("groups", groups.astype(np.uint64))):
            found = compare(np.zeros(400), base, resmem, None, 0, units=units, n_resamples=300)
            low, high = found["mae"].ci95
            covered[unit] += low <= 10 <= high
    assert covered["groups"] >= 53
    assert covered["rows"] <= 40
