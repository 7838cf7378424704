"""How often a row counts in a resample: Poisson(1), by its key, the seed and the resample's number alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resmem_cli.model import resampling
from resmem_cli.model.resampling import n_resamples, row_keys, states, unit_keys, weights


def keys(n):
    return np.arange(n, dtype=np.uint64)


def test_weights_are_distributed_as_poisson_says():
    found = weights(states(keys(20_000), 0), range(200))
    share = np.bincount(found.astype(int).ravel(), minlength=9) / found.size
    expected = [math.exp(-1) / math.factorial(count) for count in range(9)]
    assert np.all(np.abs(share - expected) < 4 * np.sqrt(np.array(expected) / found.size) + 1e-5)
    assert found.mean() == pytest.approx(1, abs=0.002)
    assert found.var() == pytest.approx(1, abs=0.003)


def test_weights_of_rows_and_of_resamples_are_independent_of_each_other():
    """Neighbours by number share a hash; correlations are within five of their standard errors."""
    found = weights(states(keys(4_000), 0), range(40)) - 1
    between_resamples = found.T @ found / len(found)
    between_rows = found[:400] @ found[:400].T / 40
    for matrix, n in ((between_resamples, 4_000), (between_rows, 40)):
        apart = matrix[~np.eye(len(matrix), dtype=bool)]
        assert np.abs(apart).max() < (5.5 if n == 40 else 5) * math.sqrt(3 / n)
        assert abs(apart.mean()) < 0.005
        assert apart.std() == pytest.approx(1 / math.sqrt(n), rel=0.05)


def test_a_weight_depends_on_nothing_but_its_row_and_its_resample():
    whole = weights(states(keys(50), 3), range(40))
    order = np.random.default_rng(0).permutation(50)
    np.testing.assert_array_equal(weights(states(keys(50)[order], 3), range(40)), whole[order])
    np.testing.assert_array_equal(weights(states(keys(50)[10:20], 3), range(8, 23)), whole[10:20, 8:23])


def test_the_weights_are_the_same_for_ever():
    """Figures of one version are those of the next."""
    found = weights(states(np.array([0, 1, 2**63], dtype=np.uint64), 7), range(6))
    assert found.astype(int).tolist() == [[1, 0, 1, 3, 0, 1], [1, 2, 0, 0, 2, 1], [1, 1, 3, 0, 0, 0]]


def test_another_seed_gives_other_weights():
    one, other = (weights(states(keys(1_000), seed), range(4)) for seed in (0, 1))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.06


def test_equal_rows_of_a_file_are_drawn_apart_and_rows_of_a_group_together():
    hashes, numbers = np.full(4, 9, dtype=np.uint64), np.arange(1, 5)
    rows = row_keys(hashes, numbers)
    assert len(set(rows.tolist())) == 4
    np.testing.assert_array_equal(unit_keys(rows, None), rows)
    groups = np.array([5, 0, 5, 0], dtype=np.uint64)
    assert unit_keys(rows, groups).tolist() == [5, rows[1], 5, rows[3]]


def test_keys_that_follow_each_other_are_no_pattern():
    """Sums and hashes that would cancel out do not."""
    grid = np.arange(200, dtype=np.uint64)
    found = row_keys(np.repeat(grid, 200), np.tile(grid.astype(np.int64), 200))
    assert len(np.unique(found)) == 200 * 200


def test_the_number_of_resamples_is_known_from_about_how_many_rows_there_are():
    assert [n_resamples(n) for n in (1, 400_000, 400_001, 1_000_000, 1_000_001, 10**12)] == [
        *(1_000, 1_000),
        *(500, 500),
        *(200, 200),
    ]


def test_what_is_given_is_left_as_it_is():
    given = keys(8)
    weights(states(given, 0), range(4))
    np.testing.assert_array_equal(given, keys(8))
    assert resampling.LANES == 4
