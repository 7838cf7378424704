"""Rows, how they are split, and the base of a part of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.rows import has_enough_new
from tests.model.examples import FEW, MULTICLASS, REGRESSION, make_rows, quick_base, quick_recipe, rows_of

# Splits


@FEW
@given(n=st.integers(4, 300), n_classes=st.sampled_from([0, 2, 5]), n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_every_row_is_held_out_once_and_otherwise_remembered_and_classes_are_spread(n, n_classes, n_folds, seed):
    rng = np.random.default_rng(seed)
    X = np.arange(n * 1.0)[:, None]
    y = rng.normal(size=n) if n_classes == 0 else np.minimum(rng.geometric(0.4, n) - 1, n_classes - 1) * 1.0
    found = list(rows_of(X, y).splits(Problem((0,), n_classes, seed), n_folds, rng))
    assert len(found) == min(n_folds, n)
    held = np.concatenate([asked for _, asked in found])
    np.testing.assert_array_equal(np.sort(held), np.arange(n))
    for remembered, asked in found:
        np.testing.assert_array_equal(np.sort(np.concatenate([remembered, asked])), np.arange(n))
    sizes = [len(asked) for _, asked in found]
    assert max(sizes) - min(sizes) <= 1
    if n_classes:
        counts = np.array([np.bincount(y[asked].astype(int), minlength=n_classes) for _, asked in found])
        assert (np.ptp(counts, axis=0) <= 1).all()


@FEW
@given(
    copies=st.lists(st.integers(1, 9), min_size=2, max_size=40),
    n_classes=st.sampled_from([0, 2]),
    n_folds=st.integers(2, 6),
)
def test_rows_of_equal_features_are_on_one_side_of_every_split(copies, n_classes, n_folds):
    rng = np.random.default_rng(len(copies))
    labels = rng.permutation(np.repeat(np.arange(len(copies)), copies))
    X = np.column_stack([labels, np.where(labels == 1, np.nan, -0.0), rng.normal(size=len(labels))])
    X[labels % 2 == 0, 1] = 0.0  # which equals -0.0
    y = rng.integers(0, 2, len(labels)) * 1.0
    found = list(rows_of(X, y).splits(Problem((0, 0), n_classes, 0), n_folds, rng))  # the third is no feature
    assert len(found) == min(n_folds, len(copies))
    assert np.bincount(np.concatenate([asked for _, asked in found])).tolist() == [1] * len(labels)
    for remembered, asked in found:
        assert len(remembered)
        assert len(asked)
        assert not np.isin(labels[remembered], labels[asked]).any()


def test_rows_that_are_all_equal_cannot_be_split():
    assert (
        list(rows_of(np.ones((9, 2)), np.arange(9.0)).splits(Problem((0, 0), 0, 0), 3, np.random.default_rng(0))) == []
    )


def test_splits_are_drawn_by_the_generator_they_are_given():
    X, y, problem = make_rows(50, MULTICLASS)
    first, again, other = (
        [asked.tolist() for _, asked in rows_of(X, y).splits(problem, 5, np.random.default_rng(seed))]
        for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("n_new", "n_rows", "enough"),
    [(200, 200, True), (199, 199, False), (200, 2_000, True), (200, 2_010, False), (0, 50, False)],
)
def test_new_rows_suffice_from_200_and_a_tenth_of_all(n_new, n_rows, enough):
    assert has_enough_new(np.arange(n_rows) < n_new) == enough


# Rows


@pytest.mark.parametrize("weighted", [False, True])
def test_a_part_of_the_rows_keeps_what_belongs_to_them(weighted):
    X, y, _ = make_rows(30, REGRESSION)
    weight = np.arange(30.0) if weighted else None
    part = rows_of(X, y, weight=weight, is_new=np.arange(30) % 3 == 0).take(np.array([9, 4, 5]))
    np.testing.assert_array_equal(part.X, X[[9, 4, 5]])
    np.testing.assert_array_equal(part.y, y[[9, 4, 5]])
    assert part.is_new.tolist() == [True, False, False]
    assert (part.weight.tolist() == [9, 4, 5]) if weighted else (part.weight is None)


# The base of a part


@pytest.mark.parametrize("name", ESTIMATORS)
def test_without_a_fixed_base_one_is_fitted_to_the_rows_and_their_weights_and_all_held_out_rows_are_new_to_it(name):
    X, y, problem = make_rows(60, MULTICLASS)
    weight = np.random.default_rng(0).uniform(0.5, 3, 60)
    rows, recipe = rows_of(X, y, weight=weight), quick_recipe(name, problem)
    expected = quick_base(name, X, y, problem, weight)
    np.testing.assert_array_equal(recipe.base_for(rows).predict(X), expected.predict(X))
    assert recipe.queries(rows) is rows


def test_a_fixed_base_stays_and_only_rows_it_has_not_seen_are_queries():
    X, y, problem = make_rows(60, REGRESSION)
    fixed = quick_base("linear", X[:40], y[:40], problem)
    recipe = quick_recipe("boosting", problem, fixed)
    rows = rows_of(X, y, weight=np.arange(60.0), is_new=np.arange(60) >= 40)
    assert recipe.base_for(rows) is fixed
    queries = recipe.queries(rows)
    np.testing.assert_array_equal(queries.X, X[40:])
    np.testing.assert_array_equal(queries.y, y[40:])
    np.testing.assert_array_equal(queries.weight, np.arange(40.0, 60))
    assert queries.is_new.all()
