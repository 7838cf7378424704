"""What neighbours explain, and whether those of other groups, or from elsewhere in an order, explain it too."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model import dependence
from resmem_cli.model.dependence import Dependence
from tests.model.examples import Floats

RNG = np.random.default_rng


def of_groups(X: Floats, residuals: Floats, groups: np.ndarray) -> Dependence | None:
    return dependence.of_groups(residuals.reshape(len(X), -1), groups, lambda rows: X[rows].astype(np.float32), RNG(0))


def in_order(X: Floats, residuals: Floats, order: Floats, y: Floats | None = None) -> Dependence | None:
    y = residuals if y is None else y
    return dependence.in_order(y, residuals[:, None], order, lambda rows: X[rows].astype(np.float32), RNG(0))


def clustered(seed: int, *, effect: float = 1.0, spread: float = 0.05, n: int = 100, each: int = 10):
    """Points in clusters, residuals that are alike in each, and the cluster of each row."""
    rng = RNG(seed)
    groups = rng.permutation(np.repeat(np.arange(n), each))
    X = rng.normal(size=(n, 3))[groups] + rng.normal(0, spread, (n * each, 3))
    return X, effect * rng.normal(size=n)[groups] + rng.normal(0, 0.5, n * each), groups


@pytest.mark.parametrize(("n", "each"), [(100, 10), (300, 4), (600, 3), (20, 100)])
def test_clusters_that_are_alike_are_groups_however_small(n, each):
    found = of_groups(*clustered(0, n=n, each=each))
    assert found.same > 0.8
    assert found.explained > 0.4
    assert found.explained_apart < 0.15
    assert 0 < 3 * found.standard_error < found.explained - found.explained_apart


@pytest.mark.parametrize(
    "case", ["nothing alike", "not near each other", "few values", "single rows", "a smooth function"]
)
def test_other_columns_are_no_groups(case):
    rng = RNG(0)
    X, residuals, groups = clustered(1, effect=0.0 if case == "nothing alike" else 1.0)
    if case == "not near each other":
        X = rng.normal(size=X.shape)
    if case == "few values":
        groups = groups % 10
    if case == "single rows":
        groups = np.arange(len(groups)) * 2 // 3
    if case == "a smooth function":  # which neighbours of other groups explain as well
        X = rng.uniform(-1, 1, (2_000, 1))
        residuals, groups = np.sin(5 * X[:, 0]) + rng.normal(0, 0.1, 2_000), np.argsort(np.argsort(X[:, 0])) // 20
    assert of_groups(X, residuals, groups) is None


def test_noise_raises_no_alarm():
    """Of 60 columns of noise on rows with effects of true clusters."""
    rng = RNG(0)
    X, residuals, _ = clustered(2)
    for _ in range(60):
        assert of_groups(X, residuals, rng.integers(0, 60, 1_000)) is None
        assert in_order(X, residuals, rng.permutation(1_000) * 1.0) is None


@pytest.mark.parametrize("seed", range(5))
def test_leaving_rows_out_is_no_alarm_in_itself(seed):
    """Of shuffled rows of 30 clusters, those of other stretches explain less because there are fewer of them."""
    X, residuals, _ = clustered(seed, n=150, each=6)
    assert in_order(X, residuals, np.arange(900.0)) is None


def test_classes_and_very_many_rows_are_looked_at_too():
    rng = RNG(0)
    groups = np.repeat(np.arange(500), 20)
    X = rng.normal(size=(500, 3))[groups] + rng.normal(0, 0.05, (10_000, 3))
    is_one = rng.random(500)[groups] > rng.random(10_000)
    assert of_groups(X, np.column_stack([0.5 - is_one, is_one - 0.5]), groups).explained > 0.1


def test_one_huge_error_does_not_decide():
    X, residuals, groups = clustered(3, effect=0.0)
    residuals[17] = 1e9
    assert of_groups(X, residuals, groups) is None


def walk(seed: int, n: int = 2_000) -> np.ndarray:
    """What remembers about the last twenty steps."""
    noise, level = RNG(seed).normal(size=n), [0.0]
    for step in noise:
        level.append(0.95 * level[-1] + step)
    return np.array(level[1:])


def test_rows_that_are_alike_along_an_order_are_found():
    order = RNG(0).permutation(2_000) * 2.0
    residuals = walk(0)[(order / 2).astype(int)]
    X = np.column_stack([order / 100, RNG(1).normal(size=2_000)])
    found = in_order(X, residuals, order)
    assert found.explained_apart < found.explained - 0.1
    assert in_order(X, residuals, np.arange(2_000.0)) is None


def test_rows_sorted_by_their_target_and_few_rows_say_nothing():
    X, y = np.arange(1_000.0)[:, None], np.sort(walk(0, 1_000))
    residuals = walk(1, 1_000)
    assert in_order(X, residuals, X[:, 0], y) is None
    assert in_order(X, residuals, X[:, 0], y[::-1]) is None
    assert in_order(X, residuals, X[:, 0]) is not None
    assert in_order(X[:30], residuals[:30], X[:30, 0]) is None


# Copies with noise


@pytest.mark.parametrize("n_copies", [2, 3, 8])
@pytest.mark.parametrize("noise", [0.001, 0.01])
def test_copies_that_differ_by_a_little_noise_are_seen(n_copies, noise):
    rng = RNG(0)
    rows = np.repeat(rng.normal(size=(400, 4)), n_copies, axis=0)
    assert dependence.near_copies((rows + rng.normal(0, noise, rows.shape)).astype(np.float32), RNG(0))


@pytest.mark.parametrize("n_numbers", [1, 2, 10])
@pytest.mark.parametrize("case", ["free", "equal pairs", "in classes", "few rows", "whole numbers"])
def test_rows_that_vary_freely_are_no_copies(n_numbers, case):
    rng = RNG(0)
    X = rng.normal(size=(4 if case == "few rows" else 1_000, n_numbers))
    if case == "equal pairs":
        X = 1e4 + np.repeat(X[:500], 2, axis=0)
    if case == "in classes":
        X = np.column_stack([X, rng.integers(0, 20, len(X))])
    if case == "whole numbers":
        X = np.floor(10 * X)
    assert not dependence.near_copies(X.astype(np.float32), RNG(0))
