"""Conformal intervals: they cover what they promise, and are wide where the memory disagrees with itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Floats
from resmem_cli.model.conformal import Calibration, interval, neighbor_std, of_classes, of_numbers, sets, sufficient

LEVELS = pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])


def noisy(n: int, seed: int) -> tuple[Floats, Floats]:
    """Errors whose size varies from row to row, and a standard deviation that half knows it."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([0.2, 1.0, 5.0], n)
    return rng.normal(size=n) * sizes, sizes * rng.uniform(0.5, 1.5, n)


@LEVELS
@pytest.mark.parametrize("n", [400, 6_000])
def test_new_rows_are_covered_as_often_as_is_promised(level: float, n: int) -> None:
    covered = []
    for seed in range(12):
        calibration = of_numbers(np.abs(noisy(n, seed)[0]), noisy(n, seed)[1])
        errors, stds = noisy(2_000, seed + 100)
        lower, upper = interval(np.zeros(2_000), stds, calibration, level)
        covered.append(np.mean((lower <= errors) & (errors <= upper)))
    assert np.mean(covered) == pytest.approx(level, abs=0.015)


def test_of_few_rows_no_offset_is_chosen_so_that_coverage_is_what_is_promised() -> None:
    covered = []
    for seed in range(600):
        errors, stds = noisy(31, seed)
        calibration = of_numbers(np.abs(errors[:30]), stds[:30])
        assert calibration.offset == np.median(stds[:30])
        lower, upper = interval(np.zeros(1), stds[30:], calibration, 0.9)
        covered.append(bool(lower[0] <= errors[30] <= upper[0]))
    # 28 of 31 ranks; one standard deviation of 600 draws is 1.2 points.
    assert np.mean(covered) == pytest.approx(28 / 31, abs=0.03)


def test_intervals_follow_the_spread_where_that_makes_them_narrower() -> None:
    errors, stds = noisy(4_000, 0)
    calibration = of_numbers(np.abs(errors), stds)
    lower, upper = interval(np.zeros(4_000), stds, calibration, 0.9)
    constant = Calibration(np.sort(np.abs(errors)), 4_000, math.inf)
    low, high = interval(np.zeros(4_000), stds, constant, 0.9)
    assert (upper - lower).mean() < 0.8 * (high - low).mean()
    assert (upper - lower)[stds > 3].mean() > 5 * (upper - lower)[stds < 0.3].mean()


def test_a_spread_that_says_nothing_makes_all_intervals_equal() -> None:
    rng = np.random.default_rng(0)
    errors, stds = np.abs(rng.normal(size=3_000)), np.exp(rng.normal(size=3_000) * 2)
    assert of_numbers(errors, stds).offset > 1
    lower, upper = interval(np.zeros(5), np.zeros(5), of_numbers(errors, np.zeros(3_000)), 0.9)
    np.testing.assert_allclose(upper - lower, 2 * 1.645, rtol=0.1)


@LEVELS
def test_sets_hold_the_class_as_often_as_is_promised(level: float) -> None:
    def classes(n: int, seed: int) -> tuple[Floats, Floats]:
        rng = np.random.default_rng(seed)
        probabilities = rng.dirichlet([0.5] * 5, n)
        y = (probabilities.cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
        return probabilities, y.astype(np.float64)

    covered = []
    for seed in range(10):
        calibration = of_classes(*classes(1_000, seed))
        probabilities, y = classes(2_000, seed + 100)
        inside = sets(probabilities, calibration, level)
        covered.append(inside[np.arange(2_000), y.astype(int)].mean())
        assert inside.any(axis=1).all()
    # The most probable class is always there, which can only add to it.
    assert np.mean(covered) >= level - 0.01
    if level >= 0.8:
        assert np.mean(covered) <= level + 0.02


def test_more_is_asked_than_the_rows_can_promise() -> None:
    calibration = of_numbers(np.ones(5), np.ones(5))
    assert calibration.quantile(0.8) < math.inf
    assert calibration.quantile(0.9) == math.inf
    assert sets(np.array([[0.9, 0.1]]), of_classes(np.array([[0.5, 0.5]] * 5), np.zeros(5)), 0.99).all()


def test_without_enough_held_out_rows_it_is_said_what_can_be_promised() -> None:
    calibration = of_numbers(np.ones(9), np.ones(9))
    assert sufficient(calibration, 0.9) is calibration
    with pytest.raises(UsageError) as refused:
        sufficient(calibration, 0.95)
    assert str(refused.value) == "9 held-out rows are too few for intervals of 95 %; use at most --interval 0.9"
    with pytest.raises(UsageError, match=r"^this memory has no held-out rows to make prediction intervals from; run"):
        sufficient(None, 0.5)


def test_a_quantile_is_of_all_scores_though_only_some_are_kept() -> None:
    scores = np.random.default_rng(0).exponential(size=50_000)
    calibration = of_classes(np.column_stack([1 - scores, scores]), np.zeros(50_000))
    assert len(calibration.scores) == calibration.n_rows == 20_001
    for level in (0.5, 0.9, 0.99, 0.999):
        assert np.mean(scores <= calibration.quantile(level)) == pytest.approx(level, abs=0.0006)
        assert np.mean(scores <= calibration.quantile(level)) >= level


def test_a_std_is_the_deviation_of_the_rows_behind_the_cells() -> None:
    residuals, counts = np.array([[1.0, 3.0, 3.0]]), np.array([[2.0, 1.0, 0.0]])
    assert neighbor_std(residuals, counts)[0] == pytest.approx(np.std([1, 1, 3]))
    assert neighbor_std(residuals, np.zeros((1, 3)))[0] == pytest.approx(np.std([1, 3, 3]))


def test_a_calibration_is_stored_and_read_again() -> None:
    calibration = of_numbers(np.arange(10.0), np.ones(10))
    again = Calibration.from_arrays(calibration.to_arrays())
    np.testing.assert_array_equal(again.scores, calibration.scores)
    assert (again.n_rows, again.offset) == (calibration.n_rows, calibration.offset)
