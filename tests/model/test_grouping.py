"""Rows that belong together because their features are equal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from resmem_cli.model.grouping import dealt, drawn, equal_rows
from tests.model.examples import FEW

NUMBERS = [0.0, -0.0, 1.0, 2.0, 1e-300, 5e-324, 1e308, np.inf, np.nan, 0.1 + 0.2, 0.3]
MATRICES = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 30), st.integers(0, 3)), elements=st.sampled_from(NUMBERS)
)


@FEW
@given(MATRICES)
def test_groups_are_numbered_as_they_appear_and_hold_equal_rows(X):
    labels = equal_rows(X)
    assert list(dict.fromkeys(labels.tolist())) == list(range(labels.max() + 1))
    for i in range(len(X)):
        equal = np.equal(X, X[i]) | (np.isnan(X) & np.isnan(X[i]))
        np.testing.assert_array_equal(labels == labels[i], equal.all(axis=1))


def test_close_numbers_small_whole_numbers_and_swapped_columns_are_different_rows():
    """A hash that mixes too little takes numbers for equal that differ in a few high bits alone."""
    grid = np.stack(np.meshgrid(np.arange(300.0), np.arange(300.0)), axis=-1).reshape(-1, 2)
    assert len(np.unique(equal_rows(grid))) == 90_000
    close = np.nextafter(1.0, 2.0) + np.arange(100_000) * np.spacing(1.0)
    assert len(np.unique(equal_rows(close[:, None]))) == 100_000


def test_groups_are_dealt_class_after_class_and_the_large_first():
    labels = np.array([0, 1, 1, 2, 3, 3, 3, 4, 4])
    y = np.array([1.0, 0, 1, 0, 1, 0, 0, 0, 1])
    orders = [dealt(labels, y, np.random.default_rng(seed)).tolist() for seed in range(20)]
    assert all(set(order[:2]) == {1, 4} and order[2:] == [2, 3, 0] for order in orders)
    assert {order[0] for order in orders} == {1, 4}
    assert dealt(labels, None, np.random.default_rng(0)).tolist()[0] == 3


def test_whole_groups_are_drawn_of_about_as_many_rows_as_asked_for():
    labels = np.arange(1_000) // 4
    chosen = drawn(labels, 100, np.random.default_rng(0))
    assert len(chosen) == 100
    assert np.bincount(labels[chosen])[np.unique(labels[chosen])].tolist() == [4] * 25
    assert len(drawn(np.zeros(9, dtype=np.int64), 2, np.random.default_rng(0))) == 2
    assert len(drawn(np.arange(1_000), 100, np.random.default_rng(0))) == 100


def test_a_group_that_most_rows_belong_to_is_drawn_by_its_share_beside_others():
    labels = np.concatenate([np.zeros(900, dtype=np.int64), np.arange(1, 101)])
    for seed in range(10):
        chosen = drawn(labels, 200, np.random.default_rng(seed))
        assert (labels[chosen] == 0).sum() == 180
        assert (labels[chosen] > 0).sum() == 20
