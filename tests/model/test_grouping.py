"""Rows that belong together because their features are equal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from resmem_cli.model.bases import Problem
from resmem_cli.model.grouping import copies, copies_but_for, dealt, drawn, equal_rows
from tests.model.examples import FEW, REGRESSION

RNG = np.random.default_rng
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


def doubled(n_rows: int = 200) -> np.ndarray:
    """Rows of three numbers, each twice, one after the other."""
    return np.repeat(np.random.default_rng(0).normal(size=(n_rows, 3)) * [1, 1e-6, 1e12], 2, axis=0)


PAIRS = np.repeat(np.arange(200), 2)


def test_rows_that_differ_by_rounding_are_copies():
    X = doubled()
    X[1::2] *= 1 + 1e-13
    assert len(np.unique(equal_rows(X))) == 400
    assert np.array_equal(copies(X), PAIRS)


@pytest.mark.parametrize(
    "numbers", [np.arange(400), np.arange(400)[::-1] + 7, np.random.default_rng(1).permutation(4_000)[:400]]
)
def test_a_column_that_numbers_the_rows_does_not_tell_copies_apart(numbers):
    assert np.array_equal(copies(np.column_stack([doubled(), numbers])), PAIRS)


def test_a_number_that_rows_share_tells_them_apart():
    X = np.column_stack([doubled(), np.arange(400) % 399])
    assert len(np.unique(copies(X))) == 400


def test_rows_of_which_only_their_number_tells_them_apart_are_no_copies():
    X = np.column_stack([np.arange(400.0), np.arange(400) % 7])
    assert np.array_equal(copies(X), np.arange(400))
    assert np.array_equal(copies(X[:, :1]), np.arange(400))


@pytest.mark.parametrize(
    "column",
    [
        1.7e9 + np.arange(400),  # seconds since 1970, one apart
        1.7e18 + 1e9 * np.arange(400),
        np.append(np.arange(399.0), 1e300),
        np.append(np.linspace(0, 1, 399), [np.inf]),
        np.append(np.zeros(390), np.arange(1.0, 11)),
    ],
)
def test_numbers_that_differ_by_more_are_different_wherever_they_lie(column):
    X = np.column_stack([column, np.random.default_rng(0).integers(0, 2, 400)])
    assert np.array_equal(copies(X), equal_rows(X))


@FEW
@given(MATRICES)
def test_equal_rows_are_copies_whatever_they_hold(X):
    labels, equal = copies(X), equal_rows(X)
    assert len(labels) == len(X)
    assert len(np.unique(np.column_stack([equal, labels]), axis=0)) == len(np.unique(equal))


# Copies that one feature tells apart

Y = RNG(2).normal(size=200)[PAIRS]


@pytest.mark.parametrize(
    "stored_at", [RNG(1).normal(size=400), np.arange(400) % 2, RNG(1).integers(0, 300, 400), np.arange(400) // 2 % 3]
)
@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("is_numbered", [False, True])
def test_a_feature_that_alone_tells_rows_from_copies_is_found(stored_at, at, is_numbered):
    stored_at = np.where(stored_at == 0, np.nan, stored_at)  # a value like any other
    X = np.insert(doubled(), at, stored_at, axis=1)
    if is_numbered:
        X = np.column_stack([X, RNG(3).permutation(400)])
    problem = Problem((0,) * X.shape[1], REGRESSION, 0)
    found = problem.copies_but_for(X, Y)
    if np.array_equal(stored_at[::2], stored_at[1::2], equal_nan=True):
        assert found is None
    else:
        assert found is not None
        assert found[0] == at
    assert np.array_equal(problem.groups(X, Y), PAIRS)


def test_parts_of_one_instant_are_one_feature():
    day = RNG(1).integers(0, 300, 400)
    X = np.column_stack([day, day // 30, day % 7, doubled()])
    assert copies_but_for(X, Y, [[i] for i in range(6)]) is None
    problem = Problem((0,) * 6, REGRESSION, 0, features=((0, 1, 2), (3,), (4,), (5,)))
    assert problem.copies_but_for(X, Y)[0] == 0
    assert np.array_equal(problem.groups(X, Y), PAIRS)
    assert len(np.unique(problem.groups(X))) > 390


@pytest.mark.parametrize(
    ("X", "y"),
    [
        pytest.param(
            np.column_stack([doubled(), RNG(1).normal(size=400)]), RNG(2).normal(size=400), id="other targets"
        ),
        pytest.param(
            np.column_stack([doubled(), RNG(1).normal(size=400)]),
            np.where(np.arange(400) < 190, Y, RNG(3).normal(size=400)),
            id="half of them",
        ),
        pytest.param(
            np.column_stack([RNG(4).integers(0, 3, (400, 3)), RNG(1).normal(size=400)]),
            RNG(2).integers(0, 2, 400).astype(float),
            id="few values",
        ),
        pytest.param(
            np.column_stack([RNG(5).normal(size=(40, 3))[np.arange(400) % 40], RNG(1).normal(size=400)]),
            RNG(5).normal(size=40)[np.arange(400) % 40] + np.arange(400) // 40,
            id="a panel",
        ),
        pytest.param(doubled()[:, :1], Y, id="one feature"),
    ],
)
def test_rows_that_are_equal_by_chance_or_not_in_the_target_are_no_copies(X, y):
    features = [[i] for i in range(X.shape[1])]
    assert copies_but_for(X, y, features) is None
    assert copies_but_for(X[:, ::-1], y, features) is None
    assert np.array_equal(Problem((0,) * X.shape[1], REGRESSION, 0).groups(X, y), copies(X))


def test_of_classes_nobody_tells_whether_rows_are_copies():
    """A school's pupils, say, of one class: what its features say of them, and not who they are."""
    X = np.column_stack([doubled(), RNG(1).normal(size=400)])
    problem = Problem((0,) * 4, 2, 0)
    assert np.array_equal(problem.groups(X, (Y > 0).astype(float)), np.arange(400))


@FEW
@given(MATRICES, st.integers(0, 3))
def test_targets_never_tell_rows_apart_that_are_copies_without_them(X, n_values):
    problem = Problem((0,) * X.shape[1], REGRESSION, 0)
    y = RNG(0).integers(0, n_values + 1, len(X)).astype(float)
    without, with_targets = problem.groups(X), problem.groups(X, y)
    assert len(np.unique(np.column_stack([without, with_targets]), axis=0)) == len(np.unique(without))


def test_of_very_many_rows_whole_groups_are_looked_at():
    n = 120_000
    X = np.column_stack([np.repeat(RNG(0).normal(size=n // 2), 2), RNG(1).normal(size=n)])
    found = copies_but_for(X, np.repeat(RNG(2).normal(size=n // 2), 2), [[0], [1]])
    assert found is not None
    assert found[0] == 1
    assert np.array_equal(found[1][::2], found[1][1::2])
    assert len(np.unique(found[1])) > 0.99 * n / 2  # some numbers are equal by rounding


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
