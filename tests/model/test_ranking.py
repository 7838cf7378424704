"""The area under ROC curves by cells of scores, against all pairs of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model import metrics, ranking
from resmem_cli.model.targets import Targets
from tests.model.examples import FEW, classes


def area(y, p, weight, n_bins=None):
    """The mean area over the classes, and how far it may be from the true one."""
    sums = ranking.statistics(y, p, n_bins).T @ weight[:, None]
    return tuple(float(of(sums, p.shape[1])[0]) for of in (ranking.area, ranking.greatest_error))


def two(scores):
    return np.column_stack([1 - np.asarray(scores), scores])


@FEW
@given(
    scores=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30),
)
def test_the_area_is_how_often_a_positive_outranks_a_negative(scores):
    positive = [(s, w) for s, is_positive, w in scores if is_positive]
    negative = [(s, w) for s, is_positive, w in scores if not is_positive]
    y, weight = (np.array([float(row[i]) for row in scores]) for i in (1, 2))
    found, _ = area(y, two([s / 4 for s, _, _ in scores]), weight)
    pairs = [((a > b) + (a == b) / 2, v * w) for a, v in positive for b, w in negative if v * w]
    if not pairs:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(np.average([win for win, _ in pairs], weights=[w for _, w in pairs]))


def test_cells_hold_neighbouring_rows_of_one_side_and_all_rows_of_a_score_that_both_sides_have():
    scores = np.array([0.9, 0.1, 0.2, 0.5, 0.5, 0.3, 0.7, 0.8])
    own = np.array([True, False, False, True, False, True, True, True])
    assert ranking.exact(scores, own).tolist() == [3, 0, 0, 2, 2, 1, 3, 3]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_bins", [4, 16, 256])
def test_an_area_by_bins_is_as_near_to_the_true_one_as_it_says(n_classes, n_bins):
    y, p, _, weight = classes(n_classes, 300)
    exactly, nothing = area(y, p, weight)
    found, error = area(y, p, weight, n_bins)
    assert nothing < 1e-12  # of neighbouring cells none holds both sides, unless scores are equal
    assert abs(found - exactly) <= error
    assert error < 4 / n_bins


def test_bins_are_in_the_order_of_the_scores_and_take_certain_ones():
    scores = np.array([0.0, 1e-300, 1e-6, 0.25, 0.5, 0.75, 1 - 1e-6, 1.0])
    found = ranking.binned(scores, 64)
    assert found.tolist() == sorted(found.tolist())
    assert (found[0], found[4], found[-1]) == (0, 32, 63)


def test_sums_by_bins_add_up_whatever_the_rows():
    """Not so those of exact cells, which follow from all rows."""
    y, p, _, weight = classes(3, 90)
    whole, first, second = (
        ranking.statistics(y[some], p[some], 16).T @ weight[some] for some in (slice(None), slice(30), slice(30, None))
    )
    np.testing.assert_allclose(whole, first + second)


def test_the_metric_by_bins_is_the_area():
    y, p, _, weight = classes(3, 90)
    metric = metrics.METRICS["roc_auc"].binned(64)
    sums = metric.statistics(y, p).T @ weight[:, None]
    assert metric.value(sums, Targets(3, *np.ones((3, 1)))) == pytest.approx(area(y, p, weight, 64)[0])


def test_probabilities_that_are_no_numbers_are_in_the_last_bin():
    """As they come last where scores are sorted, on any processor."""
    assert ranking.binned(np.array([np.nan, 0.5]), 64).tolist() == [63, 32]
