"""The folds: in each the whole procedure on some rows, asked about the others, of which it must know nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import starmap

import numpy as np
import pytest

from resmem_cli.errors import DataError
from resmem_cli.model import parallel
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.choosing import folds
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.fold import Fold
from resmem_cli.model.choosing.fold import run as run_fold
from resmem_cli.model.choosing.folds import FoldSizes, growing_folds
from resmem_cli.model.rows import LabelledRows
from resmem_cli.model.spaces.training import RESIDUAL_KINDS, Training
from tests.model.choosing.plans import EVERY_BASE, FEATURES, LEARNED, arrays_in, assert_same, plan_of, run
from tests.model.examples import (
    BINARY,
    EVERY_TASK,
    REGRESSION,
    make_rows,
    quick_base,
    rows_of,
)

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


def copied(n: int, n_classes: int) -> tuple[LabelledRows, Problem]:
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
def test_of_very_many_rows_equal_ones_are_on_one_side_too(n_classes):
    rows, problem = copied(60, n_classes)
    done = run(rows, plan_of("linear", problem), sizes=FoldSizes(most_folded=100, most_split=90))
    assert sum(len(fold.y) for fold in done) == 18
    assert all(fold.views[FEATURES].distances.min() > 0 for fold in done)


# Rows that were given to decide by


def with_valid(X, y, n_first: int, problem, **changed) -> LabelledRows:
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


def test_an_encoder_learns_from_what_bases_leave_of_rows_to_remember_before_other_rows_decide():
    """The base has seen them all, so that it is fitted anew on parts of them; the rows that decide teach nothing."""
    X, y, problem = make_rows(140, REGRESSION)
    base = quick_base("linear", X[:100], y[:100], problem)
    plan = plan_of("linear", problem, fixed=base, spaces=LEARNED[1:2])
    plan = replace(plan, recipe=replace(plan.recipe, fits_within=True))
    before = run(with_valid(X, y, 100, problem), plan)
    after = run(with_valid(X, np.where(np.arange(140) < 100, y, -5 * y), 100, problem), plan)
    for fold, other in zip(before, after, strict=True):
        assert_same(fold, other)


def test_of_very_many_rows_every_unseen_one_is_a_query():
    sizes = FoldSizes(most_folded=100, most_split=75)
    X, y, problem = make_rows(140, REGRESSION)
    base = quick_base("linear", X[:130], y[:130], problem)
    plan = plan_of("linear", problem, fixed=base)
    for rows in (with_valid(X, y, 130, problem), rows_of(X, y, is_new=np.arange(140) >= 130)):
        done = run(rows, plan, sizes=sizes)
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.y for fold in done])), np.sort(y[130:]))
        assert {fold.views[FEATURES].counts.sum() for fold in done} == {60}
    every = run(rows_of(X, y, is_new=np.ones(140, dtype=bool)), plan, sizes=sizes)  # more than are asked about
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


def test_where_encoders_are_trained_only_as_many_folds_are_run_as_ask_enough_rows():
    """Their held-out rows are split, so that there are as many groups as folds were asked for."""
    X, y, problem = make_rows(100, REGRESSION)
    learned = plan_of("constant", problem, spaces=("learned:diagonal",))
    done = run(rows_of(X, y), learned, sizes=FoldSizes(enough_to_learn=30))
    assert [len(fold.y) for fold in done] == [7, 7, 6, 7, 7, 6]
    assert len(np.unique(np.concatenate([fold.y for fold in done]))) == 40
    assert [len(fold.y) for fold in run(rows_of(X, y), plan_of("constant", problem))] == [20] * 5


@pytest.mark.parametrize("n_folds", [2, 3, 5, 7])
def test_there_are_at_least_as_many_groups_as_folds_were_asked_for(n_folds):
    X, y, problem = make_rows(60, BINARY)
    for enough in (1, 20, 45, 1_000):
        plan, sizes = plan_of("constant", problem, spaces=("learned:diagonal",)), FoldSizes(enough_to_learn=enough)
        done = run(rows_of(X, y), plan, n_folds=n_folds, sizes=sizes)
        n_asked = sum(len(fold.y) for fold in done)
        assert n_folds <= len(done) < 2 * n_folds
        assert abs(n_asked - min(enough, 60) - 30 / n_folds) <= 30 / n_folds + n_folds  # folds differ by a row
        assert all(len(fold.y) for fold in done)


def test_where_the_base_stays_only_new_rows_count_as_asked():
    X, y, problem = make_rows(100, REGRESSION)
    is_new = np.arange(100) % 4 == 0
    plan = plan_of("constant", problem, fixed=quick_base("constant", X, y, problem), spaces=LEARNED[:1])
    done = run(rows_of(X, y, is_new=is_new), plan, sizes=FoldSizes(enough_to_learn=15))
    asked = np.concatenate([fold.y for fold in done])
    assert 15 <= len(asked) < 25
    assert np.isin(asked, y[is_new]).all()
    assert len(done) >= 5


# Very many rows, and threads


@EVERY_TASK
def test_of_very_many_rows_one_split_of_a_subsample_replaces_the_folds(n_classes):
    X, y, problem = make_rows(400, n_classes)
    weight = np.arange(1.0, 401)  # tells the rows apart
    sizes = FoldSizes(most_folded=300, most_split=250)
    done = run(rows_of(X, y, weight=weight), plan_of("linear", problem), n_folds=4, sizes=sizes)
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
    sizes = FoldSizes(enough_to_learn=2_400)
    X, y, problem = make_rows(2_400, REGRESSION)
    rows, plan = rows_of(X, y), plan_of("linear", problem, spaces=("features", "learned:linear"))
    one, two = (run(rows, plan, n_folds=2, threads=threads, sizes=sizes) for threads in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.y, second.y)
        assert_same(first, second)


def test_one_fold_is_enough_where_an_encoder_is_trained_on_many_rows(monkeypatch):
    """With two threads, which are two processes from some number of rows on."""
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 100)
    sizes = FoldSizes(enough_to_learn=40)
    X, y, problem = make_rows(200, REGRESSION)
    plan = plan_of("constant", problem, spaces=("learned:diagonal",))
    one, two = (run(rows_of(X, y), plan, threads=threads, sizes=sizes) for threads in (1, 2))
    assert [len(fold.y) for fold in two] == [8] * 5
    for first, second in zip(one, two, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize(
    ("beside", "learning", "expected"),
    [
        ("linear", ("constant",), {2}),
        ("linear", ("constant", "linear"), {1}),
        ("linear", (), {1}),
        ("network", ("constant",), {1}),  # which takes as long
    ],
)
def test_the_only_run_that_takes_long_has_all_threads(monkeypatch, beside, learning, expected):
    given = set()

    def recorded(rows, plan, training, held_out, threads):
        given.add(threads)
        return run_fold(rows, plan, training, held_out, threads)

    monkeypatch.setattr(folds, "run", recorded)
    monkeypatch.setattr(folds, "side_by_side", lambda function, arguments, **_: starmap(function, arguments))
    X, y, problem = make_rows(100, REGRESSION)
    spaces = {name: ("features", *(("learned:diagonal",) if name in learning else ())) for name in ("constant", beside)}
    plans = [plan_of(name, problem, spaces=own) for name, own in spaces.items()]
    run(rows_of(X, y), *plans, threads=2, sizes=FoldSizes(enough_to_learn=20))
    assert given == expected


def test_progress_is_reported_fold_by_fold():
    X, y, problem = make_rows(40, REGRESSION)
    said: list[str] = []
    assert (
        len(list(growing_folds(rows_of(X, y), [plan_of("constant", problem)], 3, threads=1, report=said.append))) == 1
    )
    assert said == ["constant, fold 1 of 3", "constant, fold 2 of 3", "constant, fold 3 of 3"]


# Several bases


@EVERY_TASK
def test_of_several_bases_each_is_in_a_fold_what_it_is_alone(n_classes):
    """All are asked about the same rows, and none knows of another."""
    X, y, problem = make_rows(100, n_classes)
    rows = rows_of(X, y)
    plans = [plan_of("boosting", problem), plan_of("linear", problem, residuals="cross-fitted")]
    both, first, second = run(rows, *plans), run(rows, plans[0]), run(rows, plans[1])
    assert list(both[0].views) == [
        *(Candidate(0, name) for name in ("features", "sensitivity", "model")),
        *(Candidate(1, name, "cross-fitted") for name in ("features", "sensitivity", "model")),
    ]
    for fold, *alone in zip(both, first, second, strict=True):
        assert len(fold.predictions) == 2
        for base, one in enumerate(alone):
            np.testing.assert_array_equal(fold.y, one.y)
            np.testing.assert_array_equal(fold.predictions[base], one.predictions[0])
            for candidate, view in one.views.items():
                other = arrays_in(fold.views[candidate._replace(base=base)])
                for key, value in arrays_in(view).items():
                    np.testing.assert_array_equal(other[key], value)


def test_as_few_folds_are_run_for_every_base_where_an_encoder_is_trained_on_one():
    X, y, problem = make_rows(100, REGRESSION)
    plain = plan_of("constant", problem)
    learning = plan_of("linear", problem, spaces=("features", "learned:diagonal"))
    done = run(rows_of(X, y), plain, learning, sizes=FoldSizes(enough_to_learn=30))
    assert sum(len(fold.y) for fold in done) == 40
    assert len(done) == 6


def test_where_encoders_are_trained_another_fold_is_run_each_time_up_to_the_third():
    X, y, problem = make_rows(200, REGRESSION)
    said: list[str] = []
    plans = [plan_of("constant", problem), plan_of("constant", problem, spaces=("learned:diagonal",))]
    sizes = FoldSizes(enough_to_learn=30)
    grown = list(growing_folds(rows_of(X, y), plans, 5, threads=1, report=said.append, sizes=sizes))
    assert [sum(len(fold.y) for fold in found) for found in grown] == [40, 80, 120]
    assert [len(found) for found in grown] == [5, 6, 6]
    fewer, more = (sorted(np.concatenate([fold.y for fold in found])) for found in grown[:2])
    assert set(fewer) <= set(more)
    assert grown[2][0].trained
    assert said[1::2] == [
        "constant, fold 1 of 1",
        *(f"constant, fold {i} added because the gain is not clear" for i in (2, 3)),
    ]


def test_the_longest_runs_first_and_every_base_stays_in_its_place():
    X, y, problem = make_rows(100, REGRESSION)
    said: list[str] = []
    plans = [plan_of("constant", problem), plan_of("linear", problem, spaces=("learned:diagonal",))]
    fold = next(growing_folds(rows_of(X, y), plans, 5, threads=1, report=said.append))[0]
    names = ["linear", "constant"] + ["linear"] * 4 + ["constant"] * 4
    assert said == [f"{name}, fold {i} of 5" for name, i in zip(names, (1, 1, 2, 3, 4, 5, 2, 3, 4, 5), strict=True)]
    assert [candidate.base for candidate in fold.views] == [0, 0, 1]
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
    for candidate in fold.views:
        kinds.setdefault(candidate.space, []).append(candidate.residuals)
    return kinds


def test_where_a_base_overfits_an_encoder_learns_from_cross_fitted_residuals_and_the_rest_tries_both(parrot):
    X, y, problem = make_rows(80, REGRESSION)
    plan = plan_of(parrot, problem, spaces=("features", "learned:diagonal"))
    assert kinds_of(run(rows_of(X, y), plan, n_folds=2)[0]) == {
        "features": ["in-sample", "cross-fitted"],
        "learned:diagonal": ["cross-fitted"],
    }


def test_where_a_base_does_not_overfit_its_residuals_are_its_own():
    X, y, problem = make_rows(80, REGRESSION)
    plan = plan_of("linear", problem, spaces=("features", "learned:diagonal"))
    assert kinds_of(run(rows_of(X, y), plan, n_folds=2)[0]) == {
        "features": ["in-sample"],
        "learned:diagonal": ["in-sample"],
    }


def test_where_no_encoder_is_trained_no_base_is_fitted_to_see_whether_it_overfits(parrot, monkeypatch):
    X, y, problem = make_rows(80, REGRESSION)
    monkeypatch.setattr(Training, "folds", property(lambda _: pytest.fail("bases are fitted")))
    done = run(rows_of(X, y), plan_of(parrot, problem), n_folds=2)
    assert kinds_of(done[0]) == {"features": ["in-sample"], "sensitivity": ["in-sample"]}


@pytest.mark.parametrize("n_known", [40, 41])
def test_every_fold_tries_what_the_first_one_does_though_the_base_may_overfit_in_one_of_them_alone(
    n_known, monkeypatch
):
    """What is not tried in all folds could not be compared, and there would be nothing left to choose from."""
    monkeypatch.setattr(Training, "overfits", property(lambda training: len(training.rows.y) == n_known))
    X, y, problem = make_rows(81, REGRESSION)
    plans = [
        plan_of("linear", problem, spaces=("learned:diagonal",)),
        plan_of("constant", problem, spaces=("features", "learned:diagonal")),
    ]
    done = run(rows_of(X, y), *plans, n_folds=2)
    kind = "cross-fitted" if n_known == 40 else "in-sample"
    assert [len(fold.y) for fold in done] == [41, 40]
    for fold in done:
        assert list(fold.views) == [
            Candidate(0, "learned:diagonal", kind),
            Candidate(1, "features", "in-sample"),
            *([Candidate(1, "features", kind)] if n_known == 40 else []),
            Candidate(1, "learned:diagonal", kind),
        ]


@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
def test_the_kind_that_is_asked_for_is_the_only_one(kind, parrot):
    X, y, problem = make_rows(80, REGRESSION)
    for name in (parrot, "linear"):
        plan = plan_of(name, problem, spaces=("features", "learned:diagonal"), residuals=kind)
        assert {candidate.residuals for candidate in run(rows_of(X, y), plan, n_folds=2)[0].views} == {kind}


@pytest.mark.parametrize("seed", range(6))
def test_very_many_rows_of_which_most_are_equal_are_split(seed):
    X, y, problem = make_rows(400, REGRESSION)
    X[:360] = X[0]
    plan = plan_of("linear", replace(problem, seed=seed), spaces=("features",))
    done = run(rows_of(X, y), plan, sizes=FoldSizes(most_folded=300, most_split=250))
    assert sum(len(fold.y) for fold in done) + done[0].views[FEATURES].counts.sum() >= 225


def test_rows_that_all_equal_a_held_out_row_cannot_be_remembered():
    X, y, problem = make_rows(80, REGRESSION)
    X[40:] = X[:40]
    is_valid = np.arange(80) >= 40
    rows = LabelledRows(X, y, None, np.ones(80, dtype=bool), is_valid)
    plan = plan_of("constant", problem, fixed=quick_base("constant", X, y, problem), spaces=("features",))
    with pytest.raises(DataError, match=r"^every row to remember equals a held-out row in all features"):
        run(rows, plan)
