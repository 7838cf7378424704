"""The rows that students learn from: those made of others, and what a model predicts of them as targets."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model import distilling
from resmem_cli.model.bases import Problem


def problem(n_classes: int) -> Problem:
    """Return a problem of rows of one number."""
    return Problem((0,), n_classes, 0)


def silent(what: str, share: float) -> None:
    assert what
    assert 0 <= share < 1


def on_a_line(n_rows: int) -> np.ndarray:
    """Rows in the order of their numbers; the third and the fourth are one feature, and equal."""
    t = np.sort(np.random.default_rng(0).normal(size=n_rows))
    return np.column_stack([t, 2 * t, t**3, t**3])


def test_a_made_row_takes_whole_features_from_its_row_and_from_one_near_it() -> None:
    X = on_a_line(80)
    made, made_from = distilling.with_made_rows(X, [[0], [1], [2, 3]], Problem((0,) * 4, 0, 0))
    assert np.array_equal(made[:80], X)
    assert np.array_equal(made_from, np.tile(np.arange(80), 1 + distilling.n_made(80, 4)))
    others, sources = made[80:], made_from[80:]
    assert np.array_equal(others[:, 2], others[:, 3])
    is_own = others == X[sources]
    assert 0.45 < is_own.mean() < 0.55
    for row, own, source in zip(others, is_own, sources, strict=True):
        donors = [i for i in range(80) if np.array_equal(X[i][~own], row[~own])]
        assert own.all() or (len(donors) == 1 and 0 < abs(donors[0] - source) <= 8)


def test_missing_values_and_categories_stay_what_they_are() -> None:
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.integers(0, 3, 1_200), rng.normal(size=1_200), rng.normal(size=1_200)]).astype(float)
    X[::7, 0], X[::5, 1] = np.nan, np.nan
    made, _ = distilling.with_made_rows(X, [[0], [1], [2]], Problem((3, 0, 0), 0, 0))  # by a search graph
    for column in range(3):
        assert set(np.unique(made[:, column]).tolist()[:-1]) <= set(X[:, column].tolist())
        assert abs(np.isnan(made[:, column]).mean() - np.isnan(X[:, column]).mean()) < 0.02


def test_the_same_seed_makes_the_same_rows() -> None:
    X = on_a_line(60)
    one, other, another = (
        distilling.with_made_rows(X, [[0], [1], [2, 3]], Problem((0,) * 4, 0, seed))[0] for seed in (3, 3, 4)
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, another)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_of_very_few_rows(n_rows: int) -> None:
    X = np.arange(2.0 * n_rows).reshape(n_rows, 2)
    made, made_from = distilling.with_made_rows(X, [[0], [1]], Problem((0, 0), 0, 0))
    assert len(made) == n_rows * (1 + distilling.n_made(n_rows, 2))
    assert set(made_from.tolist()) == set(range(n_rows))


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "made"),
    [(1, 9, 20), (1_000, 9, 20), (12_000, 9, 11), (75_000, 9, 1), (500_000, 9, 1), (1_000, 4_000, 9), (9, 0, 20)],
)
def test_few_rows_make_many_and_many_or_wide_ones_at_least_one_each(n_rows: int, n_columns: int, made: int) -> None:
    assert distilling.n_made(n_rows, n_columns) == made


def test_of_numbers_the_predictions_are_the_targets() -> None:
    X = on_a_line(10)
    rows = distilling.labelled_by(lambda part: part[:, :1] * 2, X, np.arange(10), Problem((0,) * 4, 0, 0), silent)
    assert np.array_equal(rows.y, X[:, 0] * 2)
    assert rows.X is X
    assert rows.weight is None
    assert rows.groups is not None
    assert np.array_equal(rows.groups, np.arange(10))


@pytest.mark.parametrize("n_classes", [2, 5, 30])
def test_of_classes_the_log_loss_is_the_cross_entropy_with_the_probabilities(n_classes: int) -> None:
    rng = np.random.default_rng(2)
    n_rows = 20_000
    X = np.arange(float(n_rows))[:, None]
    p, other = rng.dirichlet(np.full(n_classes, 0.3), (2, n_rows))
    made_from = np.arange(n_rows) // 2
    rows = distilling.labelled_by(lambda part: p[part[:, 0].astype(int)], X, made_from, problem(n_classes), silent)
    at, classes = rows.X[:, 0].astype(int), rows.y.astype(int)
    assert rows.weight is not None
    assert rows.groups is not None
    assert np.array_equal(rows.groups, made_from[at])
    logs = np.log(np.maximum(other, 1e-6))
    assert -(rows.weight * logs[at, classes]).sum() == pytest.approx(-(p * logs).sum(), rel=0.02)
    # Also of the least probable class.
    rarest = int(p.sum(axis=0).argmin())
    assert rows.weight[classes == rarest].sum() == pytest.approx(p[:, rarest].sum(), rel=0.05)


@pytest.mark.parametrize(("n_classes", "least"), [(2, 0.01), (1_000, 0.1)])
def test_a_class_that_is_rare_everywhere_is_as_frequent_as_it_is_probable(n_classes: int, least: float) -> None:
    rare = 0.001
    p = np.full((30_000, n_classes), 0.0)
    p[:, 0], p[:, -1] = 1 - rare, rare
    rows = distilling.labelled_by(
        lambda part: p[: len(part)], np.zeros((30_000, 1)), np.arange(30_000), problem(n_classes), silent
    )
    assert rows.weight is not None
    of_rare = rows.weight[rows.y == n_classes - 1]
    assert set(of_rare.tolist()) == {least}
    assert of_rare.sum() == pytest.approx(30, rel=0.4)
    assert len(rows.y) < 1.2 * 30_000
