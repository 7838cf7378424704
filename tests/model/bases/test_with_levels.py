"""Bases of tables with categories of many values: what they are told of them, and what they were told is stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model import bases, metrics
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.bases.with_levels import Reads, WithLevels
from tests.model.examples import EVERY_TASK, INSTALLED, MULTICLASS, QUICK, REGRESSION, skip_if_absent

N_LEVELS, N_CODES = 400, 20


def many_values(n: int, n_classes: int, seed: int = 0) -> tuple[Floats, Floats, Problem]:
    """Rows of a number and of a category of 400 values, of which 19 have a code of their own; all matter."""
    rng = np.random.default_rng(seed)
    effects = np.random.default_rng(7).normal(size=N_LEVELS)
    level = rng.integers(0, N_LEVELS, n)
    number = rng.normal(size=n)
    value = number + 2 * effects[level] + 0.3 * rng.normal(size=n)
    y = value if n_classes == 0 else np.digitize(value, np.linspace(-2, 2, n_classes - 1)).astype(float)
    X = np.column_stack([number, np.minimum(level, N_CODES - 1), level]).astype(float)
    X[rng.random(n) < 0.02, 1:] = np.nan
    return X, y, Problem((0, N_CODES), n_classes, seed=3, levels={1: N_LEVELS})


def fit(name: str, X: Floats, y: Floats, problem: Problem, *, encoded: bool) -> WithLevels:
    skip_if_absent(name)
    params = {**QUICK[name], bases.TARGET_ENCODING: encoded}
    base = bases.fit(BaseSpec(name, params), X, y, None, problem)
    assert isinstance(base, WithLevels)
    return base


def test_a_base_that_is_told_the_means_predicts_new_rows_better() -> None:
    X, y, problem = many_values(4_000, REGRESSION)
    new, truth, _ = many_values(2_000, REGRESSION, seed=1)
    losses = [
        metrics.row_loss(truth, fit("linear", X, y, problem, encoded=encoded).predict(new)).mean()
        for encoded in (False, True)
    ]
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize("encoded", [False, True])
@EVERY_TASK
@pytest.mark.parametrize("name", [name for name in INSTALLED if bases.ESTIMATORS[name].reads_features])
def test_every_base_predicts_the_same_when_it_is_stored_and_restored(name: str, n_classes: int, encoded: bool) -> None:
    if (name == "poisson" and n_classes) or (name == "discriminant" and not n_classes):
        pytest.skip("it is not for this task")
    X, y, problem = many_values(300, n_classes)
    y = np.abs(y)
    base = fit(name, X, y, problem, encoded=encoded)
    predicted = base.predict(X)
    assert predicted.shape == (300, problem.n_outputs)
    assert np.isfinite(predicted).all()
    assert base.belongs(problem, X.shape[1])
    assert not base.belongs(replace(problem, levels={1: N_LEVELS + 1}), X.shape[1])
    assert not base.belongs(replace(problem, levels={}), X.shape[1])
    restored = bases.restore(name, base.to_arrays(), base.estimator)
    np.testing.assert_array_equal(restored.predict(X), predicted)
    represented = base.represent(X)
    if represented is not None:
        np.testing.assert_array_equal(restored.represent(X), represented)
    both = bases.protocol.predict_and_represent(base, X)
    np.testing.assert_array_equal(both[0], predicted)


def test_a_base_that_is_told_nothing_is_the_one_of_a_table_without_levels() -> None:
    X, y, problem = many_values(300, REGRESSION)
    told_nothing = fit("boosting", X, y, problem, encoded=False)
    plain = bases.fit(BaseSpec("boosting", QUICK["boosting"]), X[:, :2], y, None, replace(problem, levels={}))
    np.testing.assert_array_equal(told_nothing.predict(X), plain.predict(X[:, :2]))
    changed = X.copy()
    changed[:, 2] = 0
    np.testing.assert_array_equal(told_nothing.predict(changed), told_nothing.predict(X))


def test_catboost_reads_the_codes_because_it_makes_such_statistics_itself() -> None:
    X, y, problem = many_values(300, REGRESSION)
    assert fit("catboost", X, y, problem, encoded=True).reads is Reads.CODES
    assert fit("linear", X, y, problem, encoded=True).reads is Reads.MEANS


def test_the_parameter_exists_only_where_there_are_levels_and_takes_true_or_false() -> None:
    X, y, problem = many_values(60, MULTICLASS)
    assert bases.parameters("linear", problem)[bases.TARGET_ENCODING] is False
    assert bases.TARGET_ENCODING not in bases.parameters("linear", replace(problem, levels={}))
    assert bases.TARGET_ENCODING not in bases.parameters("constant", problem)
    with pytest.raises(UsageError) as refused:
        bases.fit(BaseSpec("linear", {bases.TARGET_ENCODING: 3}), X, y, None, problem)
    assert str(refused.value) == "target_encoding is 3, not true or false; correct the --param"


def test_rows_that_differ_in_a_level_alone_are_not_equal() -> None:
    X = np.array([[0.0, 19.0, 50.0], [0.0, 19.0, 51.0], [0.0, 19.0, 50.0]])
    groups = Problem((0, N_CODES), 0, seed=0, levels={1: N_LEVELS}).groups(X)
    assert groups[0] == groups[2] != groups[1]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [("levels", np.array([], dtype=np.int64)), ("levels_reads", np.array([7])), ("levels_features", np.array([0]))],
)
def test_a_damaged_base_is_refused(name: str, damaged: np.ndarray) -> None:
    X, y, problem = many_values(60, REGRESSION)
    base = fit("linear", X, y, problem, encoded=True)
    with pytest.raises(ValueError, match=r"values|Reads"):
        bases.restore("linear", {**base.to_arrays(), name: damaged}, None)
