"""Every split keeps groups together and judges later rows by earlier ones: of bases, spaces, folds, all of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.errors import DataError
from resmem_cli.model.bases import BaseSpec
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.choosing import folds
from resmem_cli.model.choosing.folds import FoldSizes
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.spaces.learned import encoder_folds
from resmem_cli.model.splitting import Related, splits, stopping_split
from tests.model.choosing.plans import plan_of, run
from tests.model.examples import (
    EVERY_TASK,
    FEW,
    QUICK,
    REGRESSION,
    make_rows,
    quick_base,
    rows_of,
    skip_if_absent,
    training_of,
)

RELATIONS = pytest.mark.parametrize("what", ["groups", "times", "both"])
N_FOLDS = st.integers(2, 6)
SIZES = st.lists(st.integers(1, 9), min_size=2, max_size=40)


def related_rows(rows: LabelledRows, what: str, *, rows_each: int = 8) -> LabelledRows:
    """Rows in random order, of groups and of times, of which each has several rows."""
    rng, n_rows = np.random.default_rng(len(rows.y)), len(rows.y)
    groups = rng.integers(0, n_rows // rows_each, n_rows) if what != "times" else None
    times = rng.integers(0, n_rows // rows_each, n_rows) * 0.5 if what != "groups" else None
    return replace(rows, groups=groups, times=times)


def assert_obeyed(training: LabelledRows, held_out: LabelledRows) -> None:
    assert len(training.y)
    assert len(held_out.y)
    if held_out.groups is not None:
        assert not np.isin(held_out.groups, training.groups).any()
    if held_out.times is not None:
        assert training.times.max() < held_out.times.min()


# The splits themselves


@FEW
@given(sizes=SIZES, n_classes=st.sampled_from([0, 2, 5]), n_folds=N_FOLDS, seed=st.integers(0, 99))
def test_groups_are_on_one_side_and_every_row_is_held_out_once(sizes, n_classes, n_folds, seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    classes = rng.integers(0, n_classes, len(groups)) * 1.0 if n_classes else None
    found = list(splits(Related(groups, are_named=True), classes, n_folds, rng))
    assert len(found) == min(n_folds, len(sizes)) or (classes is not None and 2 <= len(found) < n_folds)
    held_out = np.concatenate([rows for _, rows in found])
    np.testing.assert_array_equal(np.sort(held_out), np.arange(len(groups)))
    for training, rows in found:
        assert len(training) + len(rows) == len(groups)
        assert not np.isin(groups[rows], groups[training]).any()


def test_classes_are_spread_over_the_folds_of_groups():
    groups = np.repeat(np.arange(40), 5)
    classes = np.repeat(np.arange(40) % 4 == 0, 5) * 1.0
    for _, rows in splits(Related(groups, are_named=True), classes, 5, np.random.default_rng(0)):
        assert classes[rows].mean() == 0.25


@FEW
@given(sizes=SIZES, n_folds=N_FOLDS, seed=st.integers(0, 99))
def test_later_rows_are_held_out_in_blocks_with_all_earlier_ones_to_learn_from(sizes, n_folds, seed):
    rng = np.random.default_rng(seed)
    times = rng.permutation(np.repeat(np.arange(len(sizes)) - 3.5, sizes))
    found = list(splits(Related(np.arange(len(times)), times=times), None, n_folds, rng))
    assert 1 <= len(found) <= n_folds
    first, last = found[-1], found[0]  # the latest comes first
    assert times[last[1]].max() == times.max()
    for training, rows in found:
        np.testing.assert_array_equal(training, np.flatnonzero(times < times[rows].min()))
    held_out = np.concatenate([rows for _, rows in found])
    np.testing.assert_array_equal(np.sort(held_out), np.flatnonzero(times >= times[first[1]].min()))


def test_the_last_half_of_the_rows_is_held_out_where_times_allow_it():
    times = np.random.default_rng(0).permutation(1_000) * 1.0
    found = list(splits(Related(np.arange(1_000), times=times), None, 5, np.random.default_rng(0)))
    assert [(len(training), len(rows)) for training, rows in found] == [(n, 100) for n in (900, 800, 700, 600, 500)]


def test_rows_without_a_time_are_the_earliest():
    times = np.where(np.arange(100) % 10 == 0, -np.inf, np.arange(100))
    for training, rows in splits(Related(np.arange(100), times=times), None, 5, np.random.default_rng(0)):
        assert set(range(0, 100, 10)) <= set(training)
        assert not np.isinf(times[rows]).any()


@FEW
@given(n_groups=st.integers(4, 30), n_times=st.integers(4, 30), n_folds=N_FOLDS, seed=st.integers(0, 99))
def test_groups_and_times_together(n_groups, n_times, n_folds, seed):
    rng = np.random.default_rng(seed)
    groups, times = rng.integers(0, n_groups, 300), rng.integers(0, n_times, 300) * 1.0
    found = list(splits(Related(groups, are_named=True, times=times), None, n_folds, rng))
    for training, rows in found:
        assert not np.isin(groups[rows], groups[training]).any()
        assert times[training].max() < times[rows].min()
    assert found


def test_new_groups_of_a_block_are_all_held_out_and_others_in_turn():
    """Half of the groups live in one period only, and the others always."""
    times = np.arange(1_000) // 10 * 1.0
    groups = np.where(np.arange(1_000) % 2 == 0, 1_000 + times, np.arange(1_000) % 20).astype(int)
    for training, rows in splits(Related(groups, are_named=True, times=times), None, 5, np.random.default_rng(0)):
        is_new = groups[rows] >= 1_000
        assert is_new.sum() == 50
        assert 0 < (~is_new).sum() < 50
        assert np.isin(groups, groups[training]).any()


@pytest.mark.parametrize(
    ("related", "n_found"),
    [
        (Related(np.zeros(9, dtype=int), are_named=True), 0),
        (Related(np.arange(9), times=np.ones(9)), 0),
        (Related(np.arange(9), times=np.append(np.zeros(8), 1.0)), 1),
        (Related(np.arange(2), times=np.array([1.0, 0.0])), 1),
        (Related(np.arange(1), times=np.ones(1)), 0),
        (Related(np.array([0, 0, 1]), are_named=True), 2),
    ],
)
def test_few_groups_and_times_give_few_splits(related, n_found):
    found = list(splits(related, None, 5, np.random.default_rng(0)))
    assert len(found) == n_found
    assert all(len(training) and len(rows) for training, rows in found)


@FEW
@given(n_classes=st.sampled_from([0, 3]), what=st.sampled_from(["groups", "times", "both"]), seed=st.integers(0, 99))
def test_early_stopping_obeys_and_every_class_is_known(n_classes, what, seed):
    rng = np.random.default_rng(seed)
    rows = related_rows(rows_of(np.zeros((400, 1)), rng.integers(0, max(n_classes, 1), 400) * 1.0), what)
    classes = rows.y if n_classes else None
    relation = Related(np.zeros(400, int) if rows.groups is None else rows.groups, rows.groups is not None, rows.times)
    fitted, held = stopping_split(relation, classes, seed)
    assert_obeyed(rows.take(fitted), rows.take(held))
    assert len(held) <= 80
    assert np.isin(rows.y[held], rows.y[fitted]).all()


def test_a_class_that_only_the_last_rows_have_stops_nothing():
    times = np.arange(200.0)
    classes = (times >= 190) * 1.0
    fitted, held = stopping_split(Related(np.arange(200), times=times), classes, 0)
    assert (len(fitted), len(held)) == (200, 0)


def test_a_class_of_one_group_is_learned_and_a_large_group_stops_nothing():
    """For every seed: the class, or the group, would otherwise be the first that a splitter deals out."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 20)
    classes = np.where(groups == 7, 11, rng.integers(0, 11, 1_200)) * 1.0
    sizes = np.concatenate([[3_000], np.full(40, 50)])
    for seed in range(20):
        fitted, held = stopping_split(Related(groups, are_named=True), classes, seed)
        assert 11 in classes[fitted]
        assert 60 <= len(held) <= 180
        uneven = np.repeat(np.arange(41), sizes)
        fitted, held = stopping_split(Related(uneven, are_named=True), None, seed)
        assert 0 in uneven[fitted]
        assert 100 <= len(held) <= 600
    for n_groups in (2, 3):
        few = np.repeat(np.arange(n_groups), 50)
        fitted, held = stopping_split(Related(few, are_named=True), None, 0)
        assert len(held) <= len(few) / 3


def test_a_group_is_held_out_in_one_fold_alone():
    rng = np.random.default_rng(0)
    groups, times = rng.integers(0, 70, 1_500), rng.permutation(1_500) * 1.0
    groups = np.where(times > 900, groups, groups % 40)  # half of them come later
    found = list(splits(Related(groups, are_named=True, times=times), None, 5, rng))
    held = np.concatenate([np.unique(groups[rows]) for _, rows in found])
    assert len(np.unique(held)) == len(held)
    assert len(found) == 5


# Bases


@RELATIONS
@EVERY_TASK
def test_boosting_is_stopped_by_what_belongs_together_and_is_later(n_classes, what, monkeypatch):
    """And with times it is fitted again to all rows, for as long."""
    X, y, problem = make_rows(1_200, n_classes)
    X[:, 0] = np.arange(1_200.0)  # by which the rows are known again
    rows = related_rows(rows_of(X, y), what)
    fits = []

    class Recorded(Boosting.sklearn_class(problem)):
        def fit(self, X, y, sample_weight=None, **validation):
            fits.append((X[:, 0].astype(int), validation.get("X_val", np.empty((0, 1)))[:, 0].astype(int)))
            return super().fit(X, y, sample_weight, **validation)

    monkeypatch.setattr(Boosting, "sklearn_class", classmethod(lambda cls, problem: Recorded))
    base = Recipe(BaseSpec("boosting", {"max_iter": 40, "n_iter_no_change": 1}), problem).base_for(rows)
    stopped = [(fitted, held) for fitted, held in fits if len(held)]
    for fitted, held in stopped:
        assert_obeyed(rows.take(fitted), rows.take(held))
    again = [fitted for fitted, held in fits if not len(held)]
    assert [len(fitted) for fitted in again] == ([] if what == "groups" else [1_200] * len(stopped))
    assert len(base.bags) == len(stopped) >= 1


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "mlp", "poisson", "boosting"])
@EVERY_TASK
def test_bases_that_stop_early_are_fitted_to_groups_and_times(name, n_classes):
    """The last rows, which say when to stop, are then learned from: a level that they alone have is predicted."""
    skip_if_absent(name)
    X, y, problem = make_rows(1_500, n_classes)
    X[:, 0] = np.repeat([0.0, 1.0], [1_350, 150])
    y[1_350:] = problem.n_classes - 1 if problem.n_classes else y.max()
    rows = replace(rows_of(X, y), times=np.arange(1_500.0))
    late = rows.take(np.arange(1_350, 1_500))
    predicted = Recipe(BaseSpec(name, QUICK.get(name, {})), problem).base_for(rows).predict(late.X)
    blind = Recipe(BaseSpec(name, QUICK.get(name, {})), problem).base_for(rows.take(np.arange(1_350))).predict(late.X)
    closeness = (lambda p: -np.abs(p[:, 0] - y.max()).mean()) if n_classes == 0 else (lambda p: p[:, -1].mean())
    assert closeness(predicted) > closeness(blind)
    grouped = replace(rows_of(X, y), groups=np.arange(1_500) // 10)
    assert np.isfinite(Recipe(BaseSpec(name, QUICK.get(name, {})), problem).base_for(grouped).predict(X)).all()


# Within the training rows


@RELATIONS
@EVERY_TASK
def test_lessons_of_encoders_and_cross_fitted_residuals_obey(n_classes, what, monkeypatch):
    X, y, problem = make_rows(300, n_classes)
    rows = related_rows(rows_of(X, y), what)
    seen_by = []
    fit_base = Recipe.base_for
    monkeypatch.setattr(Recipe, "base_for", lambda self, part: seen_by.append(part) or fit_base(self, part))
    training = training_of(rows, problem)
    assert np.isfinite(training.out_of_fold).all()
    assert len(encoder_folds(training, "in-sample", training.scaler)) == len(training.folds) >= 2
    for fold in training.folds:
        assert_obeyed(rows.take(fold.training), rows.take(fold.held_out))
    predicted_without = np.zeros(300, dtype=bool)
    for fold in (*training.folds, *training._never_held_out):
        predicted_without[fold.held_out] = True
        if rows.groups is not None:
            assert not np.isin(rows.groups[fold.held_out], rows.groups[fold.training]).any()
        assert not np.isin(fold.held_out, fold.training).any()
    assert predicted_without.all()
    assert len(seen_by) == len(training.folds) + len(training._never_held_out)


def test_one_group_alone_is_split_by_its_rows():
    X, y, problem = make_rows(60, REGRESSION)
    rows = replace(rows_of(X, y), groups=np.zeros(60, dtype=int))
    assert len(training_of(rows, problem).folds) == 4


# Folds


@pytest.fixture
def seen_splits(monkeypatch):
    """What every fold was run on: all rows, those to remember, those held out."""
    seen = []
    run_fold = folds.run
    monkeypatch.setattr(
        folds, "run", lambda rows, plan, *parts: seen.append((rows, *parts[:2])) or run_fold(rows, plan, *parts)
    )
    return seen


@RELATIONS
@pytest.mark.parametrize("case", ["folds", "one split of many", "new to the base"])
def test_folds_obey(what, case, seen_splits):
    X, y, problem = make_rows(400, REGRESSION)
    rows, fixed, sizes = related_rows(rows_of(X, y), what), None, FoldSizes()
    if case == "one split of many":
        sizes = FoldSizes(most_folded=300, most_split=250)
    if case == "new to the base":
        rows, fixed = replace(rows, is_new=np.arange(400) % 3 > 0), quick_base("linear", X, y, problem)
    found = run(rows, plan_of("linear", problem, fixed=fixed, spaces=("features",)), sizes=sizes)
    assert len(seen_splits) == 1 if case == "one split of many" else len(seen_splits) >= 4
    for every, training, held_out in seen_splits:
        assert_obeyed(every.take(training), every.take(held_out))
    assert sum(len(fold.y) for fold in found) >= 20


@RELATIONS
def test_rows_to_decide_by_are_later_or_of_other_groups(what, seen_splits):
    X, y, problem = make_rows(400, REGRESSION)
    rows = related_rows(rows_of(X, y, is_new=np.ones(400, dtype=bool)), what)
    is_valid = np.arange(400) % 4 == 0 if rows.times is None else rows.times > np.quantile(rows.times, 0.75)
    rows = replace(rows, is_valid=is_valid)
    run(rows, plan_of("linear", problem, fixed=quick_base("linear", X, y, problem), spaces=("features",)))
    ((every, training, held_out),) = seen_splits
    assert_obeyed(every.take(training), every.take(held_out))
    np.testing.assert_array_equal(np.sort(held_out), np.flatnonzero(is_valid))


@pytest.mark.parametrize(
    ("relations", "sentence"),
    [
        ({"times": -np.arange(80.0)}, "no row to remember is earlier than all rows of --valid"),
        ({"groups": np.arange(80) % 40}, "every row to remember is of the group of a held-out row"),
    ],
)
def test_rows_to_decide_by_that_leave_nothing_to_remember(relations, sentence):
    X, y, problem = make_rows(80, REGRESSION)
    rows = LabelledRows(X, y, None, np.ones(80, dtype=bool), np.arange(80) >= 40, **relations)
    plan = plan_of("constant", problem, fixed=quick_base("constant", X, y, problem), spaces=("features",))
    with pytest.raises(DataError, match=f"^{sentence}"):
        run(rows, plan)


def test_bases_that_have_seen_every_later_row_cannot_be_judged():
    X, y, problem = make_rows(80, REGRESSION)
    rows = replace(rows_of(X, y, is_new=np.arange(80) < 30), times=np.arange(80.0))
    plan = plan_of("constant", problem, fixed=quick_base("constant", X, y, problem), spaces=("features",))
    with pytest.raises(DataError, match=r"^no row can be held out: those that are new to the bases"):
        run(rows, plan)


def test_parts_of_a_fold_are_stretches_of_time_and_never_cut_a_time():
    X, y, problem = make_rows(400, REGRESSION)
    rows = replace(rows_of(X, y), times=np.arange(400) // 4 * 1.0)
    plan = plan_of("linear", problem, spaces=("features",))
    parts = run(rows, plan, sizes=FoldSizes(most_folded=300, most_split=399))
    assert len(parts) == 5
    spans = sorted((rows.times[part.rows].min(), rows.times[part.rows].max()) for part in parts)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))
