"""Sums over parts of the rows add up to those over all, in any order."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model import resampling
from resmem_cli.model.comparison import of_task
from resmem_cli.model.sums import Statistics
from resmem_cli.model.targets import Targets
from tests.model.examples import FEW, classes, numbers


def sums(y, base, resmem, weight, metrics, *, keys):
    statistics = Statistics(y, base, resmem, weight, metrics)
    return statistics.sums(), statistics.resampled(resampling.states(keys, 1), range(20))


@FEW
@given(cuts=st.lists(st.integers(1, 59), max_size=6, unique=True), seed=st.integers(0, 99))
@pytest.mark.parametrize("n_classes", [0, 4], ids=["numbers", "classes"])
def test_values_of_merged_parts_are_those_of_the_whole(n_classes, cuts, seed):
    rows = classes(n_classes, 60) if n_classes else numbers(60)
    metrics = {name: each for name, each in of_task(max(n_classes, 1), is_reduced=False).items() if name != "roc_auc"}
    keys = np.arange(60, dtype=np.uint64)
    ends = [0, *sorted(cuts), 60]
    parts = [
        sums(*(each[start:stop] for each in rows), metrics, keys=keys[start:stop])
        for start, stop in itertools.pairwise(ends)
    ]
    order = np.random.default_rng(seed).permutation(len(parts))
    for i, whole in enumerate(sums(*rows, metrics, keys=keys)):
        merged = functools.reduce(lambda one, other: one.merged(other), [parts[j][i] for j in order])
        expected = whole.values(metrics)
        for name, found in merged.values(metrics).items():
            np.testing.assert_allclose(found, expected[name], rtol=1e-10)


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e12])
def test_the_spread_of_large_targets_is_not_lost(offset):
    """Nor where one part is an outlier alone, about which the others would cancel out."""
    y = np.random.default_rng(0).integers(-64, 64, 400) / 8 + offset
    y[0] = 0.0
    keys = np.arange(400, dtype=np.uint64)
    drawn = resampling.weights(resampling.states(keys, 1), range(20))
    parts = [
        sums(y[some], y[some, None], y[some, None], None, {}, keys=keys[some])[1].targets
        for some in (slice(0, 1), slice(1, 200), slice(200, 400))
    ]
    found = parts[0].merged(parts[1]).merged(parts[2])
    mean = (y @ drawn) / drawn.sum(axis=0)
    expected = (drawn * np.square(y[:, None] - mean)).sum(axis=0)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.squares, expected, rtol=1e-5)  # as far as the reference is right


def test_equal_targets_have_no_squared_deviations_at_all():
    y = np.full(50, 0.1)
    _, found = sums(y, y[:, None], y[:, None], np.full(50, 0.3), {}, keys=np.arange(50, dtype=np.uint64))
    assert not found.targets.squares.any()


def test_parts_without_weight_change_nothing():
    empty = Targets.of(1, 5.0, np.zeros((3, 2)))
    full = Targets.of(1, 3.0, np.array([[2.0, 4.0], [1.0, 0.0], [3.0, 4.0]]))
    for found in (empty.merged(full), full.merged(empty), full):
        assert (found.weight.tolist(), found.mean.tolist(), found.squares.tolist()) == ([2, 4], [3.5, 3], [2.5, 4])
    both = empty.merged(empty)
    assert not np.stack([both.weight, both.mean, both.squares]).any()
