"""Of very many classes the folds choose, and the memory predicts, as by residuals of every class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model.bases import BaseSpec
from resmem_cli.model.choosing.folds import FoldSizes
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.fit import FittedResMem, fit_memory
from resmem_cli.model.residuals import SparseResiduals
from tests.model.examples import make_rows, quick_base, rows_of

N_CLASSES = 6  # so few that every class is held
EVERY = MemoryOptions(effort="quick", n_folds=3)
SPARSE = replace(EVERY, most_dense=2)


def fitted(options: MemoryOptions, n: int = 300, **more: object) -> FittedResMem:
    X, y, problem = make_rows(n, N_CLASSES)
    weight = np.random.default_rng(0).uniform(0.5, 2, n)
    names = ("linear", "constant")
    bases = [(BaseSpec(name, {}), quick_base(name, X, y, problem, weight)) for name in names]
    return fit_memory(rows_of(X, y, weight=weight), bases, problem, options, **more)


@pytest.mark.parametrize("more", [{}, {"most_cells": 60}], ids=["whole", "condensed"])
def test_with_all_classes_held_it_is_the_same_model(more: dict[str, int]) -> None:
    expected, found = fitted(replace(EVERY, **more)), fitted(replace(SPARSE, **more))
    assert found.selection is not None
    assert expected.selection is not None
    assert all(member.memory.is_sparse for member in found.resmem.members)
    assert found.selection.helps
    assert [s.candidate for s in found.selection.scores] == [s.candidate for s in expected.selection.scores]
    for name in ("base_loss", "resmem_loss", "gain", "standard_error", "uncondensed_loss"):
        assert getattr(found.selection, name) == pytest.approx(getattr(expected.selection, name)), name
    X = make_rows(90, N_CLASSES, seed=1)[0]
    for each in (found.resmem.predict(X), found.resmem.predict(X, most_held=60)):
        np.testing.assert_allclose(each.resmem, expected.resmem.predict(X).resmem, atol=1e-10)
    one, other = (each.resmem.calibration for each in (found, expected))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-10)


def test_by_accuracy_it_is_the_same_model_where_one_memory_predicts() -> None:
    one = {"objective": "accuracy", "n_members": 1, "shrinkage": 1.0}
    expected, found = fitted(replace(EVERY, **one)), fitted(replace(SPARSE, **one))
    assert found.selection is not None
    assert expected.selection is not None
    assert found.selection.resmem_loss == pytest.approx(expected.selection.resmem_loss)
    X = make_rows(90, N_CLASSES, seed=1)[0]
    np.testing.assert_allclose(found.resmem.predict(X).resmem, expected.resmem.predict(X).resmem, atol=1e-10)


def test_what_needs_every_class_is_tried_only_if_it_is_asked_for() -> None:
    _, _, problem = make_rows(5, N_CLASSES)
    assert EVERY.n_largest(problem) is None
    assert SPARSE.n_largest(problem) == 16
    for asked in ({"space": "learned"}, {"encoder": "mlp"}, {"residuals": "cross-fitted"}):
        assert replace(SPARSE, **asked).n_largest(problem) is None
    found = fitted(replace(SPARSE, effort="default"), n=700)
    assert found.selection is not None
    assert {s.candidate.space for s in found.selection.scores} == {"features", "sensitivity", "model"}
    assert {s.candidate.residuals for s in found.selection.scores} == {"in-sample"}


def test_no_more_rows_judge_than_their_probabilities_can_be_held_of() -> None:
    for sizes, expected in (
        (FoldSizes(most_queries=60), 60),
        (FoldSizes(most_probabilities=90 * N_CLASSES), 90),
        (FoldSizes(), 300),
    ):
        found = fitted(SPARSE, sizes=sizes)
        assert found.selection is not None
        assert found.selection.n_queries == expected
        assert fitted(EVERY, sizes=sizes).selection.n_queries == 300  # of few classes all do


def test_rows_are_added_and_removed_as_by_every_class() -> None:
    more = rows_of(*make_rows(40, N_CLASSES, seed=2)[:2], weight=np.ones(40))
    X = make_rows(90, N_CLASSES, seed=1)[0]
    predictions = []
    for options in (EVERY, SPARSE):
        resmem = fitted(options).resmem
        forgotten = resmem.forget(np.arange(300) % 3 == 0, np.ones(200), seed=0)
        together = forgotten.remember(more, np.full(200, -1), np.ones(240), seed=0)
        predictions.append([each.predict(X).resmem for each in (forgotten, together)])
        assert isinstance(together.members[0].memory.residuals, SparseResiduals) == (options is SPARSE)
    np.testing.assert_allclose(predictions[1], predictions[0], atol=1e-10)


def test_explanations_are_those_of_every_class() -> None:
    X = make_rows(30, N_CLASSES, seed=1)[0]
    expected, found = (fitted(options).resmem.explain(X, np.ones(1)) for options in (EVERY, SPARSE))
    winners = expected.prediction.argmax(axis=1)
    for one, other in zip(found.shares, expected.shares, strict=True):
        for row, winner in enumerate(winners.tolist()):
            np.testing.assert_allclose(one.of(row, winner), other.of(row, winner), atol=1e-10)
