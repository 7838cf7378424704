"""The folds: in each the whole procedure on some rows, asked about the others, of which it must know nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import folds, kernel, parallel
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.folds import Fold, Plan, _run_fold, run_folds
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.representation import Fitting
from resmem_cli.model.resmem import memorise
from resmem_cli.model.splitting import Rows
from tests.model.examples import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    TASKS,
    make_rows,
    quick_base,
    quick_recipe,
    rows_of,
)

EVERY_BASE = pytest.mark.parametrize("name", ESTIMATORS)
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)


CHEAP = ("features", "sensitivity")
LEARNED = ("learned:diagonal", "learned:linear", "learned:mlp")


def plan_of(name: str, problem: Problem, *, fixed=None, n_neighbors=8, learned=(), representations=None) -> Plan:
    if representations is None:
        representations = (*CHEAP, *(() if name == "constant" else ("model",)), *learned)
    return Plan(quick_recipe(name, problem, fixed), representations, n_neighbors, GraphOptions(), n_steps=2)


def run(rows: Rows, plan: Plan, n_folds: int = 5, threads: int = 1) -> list[Fold]:
    return run_folds(rows, plan, n_folds, threads=threads, report=lambda _: None)


def arrays_of(fold: Fold) -> dict[str, np.ndarray]:
    """Everything a fold holds but the labels and weights of its held-out rows."""
    views = {f"{name} {key}": value for name, view in fold.views.items() for key, value in vars(view).items()}
    return {"predictions": fold.predictions, **views}


def assert_same(first: Fold, second: Fold) -> None:
    ours, theirs = arrays_of(first), arrays_of(second)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)


# Who is held out


@EVERY_TASK
def test_the_queries_of_all_folds_are_all_rows_with_their_labels_and_weights(n_classes):
    X, y, problem = make_rows(83, n_classes)
    weight = np.arange(1.0, 84)  # tells the rows apart
    done = run(rows_of(X, y, weight=weight), plan_of("linear", problem))
    of_row = np.concatenate([fold.weight for fold in done])
    np.testing.assert_array_equal(np.sort(of_row), weight)
    np.testing.assert_array_equal(np.concatenate([fold.y for fold in done]), y[of_row.astype(int) - 1])


def test_the_folds_are_drawn_by_the_seed():
    X, y, problem = make_rows(60, REGRESSION)
    first, again, other = (
        run(rows_of(X, y), plan_of("constant", replace(problem, seed=seed)))[0].y.tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


# What they know


@EVERY_BASE
def test_held_out_labels_change_nothing_but_themselves(name):
    """Neither the base's predictions nor the neighbours nor what is remembered of them."""
    X, y, problem = make_rows(100, REGRESSION)
    rows, plan = rows_of(X, y), plan_of(name, problem)
    before = run(rows, plan)
    for i, fold in enumerate(before):
        changed = y.copy()
        changed[np.isin(y, fold.y)] = np.random.default_rng(i).normal(size=len(fold.y)) * 1e3
        after = run(replace(rows, y=changed), plan)[i]
        assert not np.isin(fold.y, after.y).any()
        assert_same(fold, after)


@EVERY_BASE
@pytest.mark.parametrize("n_classes", [BINARY, MULTICLASS])
def test_held_out_classes_change_nothing_but_themselves(name, n_classes):
    X, y, problem = make_rows(100, n_classes)
    rows, plan, asked = rows_of(X, y), plan_of(name, problem, learned=LEARNED), np.arange(0, 100, 5)
    remembered = np.setdiff1d(np.arange(100), asked)
    changed = y.copy()
    changed[asked] = (changed[asked] + 1) % n_classes
    before = _run_fold(rows, plan, remembered, asked, 1)
    after = _run_fold(replace(rows, y=changed), plan, remembered, asked, 1)
    assert not (before.y == after.y).any()
    assert_same(before, after)


@EVERY_BASE
def test_held_out_rows_do_not_reach_the_memory_or_each_others_answers(name):
    X, y, problem = make_rows(100, REGRESSION)
    plan, asked = plan_of(name, problem, learned=LEARNED), np.arange(0, 100, 5)
    remembered = np.setdiff1d(np.arange(100), asked)
    whole = _run_fold(rows_of(X, y), plan, remembered, asked, 1)
    moved = X.copy()
    moved[asked[1:], :2] *= 100
    after = _run_fold(rows_of(moved, y), plan, remembered, asked, 1)
    first = np.array([0])
    np.testing.assert_allclose(whole.take(first).predictions, after.take(first).predictions, rtol=1e-12)
    for space, view in whole.views.items():
        other = after.views[space]
        np.testing.assert_array_equal(view.cells[0], other.cells[0])
        np.testing.assert_allclose(view.distances[0], other.distances[0], rtol=1e-6)
        for key in ("counts", "targets", "predictions"):
            np.testing.assert_array_equal(getattr(view, key), getattr(other, key))


@EVERY_BASE
@EVERY_TASK
def test_a_fold_answers_as_the_model_that_its_remembered_rows_make(name, n_classes):
    X, y, problem = make_rows(120, n_classes)
    X[60:80] = X[:20]  # equal rows
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    asked = np.arange(0, 120, 5)
    remembered = np.setdiff1d(np.arange(120), asked)
    plan = plan_of(name, problem, learned=LEARNED)
    rows = rows_of(X, y, weight=weight)
    fold = _run_fold(rows, plan, remembered, asked, 1)
    base = quick_base(name, X[remembered], y[remembered], problem, weight[remembered])
    training = (X[remembered], y[remembered], weight[remembered])
    fitting = Fitting(rows.take(remembered), base, plan.recipe, plan.n_steps, threads=1)
    assert tuple(fold.views) == plan.representations
    for space, view in fold.views.items():
        model = memorise(
            base,
            fitting.fit(space),
            Settings(8, 0.5, shrinkage=0.7),
            training,
            GraphOptions(),
            seed=0,
            threads=1,
        ).model
        expected = model.predict(X[asked])
        np.testing.assert_allclose(fold.predictions, expected.base)
        weights = kernel.weights(view.distances, view.counts[view.cells], 0.5, is_relative=True)
        correction = kernel.correction(weights, (view.targets - view.predictions)[view.cells])
        found = kernel.corrected(fold.predictions, correction, 0.7)
        np.testing.assert_allclose(found, expected.resmem, rtol=1e-6, atol=1e-9)


def test_a_fold_of_fewer_cells_than_neighbours_takes_all():
    X, y, problem = make_rows(40, REGRESSION)
    few = np.tile(X[:6], (10, 1))
    done = run(rows_of(few, np.tile(y[:6], 10)), plan_of("linear", problem, n_neighbors=128))
    assert {fold.views["features"].distances.shape[1] for fold in done} == {6}


def test_a_class_with_one_row_and_a_column_with_one_value_are_no_obstacle():
    """The fold that holds such a row out has one class left, or a column without any value."""
    for name in ESTIMATORS:
        X, y, problem = make_rows(60, BINARY)
        y[:] = 0
        y[11] = 1
        X[:, 0] = np.nan
        X[23, 0] = 1.0
        done = run(rows_of(X, y), plan_of(name, problem))
        assert sum(len(fold.y) for fold in done) == 60
        assert all(np.isfinite(fold.predictions).all() for fold in done)


# Which base


def test_where_the_base_has_seen_the_rows_every_fold_fits_it_anew():
    X, y, problem = make_rows(80, REGRESSION)
    done = run(rows_of(X, y), plan_of("constant", problem))
    means = [fold.predictions[0, 0] for fold in done]
    np.testing.assert_allclose(means, [(y.sum() - fold.y.sum()) / (80 - len(fold.y)) for fold in done])


def test_a_fixed_base_is_asked_about_new_rows_only_and_stays():
    X, y, problem = make_rows(400, REGRESSION)
    is_new = np.arange(400) >= 150
    base = quick_base("linear", X[:150], y[:150], problem)
    done = run(rows_of(X, y, is_new=is_new), plan_of("linear", problem, fixed=base))
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.y for fold in done])), np.sort(y[150:]))
    answers = dict(zip(y.tolist(), base.predict(X)[:, 0].tolist(), strict=True))
    for fold in done:
        np.testing.assert_allclose(fold.predictions[:, 0], [answers[label] for label in fold.y.tolist()])
        # Of all rows, seen or new, a fifth is left out of a fold's memory.
        assert fold.views["features"].counts.sum() == 320


def test_folds_without_a_new_row_are_left_out():
    X, y, problem = make_rows(60, REGRESSION)
    is_new = np.arange(60) < 3
    base = quick_base("linear", X[3:], y[3:], problem)
    done = run(rows_of(X, y, is_new=is_new), plan_of("linear", problem, fixed=base), n_folds=20)
    assert sum(len(fold.y) for fold in done) == 3
    assert all(len(fold.y) for fold in done)


# Encoders


def test_where_encoders_are_trained_only_as_many_folds_are_run_as_ask_enough_rows(monkeypatch):
    """Their held-out rows are split, so that there are as many groups as folds were asked for."""
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 30)
    X, y, problem = make_rows(100, REGRESSION)
    learned = plan_of("constant", problem, representations=("learned:diagonal",))
    done = run(rows_of(X, y), learned)
    assert [len(fold.y) for fold in done] == [7, 7, 6, 7, 7, 6]
    assert len(np.unique(np.concatenate([fold.y for fold in done]))) == 40
    assert [len(fold.y) for fold in run(rows_of(X, y), plan_of("constant", problem))] == [20] * 5


@pytest.mark.parametrize("n_folds", [2, 3, 5, 7])
def test_there_are_at_least_as_many_groups_as_folds_were_asked_for(n_folds, monkeypatch):
    X, y, problem = make_rows(60, BINARY)
    for enough in (1, 20, 45, 1_000):
        monkeypatch.setattr(folds, "_ROWS_TO_ASK", enough)
        done = run(rows_of(X, y), plan_of("constant", problem, representations=("learned:diagonal",)), n_folds)
        n_asked = sum(len(fold.y) for fold in done)
        assert n_folds <= len(done) < 2 * n_folds
        assert abs(n_asked - min(enough, 60) - 30 / n_folds) <= 30 / n_folds + n_folds  # folds differ by a row
        assert all(len(fold.y) for fold in done)


def test_where_the_base_stays_only_new_rows_count_as_asked(monkeypatch):
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 15)
    X, y, problem = make_rows(100, REGRESSION)
    is_new = np.arange(100) % 4 == 0
    plan = plan_of("constant", problem, fixed=quick_base("constant", X, y, problem), representations=LEARNED[:1])
    done = run(rows_of(X, y, is_new=is_new), plan)
    asked = np.concatenate([fold.y for fold in done])
    assert 15 <= len(asked) < 25
    assert np.isin(asked, y[is_new]).all()
    assert len(done) >= 5


# Very many rows, and threads


@EVERY_TASK
def test_of_very_many_rows_one_split_of_a_subsample_replaces_the_folds(monkeypatch, n_classes):
    monkeypatch.setattr(folds, "MOST_FOLDED_ROWS", 300)
    monkeypatch.setattr(folds, "MOST_SPLIT_ROWS", 250)
    X, y, problem = make_rows(400, n_classes)
    weight = np.arange(1.0, 401)  # tells the rows apart
    done = run(rows_of(X, y, weight=weight), plan_of("linear", problem), n_folds=4)
    assert [len(fold.y) for fold in done] == [13, 13, 12, 12]
    asked = np.concatenate([fold.weight for fold in done])
    assert len(np.unique(asked)) == 50
    np.testing.assert_array_equal(np.concatenate([fold.y for fold in done]), y[asked.astype(int) - 1])
    for fold in done:  # parts of one split share their memory: the 200 rows that are not asked about
        view = fold.views["features"]
        np.testing.assert_array_equal(view.counts, done[0].views["features"].counts)
        assert len(view.counts) == 200
        assert not np.isin(view.counts, asked).any()
        assert view.cells.shape == (len(fold.y), 8)


def test_folds_are_the_same_with_any_number_of_threads(monkeypatch):
    """From some number of rows on, two threads are two processes."""
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 2_400)
    X, y, problem = make_rows(2_400, REGRESSION)
    rows, plan = rows_of(X, y), plan_of("linear", problem, representations=("features", "learned:linear"))
    one, two = (run(rows, plan, n_folds=2, threads=threads) for threads in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.y, second.y)
        assert_same(first, second)


def test_progress_is_reported_fold_by_fold():
    X, y, problem = make_rows(40, REGRESSION)
    said: list[str] = []
    run_folds(rows_of(X, y), plan_of("constant", problem), 3, threads=1, report=said.append)
    assert said == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3", "fold 3 of 3"]


def test_a_part_of_a_fold_keeps_what_belongs_to_its_rows():
    X, y, problem = make_rows(50, MULTICLASS)
    fold = run(rows_of(X, y), plan_of("linear", problem))[0]
    part = fold.take(np.array([4, 0]))
    for name in ("y", "weight", "predictions"):
        np.testing.assert_array_equal(getattr(part, name), getattr(fold, name)[[4, 0]])
    for space, view in part.views.items():
        np.testing.assert_array_equal(view.distances, fold.views[space].distances[[4, 0]])
        np.testing.assert_array_equal(view.cells, fold.views[space].cells[[4, 0]])
        assert view.targets is fold.views[space].targets
