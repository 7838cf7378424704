"""What neighbours explain, and whether those of other groups, or from elsewhere in an order, explain it too."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.dependence import Unexplained, in_order, of_groups

NOTHING = slice(0, 0)


def unexplained(X: np.ndarray, residuals: np.ndarray, y: np.ndarray | None = None) -> Unexplained:
    return Unexplained(X, residuals if y is None else y, residuals[:, None], (0,) * X.shape[1])


def clustered(seed: int, *, effect: float = 1.0, spread: float = 0.05, n: int = 100, each: int = 10):
    """Rows in clusters of features, with what is alike in a cluster, and the cluster of each."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(n), each))
    X = rng.normal(size=(n, 3))[groups] + rng.normal(0, spread, (n * each, 3))
    return unexplained(X, effect * rng.normal(size=n)[groups] + rng.normal(0, 0.5, n * each)), groups


def test_clusters_that_are_alike_are_groups():
    rows, groups = clustered(0)
    found = of_groups(rows, groups, NOTHING, np.random.default_rng(0))
    assert found.same > 0.9
    assert found.explained > 0.6
    assert found.explained_apart < 0.1
    assert 0 < 3 * found.standard_error < found.explained - found.explained_apart


@pytest.mark.parametrize(
    "case", ["nothing alike", "not near each other", "few values", "single rows", "a smooth function", "itself alone"]
)
def test_other_columns_are_no_groups(case):
    rng = np.random.default_rng(0)
    rows, groups = clustered(1, effect=0.0 if case == "nothing alike" else 1.0)
    own = NOTHING
    if case == "not near each other":
        rows = unexplained(rng.normal(size=rows.X.shape), rows.residuals[:, 0])
    if case == "few values":
        groups = groups % 10
    if case == "single rows":
        groups = np.arange(len(groups)) // 2
    if case == "a smooth function":  # which neighbours of other groups explain as well
        X = rng.uniform(-1, 1, (2_000, 1))
        rows = unexplained(X, np.sin(5 * X[:, 0]) + rng.normal(0, 0.1, 2_000))
        groups = np.argsort(np.argsort(X[:, 0])) // 20
    if case == "itself alone":
        rows, own = unexplained(groups[:, None] * 1.0, rows.residuals[:, 0]), slice(0, 1)
    assert of_groups(rows, groups, own, np.random.default_rng(0)) is None


def test_noise_raises_no_alarm():
    """Of 60 columns of noise on rows with effects of true clusters."""
    rng = np.random.default_rng(0)
    rows, _ = clustered(2)
    for _ in range(60):
        assert of_groups(rows, rng.integers(0, 60, 1_000), NOTHING, rng) is None
        assert in_order(rows, rng.permutation(1_000) * 1.0, rng) is None


def test_classes_and_very_many_rows_are_looked_at_too():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(500), 20)
    X = rng.normal(size=(500, 3))[groups] + rng.normal(0, 0.05, (10_000, 3))
    is_one = rng.random(500)[groups] > rng.random(10_000)
    residuals = np.column_stack([0.5 - is_one, is_one - 0.5])
    rows = Unexplained(X, is_one * 1.0, residuals, (0, 0, 0))
    assert of_groups(rows, groups, NOTHING, rng).explained > 0.1


def test_one_huge_error_does_not_decide():
    rows, groups = clustered(3, effect=0.0)
    rows.residuals[17] = 1e9
    assert of_groups(rows, groups, NOTHING, np.random.default_rng(0)) is None


def walk(seed: int, n: int = 2_000) -> np.ndarray:
    """What remembers about the last twenty steps."""
    noise, level = np.random.default_rng(seed).normal(size=n), [0.0]
    for step in noise:
        level.append(0.95 * level[-1] + step)
    return np.array(level[1:])


def test_rows_that_are_alike_along_an_order_are_found():
    order = np.random.default_rng(0).permutation(2_000) * 2.0
    residuals = walk(0)[(order / 2).astype(int)]
    X = np.column_stack([order, np.random.default_rng(1).normal(size=2_000)])
    found = in_order(unexplained(X, residuals), order, np.random.default_rng(0))
    assert found.explained_apart < found.explained - 0.1
    assert in_order(unexplained(X, residuals), np.arange(2_000.0), np.random.default_rng(0)) is None


def test_rows_sorted_by_their_target_and_few_rows_say_nothing():
    X, y = np.arange(1_000.0)[:, None], np.sort(walk(0, 1_000))
    residuals = walk(1, 1_000)
    assert in_order(unexplained(X, residuals, y), X[:, 0], np.random.default_rng(0)) is None
    assert in_order(unexplained(X, residuals, y[::-1]), X[:, 0], np.random.default_rng(0)) is None
    assert in_order(unexplained(X, residuals), X[:, 0], np.random.default_rng(0)) is not None
    assert in_order(unexplained(X[:30], residuals[:30]), X[:30, 0], np.random.default_rng(0)) is None
