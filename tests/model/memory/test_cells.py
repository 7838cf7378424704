"""Rows of equal points are one cell."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import ExactIndex, GraphOptions
from tests.model.examples import FEW
from tests.model.memory.points import by_brute_force, coarse_points


@FEW
@given(points=coarse_points, weighted=st.booleans(), seed=st.integers(0, 1000))
def test_cells_are_what_a_dictionary_of_rows_would_hold(points, weighted, seed):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 3, len(points)) if weighted else None
    values = rng.normal(size=(len(points), 2))
    seen: dict[tuple[float, ...], list[int]] = {}
    for i, point in enumerate(points.tolist()):
        seen.setdefault(tuple(point), []).append(i)  # as keys 0.0 and -0.0 are equal
    own = np.ones(len(points)) if weight is None else weight

    cells = Cells.group(points, weight)

    np.testing.assert_array_equal(cells.points, np.array(list(seen)))
    np.testing.assert_allclose(cells.counts, [own[rows].sum() for rows in seen.values()])
    assert [np.flatnonzero(cells.of_rows == i).tolist() for i in range(len(seen))] == list(seen.values())
    expected = [np.average(values[rows], axis=0, weights=own[rows]) for rows in seen.values()]
    np.testing.assert_allclose(cells.mean(values, weight), expected)


def test_negative_zero_is_zero():
    cells = Cells.group(np.array([[-0.0, 1], [0.0, 1], [0.0, -1]], dtype=np.float32))
    assert cells.of_rows.tolist() == [0, 0, 1]
    assert not np.signbit(cells.points[0, 0])


def test_a_row_of_weight_0_has_a_cell_and_no_say():
    weight = np.array([0.0, 2.0, 0.0])
    cells = Cells.group(np.array([[1], [1], [2]], dtype=np.float32), weight)
    assert cells.counts.tolist() == [2.0, 0.0]
    assert cells.mean(np.array([[9.0], [5.0], [7.0]]), weight).tolist() == [[5.0], [0.0]]


def test_many_duplicates_are_few_cells_and_are_searched_exactly():
    rng = np.random.default_rng(0)
    points = rng.integers(0, [4, 4, 4, 2, 2], (100_000, 5)).astype(np.float32)
    cells = Cells.group(points)
    assert len(cells.points) == 256
    assert cells.counts.sum() == len(points)
    index = build_index(cells.points, 32, GraphOptions(), 0, 1)
    assert isinstance(index, ExactIndex)
    distances, found = index.search(points[:50], 32, 1)
    np.testing.assert_array_equal(found[:, 0], cells.of_rows[:50])
    expected = np.unique(points, axis=0)
    np.testing.assert_allclose(distances, by_brute_force(expected, points[:50], 32)[0])
