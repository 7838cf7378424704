"""Fewer cells: the nearest are merged, and no row is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resmem_cli.model.arrays import Floats, Singles
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.condensing import condensed
from resmem_cli.model.memory.index import EXACT_BELOW
from tests.model.examples import FEW


def points(n: int, p: int = 3) -> Singles:
    return np.random.default_rng(0).normal(size=(n, p)).astype(np.float32)


def spread(rows: Singles, cells: Cells) -> float:
    """Return the sum of squared distances of rows from their cells."""
    return float(np.square(rows - cells.points[cells.of_rows]).sum())


@FEW
@given(
    rows=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.integers(-3, 3)),
    most=st.integers(1, 12),
    weight=st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=40, max_size=40) | st.none(),
)
def test_every_cell_is_the_weighted_mean_of_the_rows_that_it_holds(
    rows: Singles, most: int, weight: list[float] | None
) -> None:
    counted = np.ones(len(rows)) if weight is None else np.array(weight[: len(rows)])
    before = Cells.group(rows, counted)
    cells = condensed(before, most, seed=0, threads=1)
    assert len(cells.points) == min(most, len(before.points))
    np.testing.assert_array_equal(np.unique(cells.of_rows), np.arange(len(cells.points)))
    for i, (point, count) in enumerate(zip(cells.points, cells.counts, strict=True)):
        inside = cells.of_rows == i
        assert count == pytest.approx(counted[inside].sum())
        if count > 0:
            expected = np.average(rows[inside], axis=0, weights=counted[inside])
            np.testing.assert_allclose(point, expected, atol=1e-5)


def test_few_cells_stay_as_they_are() -> None:
    cells = Cells.group(points(20))
    assert condensed(cells, 20, seed=0, threads=1) is cells


@pytest.mark.parametrize("n_each", [20, EXACT_BELOW])
def test_groups_far_from_each_other_become_a_cell_each(n_each: int) -> None:
    centers = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 0, 50]], np.float32)
    rows = np.repeat(centers, n_each, axis=0) + points(4 * n_each)
    cells = condensed(Cells.group(rows), 4, seed=0, threads=1)
    found = cells.of_rows.reshape(4, n_each)
    assert (found == found[:, :1]).all()
    assert len(np.unique(found[:, 0])) == 4
    np.testing.assert_array_equal(cells.counts, np.full(4, n_each))


def test_merging_the_nearest_loses_less_than_merging_any() -> None:
    rows = points(2_000)
    cells = condensed(Cells.group(rows), 200, seed=0, threads=1)
    assert len(cells.points) == 200
    any_two = np.random.default_rng(1).integers(0, 200, len(rows))
    drawn = rows[np.random.default_rng(2).permutation(len(rows))[:200]]
    to_drawn = np.square(rows[:, None] - drawn[None]).sum(axis=2).min(axis=1).sum()
    means = np.array([rows[any_two == i].mean(axis=0) for i in range(200)])
    assert spread(rows, cells) < 0.75 * to_drawn < np.square(rows - means[any_two]).sum()


def test_the_outcome_does_not_depend_on_the_threads() -> None:
    one, two = (condensed(Cells.group(points(3_000)), 500, seed=3, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.of_rows, two.of_rows)


def test_values_of_a_condensed_cell_are_the_mean_over_its_rows() -> None:
    rows = np.array([[0], [0.1], [5], [5]], np.float32)
    values: Floats = np.array([[1.0], [3.0], [10.0], [20.0]])
    cells = condensed(Cells.group(rows), 2, seed=0, threads=1)
    np.testing.assert_allclose(cells.mean(values), [[2.0], [15.0]])
