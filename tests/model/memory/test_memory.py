"""A memory: the cells of rows, what is remembered there, and how they change with rows."""

from __future__ import annotations

import numpy as np

from resmem_cli.model.memory.index import ExactIndex, GraphOptions, HnswIndex
from resmem_cli.model.memory.memory import Memory
from tests.model.memory.points import normal_points


def test_a_memory_of_fewer_cells_than_neighbours_gives_all_it_has():
    few = normal_points(3, 2)
    held = Memory(np.zeros((3, 1)), np.ones(3), ExactIndex(few))
    distances, cells = held.neighbors(few, 5, 1)
    assert distances.shape == (3, 3)
    assert [sorted(row) for row in cells.tolist()] == [[0, 1, 2]] * 3


def test_a_memory_of_other_rows_has_a_graph_as_the_first_was_told_to_have():
    """Also where the first had so few cells that it had no graph."""
    points, options = normal_points(1_100, 3), GraphOptions(M=24, ef_construction=300, ef=77)
    first = Memory.build(points[:900], np.zeros((900, 1)), None, n_neighbors=4, graph=options, seed=0, threads=1)
    assert isinstance(first.index, ExactIndex)
    grown = first.changed(
        np.ones(900, dtype=bool), points[900:], np.zeros((200, 1)), None, n_neighbors=4, seed=0, threads=1
    )
    assert isinstance(grown.index, HnswIndex)
    assert (grown.index.graph.M, grown.index.graph.ef_construction, grown.index.ef) == (24, 300, 77)
