"""One fold: nothing of its held-out rows reaches what they are predicted from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.model.choosing.plans import (
    EVERY_BASE,
    FEATURES,
    LEARNED,
    assert_same,
    one_fold,
    plan_of,
    run,
)
from tests.model.examples import BINARY, MULTICLASS, REGRESSION, make_rows, rows_of


@EVERY_BASE
@pytest.mark.parametrize("n_classes", [BINARY, MULTICLASS])
def test_held_out_classes_change_nothing_but_themselves(name, n_classes):
    X, y, problem = make_rows(100, n_classes)
    rows, plan, asked = rows_of(X, y), plan_of(name, problem, learned=LEARNED), np.arange(0, 100, 5)
    remembered = np.setdiff1d(np.arange(100), asked)
    changed = y.copy()
    changed[asked] = (changed[asked] + 1) % n_classes
    before = one_fold(rows, plan, remembered, asked)
    after = one_fold(replace(rows, y=changed), plan, remembered, asked)
    assert not (before.y == after.y).any()
    assert_same(before, after)


@EVERY_BASE
def test_held_out_rows_do_not_reach_the_memory_or_each_others_answers(name):
    X, y, problem = make_rows(100, REGRESSION)
    plan, asked = plan_of(name, problem, learned=LEARNED), np.arange(0, 100, 5)
    remembered = np.setdiff1d(np.arange(100), asked)
    whole = one_fold(rows_of(X, y), plan, remembered, asked)
    moved = X.copy()
    moved[asked[1:], :2] *= 100
    after = one_fold(rows_of(moved, y), plan, remembered, asked)
    first = np.array([0])
    np.testing.assert_allclose(whole.take(first).predictions[0], after.take(first).predictions[0], rtol=1e-12)
    for space, view in whole.views.items():
        other = after.views[space]
        np.testing.assert_array_equal(view.cells[0], other.cells[0])
        np.testing.assert_allclose(view.distances[0], other.distances[0], rtol=1e-6)
        np.testing.assert_array_equal(view.counts, other.counts)
        np.testing.assert_array_equal(view.residuals[1.0], other.residuals[1.0])


def test_a_fold_of_fewer_cells_than_neighbours_takes_all():
    X, y, problem = make_rows(40, REGRESSION)
    few = np.tile(X[:6], (10, 1))
    done = run(rows_of(few, np.tile(y[:6], 10)), plan_of("linear", problem, n_neighbors=128))
    assert {fold.views[FEATURES].distances.shape[1] for fold in done} == {4, 5}  # one or two of six are held out


def test_a_condensed_memory_is_searched_beside_the_whole_one() -> None:
    X, y, problem = make_rows(200, 0)
    plain = run(rows_of(X, y), plan_of("linear", problem), n_folds=4)
    condensed = run(rows_of(X, y), plan_of("linear", problem, share_of_cells=0.25), n_folds=4)
    for fold, other in zip(plain, condensed, strict=True):
        assert fold.uncondensed == {}
        assert other.uncondensed.keys() == other.views.keys() == fold.views.keys()
        for candidate, view in fold.views.items():
            np.testing.assert_array_equal(other.uncondensed[candidate].distances, view.distances)
            np.testing.assert_array_equal(other.uncondensed[candidate].residuals[1.0], view.residuals[1.0])
            few = other.views[candidate].counts
            assert len(few) == round(0.25 * 150)  # of the 150 rows that are not asked about
            assert few.sum() == view.counts.sum() == 150


def test_a_condensed_memory_has_as_many_cells_as_neighbours_are_asked_for() -> None:
    X, y, problem = make_rows(200, 0)
    (fold, *_) = run(rows_of(X, y), plan_of("linear", problem, share_of_cells=0.01))
    assert {len(view.counts) for view in fold.views.values()} == {8}


@pytest.mark.parametrize("n_classes", [REGRESSION, MULTICLASS], ids=["regression", "classification"])
def test_a_part_of_a_fold_keeps_what_belongs_to_its_rows(n_classes):
    X, y, problem = make_rows(50, n_classes)
    fold = run(rows_of(X, y), plan_of("linear", problem, learned=LEARNED[:1]))[0]
    assert {view.trend is not None for view in fold.views.values()} == ({True, False} if n_classes == 0 else {False})
    part = fold.take(np.array([4, 0]))
    for name in ("y", "weight"):
        np.testing.assert_array_equal(getattr(part, name), getattr(fold, name)[[4, 0]])
    np.testing.assert_array_equal(part.predictions[0], fold.predictions[0][[4, 0]])
    for space, view in part.views.items():
        np.testing.assert_array_equal(view.distances, fold.views[space].distances[[4, 0]])
        np.testing.assert_array_equal(view.cells, fold.views[space].cells[[4, 0]])
        if view.trend is not None:
            np.testing.assert_array_equal(view.trend, fold.views[space].trend[[4, 0]])
        assert view.residuals is fold.views[space].residuals
