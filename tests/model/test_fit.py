"""Fitting a memory: what the folds judge is what is built, and it predicts."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model.bases import BaseSpec
from resmem_cli.model.choosing import scoring
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.folds import FoldSizes
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.fit import fit_memory
from resmem_cli.model.kernel import Settings
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.resmem import ResMem
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces.encoder import KINDS
from resmem_cli.model.spaces.training import RESIDUAL_KINDS
from tests.model.choosing.plans import EVERY_BASE, LEARNED, one_fold, plan_of
from tests.model.examples import EVERY_TASK, QUICK, REGRESSION, make_rows, member_of, quick_base, rows_of, training_of

COLUMN = {"v": (0, 2)}  # the first two numbers, as a column of vectors
EVERY_SPACE = ("features", "sensitivity", "model", "column:v", *(f"learned:{kind}" for kind in KINDS))


# What is judged is what is built


def assert_judged_as_built(name: str, n_classes: int, kind, share_of_cells, *, weighted: bool, spaces=None) -> None:
    """In every space, at every temperature: a fold and a model of the fold's training rows are one."""
    X, y, problem = make_rows(120, n_classes)
    problem = replace(problem, vectors=COLUMN)
    X[60:80] = X[:20]  # equal rows
    weight = np.random.default_rng(0).uniform(0.5, 2, 120) if weighted else None
    held_out = np.arange(0, 120, 5)
    training_rows = np.setdiff1d(np.arange(120), held_out)
    temperatures = (1.0,) if n_classes == REGRESSION else (1.0, 2.5)
    plan = plan_of(
        name,
        problem,
        learned=LEARNED,
        spaces=spaces,
        residuals=kind,
        share_of_cells=share_of_cells,
        temperatures=temperatures,
    )
    rows = rows_of(X, y, weight=weight)
    most_cells = None if share_of_cells is None else round(share_of_cells * len(training_rows))
    fold = one_fold(rows, plan, training_rows, held_out)
    training = training_of(rows.take(training_rows), problem, estimator=name, n_steps=plan.schedule.n_steps)
    assert list(fold.views) == [Candidate(0, space, kind) for space in plan.spaces]
    for (candidate, view), temperature in itertools.product(fold.views.items(), temperatures):
        settings = Settings(8, 0.5, shrinkage=0.7, temperature=temperature)
        member = member_of(training, candidate, settings, most_cells=most_cells)
        near = member.neighbors(Encoded(X[held_out]), training.base, fold.predictions[0], 1)
        np.testing.assert_array_equal(view.counts, member.memory.counts)
        np.testing.assert_array_equal(view.cells, near.cells)
        np.testing.assert_allclose(view.distances, near.corrections.distances, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(view.residuals[temperature], member.memory.residuals, rtol=1e-9, atol=1e-12)
        assert (view.trend is None) == (near.corrections.trend is None)
        if view.trend is not None:
            np.testing.assert_allclose(view.trend, near.corrections.trend, rtol=1e-6, atol=1e-9)
        expected = ResMem((training.base,), (member,)).predict(X[held_out])
        np.testing.assert_allclose(fold.predictions[0], expected.base)
        found = scoring.predictions(fold, candidate, settings)
        np.testing.assert_allclose(found, expected.resmem, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found, member.predictions(near), rtol=1e-6, atol=1e-9)
        if n_classes == REGRESSION:
            stds = scoring.neighbor_stds(fold, candidate, settings)
            np.testing.assert_allclose(stds, member.neighbor_std(near), rtol=1e-6, atol=1e-9)


@EVERY_BASE
@EVERY_TASK
@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
@pytest.mark.parametrize("share_of_cells", [None, 0.2], ids=["whole", "condensed"])
def test_a_fold_answers_as_the_model_that_its_training_rows_make(name, n_classes, kind, share_of_cells):
    assert_judged_as_built(name, n_classes, kind, share_of_cells, weighted=True)


@EVERY_TASK
@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
@pytest.mark.parametrize("share_of_cells", [None, 0.2], ids=["whole", "condensed"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_in_every_space_a_fold_answers_as_the_model_that_its_training_rows_make(
    n_classes, kind, share_of_cells, weighted
):
    assert_judged_as_built("linear", n_classes, kind, share_of_cells, weighted=weighted, spaces=EVERY_SPACE)


# From rows to predictions


def fitted(n_classes: int, options: MemoryOptions, *names: str, n: int = 300, **more):
    """A model of some rows under bases that were fitted to them, and the bases."""
    X, y, problem = make_rows(n, n_classes)
    bases = [(BaseSpec(name, QUICK[name]), quick_base(name, X, y, problem)) for name in names]
    return fit_memory(rows_of(X, y), bases, problem, options, **more)


@EVERY_TASK
def test_a_memory_is_fitted_and_predicts(n_classes):
    said: list[str] = []
    options = MemoryOptions(effort="quick", n_folds=3)
    found = fitted(n_classes, options, "linear", "boosting", report=said.append)
    assert found.selection is not None
    assert (found.too_few, found.base_metrics) == (None, None)
    assert found.objective == found.selection.objective == ("rmse" if n_classes == REGRESSION else "log_loss")
    resmem, choices = found.resmem, found.selection.choices
    assert [(m.base, m.space.name, m.residuals, m.settings, m.weight) for m in resmem.members] == [
        (*each.candidate, each.settings, each.weight) for each in choices
    ]
    assert resmem.weights.sum() == pytest.approx(1)
    assert resmem.calibration is found.selection.calibration
    assert said[0] == "choosing candidates"
    assert said[-len(choices) - 1] == "memorising 300 rows"
    assert said[-1] == f"indexing 300 rows in the space {choices[-1].candidate.space}"

    X, y, _ = make_rows(600, n_classes, seed=1)
    prediction = resmem.predict(X, with_place=True)
    np.testing.assert_array_equal(prediction.base, resmem.bases[0].predict(X))
    assert prediction.resmem.shape == prediction.base.shape == (600, n_classes or 1)
    if found.selection.helps:
        assert row_loss(y, prediction.resmem).mean() < row_loss(y, prediction.base).mean()
    if n_classes == REGRESSION:
        assert found.selection.helps
        low, high = resmem.interval(prediction, 0.8)
        assert 0.7 < ((low <= y) & (y <= high)).mean() < 0.9
    else:
        np.testing.assert_allclose(prediction.resmem.sum(axis=1), 1)
        sets = resmem.interval(prediction, 0.8)
        assert 0.7 < sets[np.arange(600), y.astype(int)].mean() <= 1


@EVERY_TASK
def test_without_folds_what_the_user_fixed_is_built_and_nothing_is_measured(n_classes):
    options = MemoryOptions(5, 0.4, shrinkage=0.8, temperature=1.0, space="features", n_folds=0)
    found = fitted(n_classes, options, "linear", "boosting")
    assert found.selection is found.too_few is None
    (member,) = found.resmem.members
    assert (member.base, member.space.name, member.settings) == (0, "features", Settings(5, 0.4, shrinkage=0.8))
    X, y, problem = make_rows(300, n_classes)
    alone = member_of(training_of(rows_of(X, y), problem), Candidate(0, "features"), member.settings)
    fresh = make_rows(50, n_classes, seed=1)[0]
    expected = ResMem((quick_base("linear", X, y, problem),), (alone,)).predict(fresh)
    np.testing.assert_array_equal(found.resmem.predict(fresh).resmem, expected.resmem)
    with pytest.raises(UsageError, match="no held-out rows to make prediction intervals from"):
        found.resmem.interval(found.resmem.predict(fresh, with_place=True), 0.8)


def test_too_few_rows_to_judge_by_leave_the_memory_off():
    found = fitted(REGRESSION, MemoryOptions(effort="quick"), "linear", n=20)
    assert (found.selection, found.too_few) == (None, 20)
    assert not found.resmem.uses_memory
    with pytest.raises(UsageError, match="20 held-out rows are too few to choose settings by"):
        fitted(REGRESSION, MemoryOptions(effort="quick", shrinkage=1.0), "linear", n=20)


def test_of_very_many_rows_one_split_chooses():
    options = MemoryOptions(effort="quick", n_folds=3)
    found = fitted(REGRESSION, options, "linear", sizes=FoldSizes(most_folded=200, most_split=150))
    assert found.selection is not None
    assert found.selection.n_queries == 30
    assert found.resmem.members[0].memory.n_cells == 300
