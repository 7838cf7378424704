"""The folds: in each the whole procedure on some rows, asked about the others, of which it must know nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import folds, parallel, scoring
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.fitting import RESIDUALS, Fitting, Place
from resmem_cli.model.folds import Fold, Plan, View, _joined, _run_fold, growing_folds
from resmem_cli.model.grouping import equal_rows
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memorising import memorise
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.resmem import ResMem
from resmem_cli.model.splitting import Rows
from tests.model.examples import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    TASKS,
    fitting_of,
    make_rows,
    quick_base,
    quick_recipe,
    rows_of,
)

EVERY_BASE = pytest.mark.parametrize("name", ESTIMATORS)
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)


CHEAP = ("features", "sensitivity")
LEARNED = ("learned:diagonal", "learned:linear", "learned:mlp")


FEATURES = Place(0, "features")


def plan_of(
    name: str,
    problem: Problem,
    *,
    fixed=None,
    n_neighbors=8,
    learned=(),
    representations=None,
    residuals=None,
    share_of_cells=None,
    temperatures=(1.0,),
) -> Plan:
    if representations is None:
        represents = name not in ("constant", "parrot")
        representations = (*CHEAP, *(("model",) if represents else ()), *learned)
    recipe = quick_recipe(name, problem, fixed)
    return Plan(
        recipe, representations, residuals, n_neighbors, GraphOptions(), 2, share_of_cells, temperatures=temperatures
    )


def run(rows: Rows, *plans: Plan, n_folds: int = 5, threads: int = 1) -> list[Fold]:
    return next(growing_folds(rows, plans, n_folds, threads=threads, report=lambda _: None))


def one_fold(rows: Rows, plan: Plan, remembered: np.ndarray, asked: np.ndarray) -> Fold:
    queries = plan.recipe.honest(rows.take(asked))
    return _joined(queries, equal_rows(queries.X), [_run_fold(rows, plan, remembered, asked, 1)])


def arrays_of(fold: Fold) -> dict[str, np.ndarray]:
    """Everything a fold holds but the labels and weights of its held-out rows."""
    views = {f"{place} {key}": value for place, view in fold.views.items() for key, value in arrays_in(view).items()}
    return {**{f"predictions {base}": each for base, each in enumerate(fold.predictions)}, **views}


def arrays_in(view: View) -> dict[str, np.ndarray]:
    """The fields of a view, its residuals by temperature."""
    residuals = {f"residuals {temperature}": each for temperature, each in view.residuals.items()}
    return {name: value for name, value in vars(view).items() if name != "residuals"} | residuals


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


@EVERY_BASE
@EVERY_TASK
@pytest.mark.parametrize("kind", RESIDUALS)
@pytest.mark.parametrize("share_of_cells", [None, 0.2], ids=["whole", "condensed"])
def test_a_fold_answers_as_the_model_that_its_remembered_rows_make(name, n_classes, kind, share_of_cells):
    """What is judged is what is built: in every space, of residuals of every kind, at every temperature."""
    X, y, problem = make_rows(120, n_classes)
    X[60:80] = X[:20]  # equal rows
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    asked = np.arange(0, 120, 5)
    remembered = np.setdiff1d(np.arange(120), asked)
    temperatures = (1.0,) if n_classes == REGRESSION else (1.0, 2.5)
    plan = plan_of(
        name, problem, learned=LEARNED, residuals=kind, share_of_cells=share_of_cells, temperatures=temperatures
    )
    rows = rows_of(X, y, weight=weight)
    most_cells = None if share_of_cells is None else round(share_of_cells * len(remembered))
    fold = one_fold(rows, plan, remembered, asked)
    fitting = fitting_of(rows.take(remembered), problem, estimator=name, n_steps=plan.n_steps)
    assert list(fold.views) == [Place(0, representation, kind) for representation in plan.representations]
    for place, temperature in itertools.product(fold.views, temperatures):
        settings = Settings(8, 0.5, shrinkage=0.7, temperature=temperature)
        built = memorise(fitting, place, settings, GraphOptions(), most_cells=most_cells)
        expected = ResMem((fitting.base,), (built.corrected,), (1.0,)).predict(X[asked])
        np.testing.assert_allclose(fold.predictions[0], expected.base)
        found = scoring.predictions(fold, place, settings)
        np.testing.assert_allclose(found, expected.resmem, rtol=1e-6, atol=1e-9)


def test_a_fold_of_fewer_cells_than_neighbours_takes_all():
    X, y, problem = make_rows(40, REGRESSION)
    few = np.tile(X[:6], (10, 1))
    done = run(rows_of(few, np.tile(y[:6], 10)), plan_of("linear", problem, n_neighbors=128))
    assert {fold.views[FEATURES].distances.shape[1] for fold in done} == {4, 5}  # one or two of six are held out


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
        assert all(np.isfinite(fold.predictions[0]).all() for fold in done)


# Rows of equal features


def copied(n: int, n_classes: int) -> tuple[Rows, Problem]:
    """Every row twice, its label another one each time, told apart by their weights."""
    X, y, problem = make_rows(n, n_classes)
    weight = np.arange(1.0, 2 * n + 1)
    other = y + 1 if n_classes == REGRESSION else (y + 1) % n_classes
    return rows_of(np.vstack([X, X]), np.concatenate([y, other]), weight=weight), problem


@EVERY_TASK
@pytest.mark.parametrize("learned", [(), LEARNED[:1]], ids=["folds", "groups"])
def test_rows_of_equal_features_are_held_out_together(n_classes, learned):
    rows, problem = copied(60, n_classes)
    for folds_done in growing_folds(rows, [plan_of("linear", problem, learned=learned)], 4, threads=1, report=print):
        originals = [set(np.mod(fold.weight - 1, 60).tolist()) for fold in folds_done]
        assert sum(map(len, originals)) == sum(len(fold.y) for fold in folds_done) / 2 == len(set.union(*originals))
        for fold in folds_done:
            assert np.bincount(fold.group).tolist() == [2] * (len(fold.y) // 2)
            np.testing.assert_array_equal(fold.group[: len(fold.y) // 2], fold.group[len(fold.y) // 2 :])
            assert fold.views[FEATURES].distances.min() > 0  # no copy of theirs is remembered


@EVERY_TASK
def test_of_very_many_rows_equal_ones_are_on_one_side_too(monkeypatch, n_classes):
    monkeypatch.setattr(folds, "MOST_FOLDED_ROWS", 100)
    monkeypatch.setattr(folds, "MOST_SPLIT_ROWS", 90)
    rows, problem = copied(60, n_classes)
    done = run(rows, plan_of("linear", problem))
    assert sum(len(fold.y) for fold in done) == 18
    assert all(fold.views[FEATURES].distances.min() > 0 for fold in done)


# Rows that were given to decide by


def with_valid(X, y, n_first: int, problem, **changed) -> Rows:
    is_valid = np.arange(len(y)) >= n_first
    return replace(rows_of(X, y, is_new=is_valid), is_valid=is_valid, **changed)


@EVERY_TASK
def test_rows_given_to_decide_by_are_asked_about_and_not_remembered_by_each_other(n_classes):
    X, y, problem = make_rows(140, n_classes)
    X[100:120] = X[120:140]  # equal among themselves
    X[95:100] = X[120:125]  # and to some that are to be remembered, which then are not
    base = quick_base("linear", X[:100], y[:100], problem)
    rows = with_valid(X, y, 100, problem, weight=np.arange(1.0, 141))
    done = run(rows, plan_of("linear", problem, fixed=base), n_folds=4)
    np.testing.assert_array_equal(np.sort(np.concatenate([f.weight for f in done])), np.arange(101.0, 141))
    for fold in done:
        assert fold.views[FEATURES].counts.sum() == np.arange(1.0, 96).sum()
        np.testing.assert_allclose(fold.predictions[0], base.predict(X[fold.weight.astype(int) - 1]))


def test_an_encoder_learns_from_what_bases_leave_of_rows_to_remember_before_other_rows_decide(monkeypatch):
    """The base has seen them all, so that it is fitted anew on parts of them; the rows that decide teach nothing."""
    X, y, problem = make_rows(140, REGRESSION)
    base = quick_base("linear", X[:100], y[:100], problem)
    plan = plan_of("linear", problem, fixed=base, representations=LEARNED[1:2])
    plan = replace(plan, recipe=replace(plan.recipe, fits_within=True))
    before = run(with_valid(X, y, 100, problem), plan)
    after = run(with_valid(X, np.where(np.arange(140) < 100, y, -5 * y), 100, problem), plan)
    for fold, other in zip(before, after, strict=True):
        assert_same(fold, other)


def test_of_very_many_rows_every_honest_one_is_asked_about(monkeypatch):
    monkeypatch.setattr(folds, "MOST_FOLDED_ROWS", 100)
    monkeypatch.setattr(folds, "MOST_SPLIT_ROWS", 75)
    X, y, problem = make_rows(140, REGRESSION)
    base = quick_base("linear", X[:130], y[:130], problem)
    plan = plan_of("linear", problem, fixed=base)
    for rows in (with_valid(X, y, 130, problem), rows_of(X, y, is_new=np.arange(140) >= 130)):
        done = run(rows, plan)
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.y for fold in done])), np.sort(y[130:]))
        assert {fold.views[FEATURES].counts.sum() for fold in done} == {60}
    every = run(rows_of(X, y, is_new=np.ones(140, dtype=bool)), plan)  # more than are asked about
    assert sum(len(fold.y) for fold in every) == 15
    assert {fold.views[FEATURES].counts.sum() for fold in every} == {60}


# Which base


def test_where_the_base_has_seen_the_rows_every_fold_fits_it_anew():
    X, y, problem = make_rows(80, REGRESSION)
    done = run(rows_of(X, y), plan_of("constant", problem))
    means = [fold.predictions[0][0, 0] for fold in done]
    np.testing.assert_allclose(means, [(y.sum() - fold.y.sum()) / (80 - len(fold.y)) for fold in done])


def test_a_fixed_base_is_asked_about_new_rows_only_and_stays():
    X, y, problem = make_rows(400, REGRESSION)
    is_new = np.arange(400) >= 150
    base = quick_base("linear", X[:150], y[:150], problem)
    done = run(rows_of(X, y, is_new=is_new), plan_of("linear", problem, fixed=base))
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.y for fold in done])), np.sort(y[150:]))
    answers = dict(zip(y.tolist(), base.predict(X)[:, 0].tolist(), strict=True))
    for fold in done:
        np.testing.assert_allclose(fold.predictions[0][:, 0], [answers[label] for label in fold.y.tolist()])
        # Of all rows, seen or new, a fifth is left out of a fold's memory.
        assert fold.views[FEATURES].counts.sum() == 320


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
        done = run(rows_of(X, y), plan_of("constant", problem, representations=("learned:diagonal",)), n_folds=n_folds)
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
        view = fold.views[FEATURES]
        np.testing.assert_array_equal(view.counts, done[0].views[FEATURES].counts)
        assert len(view.counts) == 200
        assert not np.isin(view.counts, asked).any()
        assert view.cells.shape == (len(fold.y), 8)


def test_folds_are_the_same_with_any_number_of_threads(monkeypatch):
    """From some number of rows on, two threads are two processes; a single run would have both for itself."""
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 2_400)
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 2_400)
    X, y, problem = make_rows(2_400, REGRESSION)
    rows, plan = rows_of(X, y), plan_of("linear", problem, representations=("features", "learned:linear"))
    one, two = (run(rows, plan, n_folds=2, threads=threads) for threads in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.y, second.y)
        assert_same(first, second)


def test_one_fold_is_enough_where_an_encoder_is_trained_on_many_rows(monkeypatch):
    """With two threads, which are two processes from some number of rows on."""
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 100)
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 40)
    X, y, problem = make_rows(200, REGRESSION)
    plan = plan_of("constant", problem, representations=("learned:diagonal",))
    one, two = (run(rows_of(X, y), plan, threads=threads) for threads in (1, 2))
    assert [len(fold.y) for fold in two] == [8] * 5
    for first, second in zip(one, two, strict=True):
        assert_same(first, second)


def test_progress_is_reported_fold_by_fold():
    X, y, problem = make_rows(40, REGRESSION)
    said: list[str] = []
    assert (
        len(list(growing_folds(rows_of(X, y), [plan_of("constant", problem)], 3, threads=1, report=said.append))) == 1
    )
    assert said == ["constant, fold 1 of 3", "constant, fold 2 of 3", "constant, fold 3 of 3"]


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


# Several bases


@EVERY_TASK
def test_of_several_bases_each_is_in_a_fold_what_it_is_alone(n_classes):
    """All are asked about the same rows, and none knows of another."""
    X, y, problem = make_rows(100, n_classes)
    rows = rows_of(X, y)
    plans = [plan_of("boosting", problem), plan_of("linear", problem, residuals="cross-fitted")]
    both, first, second = run(rows, *plans), run(rows, plans[0]), run(rows, plans[1])
    assert list(both[0].views) == [
        *(Place(0, name) for name in ("features", "sensitivity", "model")),
        *(Place(1, name, "cross-fitted") for name in ("features", "sensitivity", "model")),
    ]
    for fold, *alone in zip(both, first, second, strict=True):
        assert len(fold.predictions) == 2
        for base, one in enumerate(alone):
            np.testing.assert_array_equal(fold.y, one.y)
            np.testing.assert_array_equal(fold.predictions[base], one.predictions[0])
            for place, view in one.views.items():
                other = arrays_in(fold.views[place._replace(base=base)])
                for key, value in arrays_in(view).items():
                    np.testing.assert_array_equal(other[key], value)


def test_as_few_folds_are_run_for_every_base_where_an_encoder_is_trained_on_one(monkeypatch):
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 30)
    X, y, problem = make_rows(100, REGRESSION)
    plain = plan_of("constant", problem)
    learning = plan_of("linear", problem, representations=("features", "learned:diagonal"))
    done = run(rows_of(X, y), plain, learning)
    assert sum(len(fold.y) for fold in done) == 40
    assert len(done) == 6


def test_where_encoders_are_trained_another_fold_is_run_each_time_up_to_the_third(monkeypatch):
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 30)
    X, y, problem = make_rows(200, REGRESSION)
    said: list[str] = []
    plans = [plan_of("constant", problem), plan_of("constant", problem, representations=("learned:diagonal",))]
    grown = list(growing_folds(rows_of(X, y), plans, 5, threads=1, report=said.append))
    assert [sum(len(fold.y) for fold in found) for found in grown] == [40, 80, 120]
    assert [len(found) for found in grown] == [5, 6, 6]
    fewer, more = (sorted(np.concatenate([fold.y for fold in found])) for found in grown[:2])
    assert set(fewer) <= set(more)
    assert grown[2][0].trained
    assert said[1::2] == [
        "constant, fold 1 of 1",
        *(f"constant, fold {i} because the gain is not clear" for i in (2, 3)),
    ]


def test_the_longest_runs_first_and_every_base_stays_in_its_place():
    X, y, problem = make_rows(100, REGRESSION)
    said: list[str] = []
    plans = [plan_of("constant", problem), plan_of("linear", problem, representations=("learned:diagonal",))]
    fold = next(growing_folds(rows_of(X, y), plans, 5, threads=1, report=said.append))[0]
    names = ["linear", "constant"] + ["linear"] * 4 + ["constant"] * 4
    assert said == [f"{name}, fold {i} of 5" for name, i in zip(names, (1, 1, 2, 3, 4, 5, 2, 3, 4, 5), strict=True)]
    assert [place.base for place in fold.views] == [0, 0, 1]
    assert np.ptp(fold.predictions[0]) == 0 < np.ptp(fold.predictions[1])


def test_progress_is_reported_base_by_base():
    X, y, problem = make_rows(40, REGRESSION)
    said: list[str] = []
    plans = [plan_of("constant", problem), plan_of("linear", problem)]
    next(growing_folds(rows_of(X, y), plans, 2, threads=1, report=said.append))
    assert said == ["constant, fold 1 of 2", "linear, fold 1 of 2", "constant, fold 2 of 2", "linear, fold 2 of 2"]


# Residuals


def kinds_of(fold: Fold) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for place in fold.views:
        kinds.setdefault(place.representation, []).append(place.residuals)
    return kinds


def test_where_a_base_overfits_an_encoder_learns_from_cross_fitted_residuals_and_the_rest_tries_both(parrot):
    X, y, problem = make_rows(80, REGRESSION)
    plan = plan_of(parrot, problem, representations=("features", "learned:diagonal"))
    assert kinds_of(run(rows_of(X, y), plan, n_folds=2)[0]) == {
        "features": ["in-sample", "cross-fitted"],
        "learned:diagonal": ["cross-fitted"],
    }


def test_where_a_base_does_not_overfit_its_residuals_are_its_own():
    X, y, problem = make_rows(80, REGRESSION)
    plan = plan_of("linear", problem, representations=("features", "learned:diagonal"))
    assert kinds_of(run(rows_of(X, y), plan, n_folds=2)[0]) == {
        "features": ["in-sample"],
        "learned:diagonal": ["in-sample"],
    }


def test_where_no_encoder_is_trained_no_base_is_fitted_to_see_whether_it_overfits(parrot, monkeypatch):
    X, y, problem = make_rows(80, REGRESSION)
    monkeypatch.setattr(Fitting, "folds", property(lambda _: pytest.fail("bases are fitted")))
    done = run(rows_of(X, y), plan_of(parrot, problem), n_folds=2)
    assert kinds_of(done[0]) == {"features": ["in-sample"], "sensitivity": ["in-sample"]}


@pytest.mark.parametrize("n_known", [40, 41])
def test_every_fold_tries_what_the_first_one_does_though_the_base_may_overfit_in_one_of_them_alone(
    n_known, monkeypatch
):
    """What is not tried in all folds could not be compared, and there would be nothing left to choose from."""
    monkeypatch.setattr(Fitting, "overfits", property(lambda fitting: len(fitting.training.y) == n_known))
    X, y, problem = make_rows(81, REGRESSION)
    plans = [
        plan_of("linear", problem, representations=("learned:diagonal",)),
        plan_of("constant", problem, representations=("features", "learned:diagonal")),
    ]
    done = run(rows_of(X, y), *plans, n_folds=2)
    kind = "cross-fitted" if n_known == 40 else "in-sample"
    assert [len(fold.y) for fold in done] == [41, 40]
    for fold in done:
        assert list(fold.views) == [
            Place(0, "learned:diagonal", kind),
            Place(1, "features", "in-sample"),
            *([Place(1, "features", kind)] if n_known == 40 else []),
            Place(1, "learned:diagonal", kind),
        ]


@pytest.mark.parametrize("kind", RESIDUALS)
def test_the_kind_that_is_asked_for_is_the_only_one(kind, parrot):
    X, y, problem = make_rows(80, REGRESSION)
    for name in (parrot, "linear"):
        plan = plan_of(name, problem, representations=("features", "learned:diagonal"), residuals=kind)
        assert {place.residuals for place in run(rows_of(X, y), plan, n_folds=2)[0].views} == {kind}


def test_a_condensed_memory_is_searched_beside_the_whole_one() -> None:
    X, y, problem = make_rows(200, 0)
    plain = run(rows_of(X, y), plan_of("linear", problem), n_folds=4)
    condensed = run(rows_of(X, y), plan_of("linear", problem, share_of_cells=0.25), n_folds=4)
    for fold, other in zip(plain, condensed, strict=True):
        assert fold.whole == {}
        assert other.whole.keys() == other.views.keys() == fold.views.keys()
        for place, view in fold.views.items():
            np.testing.assert_array_equal(other.whole[place].distances, view.distances)
            np.testing.assert_array_equal(other.whole[place].residuals[1.0], view.residuals[1.0])
            few = other.views[place].counts
            assert len(few) == round(0.25 * 150)  # of the 150 rows that are not asked about
            assert few.sum() == view.counts.sum() == 150


def test_a_condensed_memory_has_as_many_cells_as_neighbours_are_asked_for() -> None:
    X, y, problem = make_rows(200, 0)
    (fold, *_) = run(rows_of(X, y), plan_of("linear", problem, share_of_cells=0.01))
    assert {len(view.counts) for view in fold.views.values()} == {8}
